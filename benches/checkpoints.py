"""What checkpoints cost a window job with many keys of which one in a hundred changes between two of them.

Each binary runs once without checkpoints and once with one every few seconds. All figures are from the kernel and from the job's
own metrics. The pause is processor time that the slot's thread took without a break around a barrier: sampled every 2 ms, so that
it is right to a few milliseconds and only if the machine is otherwise idle.
"""

import dataclasses
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading
import time

import measure
import running

KEYS = int(os.environ.get("KEYS", "10000000"))
CHECKPOINTS = int(os.environ.get("CHECKPOINTS", "9"))
INTERVAL_S = int(os.environ.get("INTERVAL", "10"))
SAMPLE_S = 0.002


class Slot(threading.Thread):
    """Watches the thread of a slot: the longest time that it was on a processor without sleeping."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
        self.task = next(task for task in tasks if (task / "comm").read_text().strip() == "slot-0")
        self.longest_ms = 0.0

    def run(self) -> None:
        begin = None
        while True:
            try:
                stat = (self.task / "stat").read_text()
                taken_ms = int((self.task / "schedstat").read_text().split()[0]) / 1e6
            except OSError:
                return
            if stat.rpartition(")")[2].split()[0] == "R":
                begin = taken_ms if begin is None else begin
                self.longest_ms = max(self.longest_ms, taken_ms - begin)
            else:
                if begin is not None:
                    self.longest_ms = max(self.longest_ms, taken_ms - begin)
                begin = None
            time.sleep(SAMPLE_S)

    def take(self) -> float:
        longest, self.longest_ms = self.longest_ms, 0.0
        return longest


@dataclasses.dataclass
class Interval:
    """What was measured between two checkpoints, or in as much time without any."""

    cpu_s: float
    mib: float
    pause_ms: float
    bytes: int = 0
    duration_ms: int = 0


def start(binary: str, folder: pathlib.Path, interval_s: int) -> running.Job:
    values = {"keys": str(KEYS), "touched_per_second": str(KEYS // 100 // INTERVAL_S)}
    return running.Job(binary, folder, "checkpoints", values, ["--checkpoint-interval", f"{interval_s}s"])


def intervals(job: running.Job, with_checkpoints: bool) -> list[Interval]:
    """Waits until all keys are there, and watches the job."""
    job.wait_for(KEYS, "eddyline_rows_in_total", "WindowAggregate")
    pid = job.pid
    slot = Slot(pid)
    slot.start()
    found = []
    last = job.metric("eddyline_checkpoint_last_id")
    if with_checkpoints:
        # The first that has all keys is no checkpoint of changes yet.
        for _ in range(2):
            job.wait_for(last + 1, "eddyline_checkpoint_last_id")
            last = job.metric("eddyline_checkpoint_last_id")
    else:
        time.sleep(INTERVAL_S)
    slot.take()
    for _ in range(CHECKPOINTS if with_checkpoints else 3):
        taken, peak, until = running.cpu_s(pid), 0.0, time.monotonic() + INTERVAL_S
        while job.metric("eddyline_checkpoint_last_id") == last if with_checkpoints else time.monotonic() < until:
            peak = max(peak, measure.resident_mib(pid) or 0.0)
            time.sleep(0.05)
        interval = Interval(running.cpu_s(pid) - taken, peak, slot.take())
        if with_checkpoints:
            last = job.metric("eddyline_checkpoint_last_id")
            interval.bytes = job.metric("eddyline_checkpoint_bytes")
            interval.duration_ms = job.metric("eddyline_checkpoint_duration_milliseconds")
        found.append(interval)
    return found


def run(binary: str, interval_s: int, with_checkpoints: bool) -> list[Interval]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="eddyline-bench-"))
    job = start(binary, folder, interval_s)
    try:
        return intervals(job, with_checkpoints)
    finally:
        job.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    print(f"{KEYS} keys, one in a hundred touched in {INTERVAL_S} s, {CHECKPOINTS} checkpoints, parallelism 1")
    for binary in sys.argv[1:]:
        without = run(binary, 86_400, False)
        checkpoints = run(binary, INTERVAL_S, True)
        median = lambda name, of: statistics.median(getattr(one, name) for one in of)
        base_s, base_mib = median("cpu_s", without), max(one.mib for one in without)
        print(f"{binary}")
        print(f"  without checkpoints: {base_s:.2f} CPU-seconds in {INTERVAL_S} s, {base_mib:.0f} MiB")
        print(
            f"  a checkpoint: {median('bytes', checkpoints) / 2**20:.1f} MiB written "
            f"({', '.join(f'{one.bytes / 2**20:.1f}' for one in checkpoints)}), "
            f"{median('cpu_s', checkpoints) - base_s:.2f} CPU-seconds, complete after {median('duration_ms', checkpoints):.0f} ms"
        )
        print(
            f"  longest run of the slot: {median('pause_ms', checkpoints):.0f} ms "
            f"(most {max(one.pause_ms for one in checkpoints):.0f}, without checkpoints {median('pause_ms', without):.0f}); "
            f"at most {max(one.mib for one in checkpoints):.0f} MiB"
        )


main()
