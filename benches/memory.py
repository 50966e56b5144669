"""A window job in a memory cgroup that is smaller than its state: `memory.py EDDYLINE`, see memory.sh.

Each case runs twice: with all memory, which shows how much state there is and what the results are, and in the cgroup. Files that
are read and written count for the cgroup too, but the kernel takes these pages back; so the figure is the resident memory of the
process. The kernel's own peak is shown beside it.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import measure
import running

QUICK = os.environ.get("QUICK") == "1"
KEYS = int(os.environ.get("KEYS", 100_000 if QUICK else 10_000_000))
WINDOWS = int(os.environ.get("WINDOWS", 4 if QUICK else 10))
ROWS = int(os.environ.get("ROWS", 2))
PART = int(os.environ.get("PART", 8))
LIMIT_MIB = int(os.environ.get("LIMIT", 0))
PARALLELISM = int(os.environ.get("PARALLELISM", 1))
CASES = os.environ.get("CASES", "uniform,skewed").split(",")
HOT_PERCENT = {"uniform": 0, "skewed": 90}
"""Of a hundred rows so many hit a tenth of the keys."""
WINDOW_MS = 10_000
CGROUPS = pathlib.Path("/sys/fs/cgroup")


class Cgroup:
    """A memory cgroup of its own."""

    def __init__(self, limit: int):
        v2 = (CGROUPS / "cgroup.controllers").exists()
        self.folder = (CGROUPS if v2 else CGROUPS / "memory") / f"eddyline-bench-{os.getpid()}"
        self.peak_file = "memory.peak" if v2 else "memory.max_usage_in_bytes"
        if v2:
            (CGROUPS / "cgroup.subtree_control").write_text("+memory")
        self.folder.mkdir()
        (self.folder / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(limit))

    def enter(self) -> None:
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def end(self) -> float:
        """Removes the group. Returns the most that the kernel has counted, in MiB."""
        peak = int((self.folder / self.peak_file).read_text()) / 2**20
        self.folder.rmdir()
        return peak


@dataclasses.dataclass
class Run:
    """What one run of the job took."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    kernel_mib: float
    state_mib: float
    spilled_mib: float
    checkpoints: int
    sums: list[str]

    def __str__(self) -> str:
        rows = KEYS * ROWS * WINDOWS
        return (
            f"{rows / self.wall_s / 1e3:.0f} K rows/s, {self.cpu_s:.1f} CPU-seconds, at most {self.peak_mib:.0f} MiB resident, "
            f"{self.state_mib:.0f} MiB of state in memory and {self.spilled_mib:.0f} MiB on disk, {self.checkpoints} checkpoints"
        )


def run(binary: str, hot_percent: int, limit: int | None) -> Run:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="eddyline-bench-"))
    rows = KEYS * ROWS * WINDOWS
    values = {
        "keys": KEYS, "rows": rows, "rows_per_ms": max(KEYS * ROWS // WINDOW_MS, 1), "out": folder / "out",
        "hot_percent": hot_percent,
    }
    text = (running.SQL / "beyond_memory.sql").read_text()
    for key, value in values.items():
        text = text.replace("{" + key + "}", str(value))
    (folder / "job.sql").write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    group = Cgroup(limit) if limit else None
    log = folder / "log"
    began = time.monotonic()
    with open(log, "w") as out:
        process = subprocess.Popen(
            [
                binary, "run", str(folder / "job.sql"), "--parallelism", str(PARALLELISM), "--checkpoint-interval", "5s",
                "--checkpoint-dir", str(folder / "checkpoints"), "--local-directory", str(folder / "local"),
                "--metrics-addr", address,
            ],
            stdout=out, stderr=out, preexec_fn=group.enter if group else None,
        )
    found = Run(0, 0, 0, 0, 0, 0, 0, [])
    asked = 0.0
    while process.poll() is None:
        found.wall_s = time.monotonic() - began
        found.peak_mib = max(found.peak_mib, measure.resident_mib(process.pid) or 0)
        if time.monotonic() - asked > 0.2:
            asked = time.monotonic()
            try:
                found.cpu_s = running.cpu_s(process.pid)
                metrics = urllib.request.urlopen(f"http://{address}/metrics", timeout=5).read().decode()
            except (OSError, IndexError):
                continue
            mib = lambda name: running.value_of(metrics, name) / 2**20
            found.state_mib = max(found.state_mib, mib("eddyline_state_bytes"))
            found.spilled_mib = max(found.spilled_mib, mib("eddyline_spilled_bytes"))
            found.checkpoints = running.value_of(metrics, "eddyline_checkpoints_completed")
        time.sleep(0.01)
    if group:
        found.kernel_mib = group.end()
    if process.returncode != 0:
        sys.exit(f"the job ended with {process.returncode}:\n{log.read_text()[-4000:]}")
    warnings = re.findall(r'^.*(?:WARN|"level":"WARN").*$', log.read_text(), re.M)
    for line in warnings[:3]:
        print(f"    logged: {line[:240]}")
    # Files with a dot are the table's own.
    parts = [file for file in (folder / "out").rglob("[!.]*") if file.is_file() and "/." not in str(file.relative_to(folder))]
    found.sums = sorted(line for file in parts for line in file.read_text().splitlines())
    shutil.rmtree(folder, ignore_errors=True)
    return found


def main() -> None:
    binary = sys.argv[1]
    print(f"{KEYS} keys, {WINDOWS} windows of {KEYS * ROWS} rows, parallelism {PARALLELISM}")
    failed = False
    for case in CASES:
        free = run(binary, HOT_PERCENT[case], None)
        print(f"{case}, all memory: {free}", flush=True)
        limit_mib = LIMIT_MIB or int(free.state_mib / PART)
        limited = run(binary, HOT_PERCENT[case], limit_mib << 20)
        same = free.sums == limited.sums and len(free.sums) == WINDOWS
        print(f"{case}, {limit_mib} MiB: {limited}")
        print(
            f"  {free.wall_s / limited.wall_s * 100:.0f} % of the throughput; at most {limited.peak_mib / limit_mib * 100:.0f} % "
            f"of the limit resident, {limited.kernel_mib / limit_mib * 100:.0f} % with pages of files; "
            f"results {'are equal' if same else 'DIFFER'} ({len(free.sums)} and {len(limited.sums)} windows)",
            flush=True,
        )
        failed |= not same
    sys.exit(1 if failed else 0)


main()
