"""The time from `kill -9` to the next row: `restore.py EDDYLINE [OLD]`, see restore.sh."""

import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import measure

KEYS = int(os.environ.get("KEYS", 100_000 if os.environ.get("QUICK") == "1" else 10_000_000))
RUNS = int(os.environ.get("RUNS", 3))
PARALLELISM = int(os.environ.get("PARALLELISM", 2))
ENDPOINT, BUCKET = os.environ["EDDYLINE_TEST_S3"], os.environ["EDDYLINE_TEST_S3_BUCKET"]
RATE = 2_000_000
"""Rows a second while state is made, at most."""
LOCAL_S = 3.0
"""The most seconds from the local copy."""
STORAGE_S = 1.0
"""The most seconds from storage, besides the transfer."""
PATIENCE_S = 900


class Job:
    """One process of the job."""

    def __init__(self, binary: str, script: pathlib.Path, local: pathlib.Path | None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        arguments = [
            binary, "run", str(script), "--parallelism", str(PARALLELISM), "--checkpoint-interval", "10s",
            "--checkpoint-dir", f"s3://{BUCKET}/restore", "--s3-endpoint", ENDPOINT,
            "--metrics-addr", f"127.0.0.1:{self.port}",
        ]
        if local is not None:
            arguments += ["--local-directory", str(local)]
        self.errors = tempfile.TemporaryFile()
        self.started = time.monotonic()
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=self.errors)

    def metrics(self) -> dict[str, float]:
        """Each metric, added up over its labels, those of sources and windows apart; none while they are not served."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            if self.process.poll() is not None:
                self.errors.seek(0)
                sys.exit(f"the job has ended: {self.errors.read().decode(errors='replace')[-4000:]}")
            return {}
        values: dict[str, float] = {}
        for line in lines:
            if found := re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line):
                labels = found[2] or ""
                of = " of sources" if "source/" in labels else " of windows" if "window-aggregate" in labels else ""
                for name in {found[1], found[1] + of}:
                    values[name] = values.get(name, 0.0) + float(found[3])
        return values

    def until(self, what: str, condition, pause_s: float = 0.005) -> dict[str, float]:
        """The metrics as soon as a condition holds for them."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            values = self.metrics()
            if condition(values):
                return values
            time.sleep(pause_s)
        sys.exit(f"not in time: {what}; last seen: {self.metrics()}")

    def kill(self) -> measure.Usage:
        """Ends it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        _, _, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = -signal.SIGKILL
        wall_s = time.monotonic() - self.started
        return measure.Usage(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024, "", [])


def bandwidth() -> float:
    """Bytes a second that the S3 server gives when all run files are read at the same time."""
    user = f"{os.environ['AWS_ACCESS_KEY_ID']}:{os.environ['AWS_SECRET_ACCESS_KEY']}"
    folder = pathlib.Path(os.environ["S3_DATA"]) / "files" / BUCKET / "restore"
    names = [str(path.relative_to(folder.parent)) for path in folder.rglob("*.run")]
    total = sum((folder.parent / name).stat().st_size for name in names)
    urls = [f"{ENDPOINT}/{BUCKET}/{name}" for name in names]
    started = time.monotonic()
    curls = [
        subprocess.Popen(
            ["curl", "-sSf", "--noproxy", "*", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--aws-sigv4",
             "aws:amz:us-east-1:s3", "--user", user, "-o", "/dev/null", url]
        )
        for url in urls
    ]
    if any(curl.wait() for curl in curls):
        sys.exit("the run files cannot be read from the S3 server")
    return total / (time.monotonic() - started)


def restart(
    binary: str, script: pathlib.Path, local: pathlib.Path | None
) -> tuple[float, dict[str, float], measure.Usage]:
    """Starts the job, right after it was killed: seconds to its first row, and the metrics then."""
    job = Job(binary, script, local)
    values = job.until("a row", lambda values: values.get("eddyline_rows_in_total of windows", 0) > 0)
    seconds = time.monotonic() - job.started
    # Before its first checkpoint, so that all runs restore the same one.
    return seconds, values, job.kill()


def main(binary: str, old: str | None = None) -> None:
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="eddyline-bench-"))
    try:
        text = (pathlib.Path(__file__).parent / "sql" / "restore.sql").read_text()
        script, local = scratch / "restore.sql", scratch / "local"
        script.write_text(text.replace("{keys}", str(KEYS)).replace("{rate}", str(RATE)))
        compare(scratch, binary, old, script, local)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def compare(scratch: pathlib.Path, binary: str, old: str | None, script: pathlib.Path, local: pathlib.Path) -> None:
    job = Job(binary, script, local)
    job.until("all groups", lambda values: values.get("eddyline_rows_in_total of sources", 0) >= KEYS, 0.2)
    first = job.metrics().get("eddyline_checkpoint_last_id", 0)
    made = job.until("a checkpoint of all groups", lambda v: v.get("eddyline_checkpoint_last_id", 0) >= first + 2, 0.05)
    peak_mib = job.kill().peak_mib
    state = made["eddyline_state_bytes"] / 2**30
    print(f"{KEYS:,} groups, {state:.2f} GiB of state in memory; peak while it was made {peak_mib:.0f} MiB")
    cases = {"local copy": (binary, local), "storage": (binary, None)}
    if old:
        cases["storage, old build"] = (old, None)
    runs: dict[str, list] = {name: [] for name in cases}
    for _ in range(RUNS):
        for name, (program, directory) in cases.items():
            runs[name].append(restart(program, script, directory))
    rate = bandwidth()
    print(f"the S3 server gives {rate / 2**20:.0f} MiB/s")
    missed = False
    for name, results in runs.items():
        seconds = statistics.median(seconds for seconds, _, _ in results)
        spread = (max(s for s, _, _ in results) - min(s for s, _, _ in results)) / 2
        values = results[0][1]
        of_copy = values.get("eddyline_restore_local_bytes", 0)
        of_storage = values.get("eddyline_restore_storage_bytes", 0)
        restore_s = statistics.median(v.get("eddyline_restore_duration_milliseconds", 0) for _, v, _ in results) / 1000
        cpu_s = statistics.median(usage.cpu_s for _, _, usage in results)
        peak = max(usage.peak_mib for _, _, usage in results)
        line = (
            f"{name}: {seconds:.2f} s ±{spread:.2f} to the first row, of these {restore_s:.2f} s for state; "
            f"{of_copy / 2**20:.0f} MiB from copies, {of_storage / 2**20:.0f} MiB from storage; "
            f"{cpu_s:.2f} CPU-s, peak {peak:.0f} MiB"
        )
        if "old" not in name:
            limit = LOCAL_S if name == "local copy" else STORAGE_S + of_storage / rate
            missed |= seconds > limit
            line += f"; at most {limit:.2f} s: {'missed' if seconds > limit else 'reached'}"
        print(line)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
