"""Makes the files the benchmarks read: once, into the cache, the same on every machine.

Columns: key STRING ('k17'), value INT (-1000 to 1000), ts TIMESTAMP(3). A million rows are ten seconds of event time;
each row is up to a second older than its place in the file.

`data.py FORMAT ROWS KEYS PATH` makes one file. The benchmarks start it as a process of its own: a child they measure
begins with the peak memory of its parent, so that they must stay small themselves.
"""

import os
import pathlib
import subprocess
import sys

ROWS_PER_EVENT_SECOND = 100_000
ROW_GROUP_ROWS = 1_000_000
GENERATION = 1
"""Part of the file names: raise it when what is generated changes."""


def cache() -> pathlib.Path:
    """The folder of generated files."""
    root = os.environ.get("EDDYLINE_BENCH_DATA")
    if root is None:
        root = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "eddyline", "bench-data")
    path = pathlib.Path(root)
    path.mkdir(parents=True, exist_ok=True)
    return path


def rows_query(rows: int, keys: int, ts_as_text: bool) -> str:
    """The rows as SQL. A multiplicative hash scatters the keys and does not depend on DuckDB's own hash function."""
    mixed = "((i * 2654435761 + {salt}) % 4294967296)"
    scatter = lambda salt: (
        f"(xor({mixed.format(salt=salt)}, {mixed.format(salt=salt)} >> 15) * 1103515245 % 4294967296 >> 5)"
    )
    ts = (
        "make_timestamp_ms(1772323200000 + i * 1000 // "
        f"{ROWS_PER_EVENT_SECOND} - {scatter(77)} % 1000)"
    )
    ts = f"strftime({ts}, '%Y-%m-%d %H:%M:%S.%g')" if ts_as_text else f"CAST({ts} AS TIMESTAMP_MS)"
    return (
        f"SELECT 'k' || CAST({scatter(11)} % {keys} AS VARCHAR) AS key, "
        f"CAST({scatter(5)} % 2001 AS INTEGER) - 1000 AS value, {ts} AS ts FROM range({rows}) r(i)"
    )


def file(format: str, rows: int, keys: int) -> pathlib.Path:
    """The file with this number of rows and keys. Creates it if it does not exist."""
    path = cache() / f"kv{GENERATION}-{rows}-{keys}.{format}"
    if not path.exists():
        subprocess.run([sys.executable, __file__, format, str(rows), str(keys), str(path)], check=True)
    return path


def make(format: str, rows: int, keys: int, path: str) -> None:
    """Writes a file; it appears under its name when it is whole."""
    import duckdb

    options = {
        "parquet": f"FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {ROW_GROUP_ROWS}",
        "json": "FORMAT json",
    }[format]
    connection = duckdb.connect()
    connection.execute("SET memory_limit = '4GB'")
    connection.execute(f"COPY ({rows_query(rows, keys, format == 'json')}) TO '{path}.part' ({options})")
    os.rename(f"{path}.part", path)


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
