"""The same question asked of DuckDB, in a process of its own: `duckdb_peer.py FILE THREADS`.

Prints the number of groups, the sum of the sums and the sum of the averages, which makes it compute both for every
group without giving it a result to write. `duckdb_peer.py - THREADS` starts DuckDB and asks nothing;
`duckdb_peer.py results FOLDER` prints number and sum of what Eddyline wrote.
"""

import sys

import duckdb


def relation(path: str) -> str:
    if path.endswith(".parquet"):
        return f"read_parquet('{path}')"
    columns = "{key: 'VARCHAR', value: 'INTEGER', ts: 'TIMESTAMP'}"
    return f"read_json('{path}', format = 'newline_delimited', columns = {columns})"


def main(path: str, threads: str) -> None:
    connection = duckdb.connect()
    if path == "results":
        print(*connection.execute(f"SELECT count(*), sum(total) FROM read_parquet('{threads}/*.parquet')").fetchone())
        return
    connection.execute(f"SET threads = {int(threads)}")
    if path == "-":
        connection.execute("SELECT 1")
        return
    groups = (
        "SELECT key, time_bucket(INTERVAL 10 SECOND, ts) AS window_start, avg(value) AS average, sum(value) AS total "
        f"FROM {relation(path)} GROUP BY key, window_start"
    )
    print(*connection.execute(f"SELECT count(*), sum(total), sum(average) FROM ({groups})").fetchone())


main(*sys.argv[1:])
