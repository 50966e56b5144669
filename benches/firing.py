"""What the firing of one large window costs: memory while it is emitted, and how long a barrier waits for it.

The memory is measured without checkpoints. The barriers are those of further runs: of checkpoints that began and were
completed while the window was emitted.
"""

import os
import pathlib
import shutil
import sys
import tempfile
import time

import measure
import running

KEYS = int(os.environ.get("KEYS", "10000000"))
RUNS = int(os.environ.get("RUNS", "5"))
WINDOWS = "WindowAggregate"


def emitted(metrics: str) -> int:
    return running.value_of(metrics, "eddyline_rows_out_total", WINDOWS)


def run(binary: str, interval: str) -> tuple[float, float, float, list[int]]:
    """Resident MiB before the firing and at most while it lasts, its seconds, and the milliseconds that barriers took."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="eddyline-bench-"))
    job = running.Job(binary, folder, "firing", {"keys": str(KEYS), "output": str(folder / "totals")}, ["--checkpoint-interval", interval])
    try:
        before, peak, began, barriers, last = 0.0, 0.0, 0.0, [], 0
        while True:
            resident = measure.resident_mib(job.pid) or 0.0
            metrics = job.metrics()
            out = emitted(metrics)
            checkpoint = running.value_of(metrics, "eddyline_checkpoint_last_id")
            if out == 0:
                # The table has its last size then, and what it grew from is freed.
                is_full = running.value_of(metrics, "eddyline_rows_in_total", WINDOWS) > KEYS * 0.99
                before = min(before or resident, resident) if is_full else 0.0
                began, last = time.monotonic(), checkpoint
            else:
                peak = max(peak, resident)
                if checkpoint != last:
                    last = checkpoint
                    took_s = running.value_of(metrics, "eddyline_checkpoint_duration_milliseconds") / 1000
                    if time.monotonic() - took_s > began:
                        barriers.append(running.value_of(metrics, "eddyline_checkpoint_barrier_milliseconds"))
            if out >= KEYS:
                return before, peak, time.monotonic() - began, barriers
            time.sleep(0.002)
    finally:
        job.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    print(f"a window of {KEYS} groups, parallelism 1")
    for binary in sys.argv[1:]:
        before, peak, seconds, _ = run(binary, "1d")
        barriers = [barrier for _ in range(RUNS) for barrier in run(binary, "20ms")[3]]
        print(f"{binary}")
        print(f"  emitted in {seconds:.1f} s; memory {before:.0f} MiB before, {peak:.0f} MiB at most ({peak - before:+.0f})")
        print(f"  barriers meanwhile: {', '.join(map(str, barriers)) or 'none was complete before the end'} ms")


main()
