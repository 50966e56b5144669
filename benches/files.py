"""The benchmarks that need no service: `files.py EDDYLINE [CASE...]`, see run.sh."""

import concurrent.futures
import functools
import importlib.metadata
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

import data
import job
import measure

HERE = pathlib.Path(__file__).parent
QUICK = os.environ.get("QUICK") == "1"
ROWS = int(os.environ.get("ROWS", 1_000_000 if QUICK else 20_000_000))
RUNS = int(os.environ.get("RUNS", 3))
PARALLELISM = [1, 2]
SPEED_UP_WANTED = 1.7


def duckdb_command(path, threads) -> list[str]:
    return [sys.executable, str(HERE / "duckdb_peer.py"), str(path), str(threads)]


@functools.cache
def duckdb_start_s() -> float:
    """CPU seconds of DuckDB's process when it is asked nothing: Python, and DuckDB's own start."""
    return statistics.median(measure.run(duckdb_command("-", 1)).cpu_s for _ in range(max(RUNS, 3)))


def table(path: pathlib.Path, sink: str = job.BLACKHOLE) -> dict[str, str]:
    return {"path": str(path), "format": path.suffix[1:], "sink": sink}


def rows_of(format: str) -> int:
    return ROWS if format == "parquet" else ROWS // 4


def windows(eddyline: job.Eddyline, format: str, keys: int) -> None:
    """Tumbling AVG and SUM per key, Eddyline and DuckDB by turns."""
    rows = rows_of(format)
    path = data.file(format, rows, keys)
    subprocess.run(["cat", str(path)], stdout=subprocess.DEVNULL, check=True)
    # Rows per CPU-second, Eddyline / DuckDB.
    wanted = {("parquet", 1000): 1 / 1.5, ("parquet", 1_000_000): 1.0}.get((format, keys), 1.5)
    size_mb = path.stat().st_size / 1e6
    print(f"{format}, {rows / 1e6:g} M rows, {keys} keys ({size_mb:.0f} MB)   load {os.getloadavg()[0]:.1f}")
    runs: dict[tuple[str, int], list[measure.Usage]] = {}
    for _ in range(RUNS):
        for width in PARALLELISM:
            runs.setdefault(("eddyline", width), []).append(eddyline.run("file", table(path), width))
            runs.setdefault(("duckdb", width), []).append(measure.run(duckdb_command(path, width)))
    figures = {case: measure.Figures(rows, usages) for case, usages in runs.items()}
    for (name, width), figure in figures.items():
        print(figure.line(f"{name}, {width} thread{'s' * (width > 1)}"))
    ours, theirs = figures["eddyline", 1].cpu_s, figures["duckdb", 1].cpu_s
    # The harder of the two comparisons counts: DuckDB does not pay for Python, Eddyline pays for its own start.
    ratio = (theirs - duckdb_start_s()) / ours
    verdict = "reached" if ratio >= wanted else "MISSED"
    print(
        f"  rows per CPU-second, Eddyline / DuckDB: {theirs / ours:.2f}, without DuckDB's start {ratio:.2f}   "
        f"wanted {wanted:.2f}: {verdict}"
    )
    for name in ["eddyline", "duckdb"]:
        speed_up = figures[name, 1].wall_s / figures[name, 2].wall_s
        best = min(u.wall_s for u in runs[name, 1]) / min(u.wall_s for u in runs[name, 2])
        verdict = ""
        if name == "eddyline":
            verdict = f"   wanted {SPEED_UP_WANTED}: " + ("reached" if speed_up >= SPEED_UP_WANTED else "MISSED")
        print(f"  wall time, 1 thread / 2 threads, {name}: {speed_up:.2f} (best runs {best:.2f}){verdict}")
    print(flush=True)


def ceiling(eddyline: job.Eddyline) -> None:
    """What two cores of this machine give to work that shares nothing: two whole jobs side by side, beside one alone.

    No speed-up of one job on two slots can be expected to pass it.
    """
    other = job.Eddyline(eddyline.binary)
    try:
        for format, keys in [(format, keys) for format in ["parquet", "json"] for keys in [1000, 1_000_000]]:
            path = data.file(format, rows_of(format), keys)
            alone, together = [], []
            for _ in range(RUNS):
                alone.append(eddyline.run("file", table(path)).wall_s)
                begun = time.monotonic()
                with concurrent.futures.ThreadPoolExecutor() as pool:
                    list(pool.map(lambda one: one.run("file", table(path)), [eddyline, other]))
                together.append(time.monotonic() - begun)
            alone_s, together_s = statistics.median(alone), statistics.median(together)
            print(
                f"ceiling: {format}, {keys} keys: one job {alone_s:.2f} s, two at once {together_s:.2f} s: "
                f"{2 * alone_s / together_s:.2f} times the work"
            )
    finally:
        other.close()
    print(flush=True)


