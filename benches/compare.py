"""Compares two builds: `compare.py OLD NEW [QUERY...]`, see compare.sh."""

import os
import pathlib
import sys
import tempfile

import measure

QUERIES = pathlib.Path(__file__).resolve().parent / "sql" / "compare"
EVENTS = int(os.environ.get("EVENTS", 3_000_000))
RUNS = int(os.environ.get("RUNS", 5))


def compare(old: str, new: str, query: str, folder: str) -> None:
    """Runs both by turns and prints the CPU seconds of their best runs, and the ratio of these."""
    tables = (QUERIES / "tables.sql").read_text().replace("@EVENTS@", str(EVENTS))
    job = pathlib.Path(folder) / f"{query}.sql"
    job.write_text(tables + (QUERIES / f"{query}.sql").read_text())
    took = {old: [], new: []}
    for _ in range(RUNS):
        for binary in (old, new):
            took[binary].append(measure.run([binary, "run", "--log", "json", str(job)]).cpu_s)
    before, after = min(took[old]), min(took[new])
    print(f"{query:<12} old {before:6.2f} cpu-s   new {after:6.2f} cpu-s   new / old {after / before:.2f}", flush=True)


if __name__ == "__main__":
    queries = sys.argv[3:] or sorted(file.stem for file in QUERIES.glob("*.sql") if file.stem != "tables")
    with tempfile.TemporaryDirectory() as temporary:
        for name in queries:
            compare(sys.argv[1], sys.argv[2], name, temporary)
