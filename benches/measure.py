"""Starts a process and measures the whole of it: CPU seconds, wall time, peak memory, memory over time.

CPU seconds are user and system time of the process and everything it waited for, from the kernel (`wait4`).
"""

import dataclasses
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

SAMPLE_INTERVAL_S = 0.02


@dataclasses.dataclass
class Usage:
    """What one run of a process took."""

    cpu_s: float
    wall_s: float
    peak_mib: float
    stdout: str
    rss_mib: list[tuple[float, float]]
    """Seconds since the start and resident memory then; empty unless it was asked for."""


def resident_mib(pid: int) -> float | None:
    """The resident memory of a process, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return None


def run(command: list[str], sample_rss: bool = False, stop_after_s: float | None = None, env=None) -> Usage:
    """Runs a command to its end, or stops it with SIGTERM after `stop_after_s`. A failure ends the benchmark."""
    started = time.monotonic()
    # A file of its own for each: two jobs may run at the same time.
    errors = tempfile.TemporaryFile()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=env)
    samples: list[tuple[float, float]] = []
    stopped = False
    if sample_rss or stop_after_s is not None:
        # The zombie keeps its id until wait4, so that reading /proc cannot hit another process.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            now = time.monotonic() - started
            resident = resident_mib(process.pid)
            if resident:
                samples.append((now, resident))
            if stop_after_s is not None and now > stop_after_s and not stopped:
                # Not by `send_signal`, which would take the exit status away from `wait4`.
                os.kill(process.pid, signal.SIGTERM)
                stopped = True
            if now > (stop_after_s or 1e9) + 20:
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(SAMPLE_INTERVAL_S)
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - started
    if process.returncode != 0 and not stopped:
        errors.seek(0)
        message = errors.read().decode(errors="replace")
        sys.exit(f"failed ({process.returncode}): {' '.join(command)}\n{message[-4000:]}")
    errors.close()
    return Usage(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024, output, samples)


@dataclasses.dataclass
class Figures:
    """Several runs of one case: medians, and the spread of the CPU time."""

    rows: int
    runs: list[Usage]

    def median(self, name: str) -> float:
        return statistics.median(getattr(run, name) for run in self.runs)

    @property
    def cpu_s(self) -> float:
        return self.median("cpu_s")

    @property
    def wall_s(self) -> float:
        return self.median("wall_s")

    @property
    def rows_per_cpu_s(self) -> float:
        return self.rows / self.cpu_s

    @property
    def spread(self) -> float:
        """Greatest minus smallest CPU time, as a share of the median."""
        cpu = [run.cpu_s for run in self.runs]
        return (max(cpu) - min(cpu)) / self.cpu_s

    def line(self, name: str) -> str:
        return (
            f"  {name:<22} {self.cpu_s:8.2f} cpu-s  {self.wall_s:7.2f} s wall  "
            f"{self.rows_per_cpu_s / 1e6:7.2f} M rows/cpu-s  {self.median('peak_mib'):7.0f} MiB  "
            f"±{self.spread * 50:.0f} %"
        )