def agree(eddyline: job.Eddyline) -> None:
    """Both give as many groups with the same sum, at both parallelisms."""
    for format, keys in [("parquet", 1000), ("json", 1_000_000)]:
        path = data.file(format, rows_of(format), keys)
        groups, total, _ = measure.run(duckdb_command(path, 1)).stdout.split()
        for width in PARALLELISM:
            out = eddyline.scratch / "out"
            shutil.rmtree(out, ignore_errors=True)
            sink = f"'connector' = 'filesystem', 'path' = '{out}', 'format' = 'parquet'"
            eddyline.run("file", table(path, sink), width)
            ours = measure.run(duckdb_command("results", out)).stdout.split()
            if ours != [groups, total]:
                sys.exit(f"{path.name} at parallelism {width}: {ours} is not DuckDB's {[groups, total]}")
            print(f"agree: {path.name} at parallelism {width}: {groups} groups, sum {total}")
    print(flush=True)


def idle(eddyline: job.Eddyline) -> None:
    """Memory of a job with a row a second, after 3 s."""
    usages = [eddyline.run("idle", {}, sample_rss=True, stop_after_s=3.2) for _ in range(RUNS)]
    settled = [max(mib for at, mib in usage.rss_mib if 2.5 < at < 3.2) for usage in usages]
    resident = statistics.median(settled)
    verdict = "reached" if resident < 30 else "MISSED"
    print(f"idle: {resident:.1f} MiB resident after 3 s, wanted < 30: {verdict}\n", flush=True)


def first_row(eddyline: job.Eddyline) -> None:
    """Wall time of a job over a file of three rows, from the start of the process to its end."""
    path = eddyline.scratch / "three.json"
    path.write_text("".join(f'{{"key":"k{i}","value":{i},"ts":"2026-03-01 00:00:0{i}.000"}}\n' for i in range(3)))
    usages = [eddyline.run("file", table(path, "'connector' = 'print'")) for _ in range(max(RUNS, 5))]
    assert "k2" in usages[0].stdout, f"no row was printed: {usages[0].stdout!r}"
    wall_ms = [usage.wall_s * 1000 for usage in usages]
    median = statistics.median(wall_ms)
    print(
        f"first row: {median:.0f} ms for a whole job of three rows ({min(wall_ms):.0f} to {max(wall_ms):.0f}), "
        f"wanted < 300: {'reached' if median < 300 else 'MISSED'}\n",
        flush=True,
    )


def memory(eddyline: job.Eddyline) -> None:
    """Memory over a run of 120 and more windows with 100 000 keys: at the 20th, at the 100th, and the peak."""
    windows = 120
    rows = windows * 1_000_000 // (20 if QUICK else 4)
    usage = eddyline.run("memory", {"rows": str(rows), "rows_per_ms": str(rows // (windows * 10_000))}, sample_rss=True)
    at = lambda window: statistics.median(
        mib for at, mib in usage.rss_mib if abs(at / usage.wall_s - window / windows) < 0.02
    )
    print(
        f"memory over {windows} windows: {at(20):.0f} MiB at the 20th, {at(100):.0f} MiB at the 100th, "
        f"peak {usage.peak_mib:.0f} MiB\n",
        flush=True,
    )


CASES = {
    **{
        f"{format}-{keys}": lambda eddyline, format=format, keys=keys: windows(eddyline, format, keys)
        for format in ["parquet", "json"]
        for keys in [1000, 1_000_000]
    },
    "ceiling": ceiling,
    "agree": agree,
    "idle": idle,
    "first-row": first_row,
    "memory": memory,
}


def main(binary: str, *names: str) -> None:
    unknown = set(names) - set(CASES)
    if unknown:
        sys.exit(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    version = importlib.metadata.version("duckdb")
    print(f"{model}, {os.cpu_count()} CPUs, {platform.platform()}; DuckDB {version}; {RUNS} runs, medians")
    print(f"DuckDB's process with nothing to do: {duckdb_start_s():.2f} cpu-s, part of its lines below\n", flush=True)
    eddyline = job.Eddyline(binary)
    try:
        for name in names or CASES:
            CASES[name](eddyline)
    finally:
        eddyline.close()


main(*sys.argv[1:])
