#!/usr/bin/env bash
# Whole-process speed and memory compared with DuckDB, on files that are generated once and kept in the cache.
#   run.sh EDDYLINE [CASE...]   cases: parquet-1000 parquet-1000000 json-1000 json-1000000 ceiling agree idle
#                               first-row memory
#                               (none: all of them)
# Environment: QUICK=1 (a twentieth of the rows), ROWS (rows of the Parquet files; JSON has a quarter), RUNS (3),
#   EDDYLINE_BENCH_DATA (where the files are; about 1 GB).
# Installs what it needs: Python with DuckDB.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2; }
eddyline=$(realpath "$1")
shift
here=$(cd "$(dirname "$0")" && pwd)
"$here/../e2e/prerequisites.sh" bench
python=${XDG_CACHE_HOME:-$HOME/.cache}/eddyline/bench-venv/bin/python
[ -x "$python" ] || python=python3
PYTHONDONTWRITEBYTECODE=1 exec "$python" "$here/files.py" "$eddyline" "$@"
