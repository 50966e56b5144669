#!/usr/bin/env bash
# A window job whose state is several times the memory that it may have: whether it survives, what it costs, and whether the
# results are those of a job with enough memory.
#   memory.sh EDDYLINE
# Environment: KEYS (10 000 000), WINDOWS (10), ROWS (rows of a window for each key, 2), PART (the limit is one part in so many
# of the state, 8), LIMIT (the limit in MiB, instead of PART), PARALLELISM (1), CASES (uniform,skewed), QUICK=1 (a hundredth of
# the keys, and 4 windows: shows that it runs, no more).
# Needs the right to make a memory cgroup (version 1 or 2), 3 GB of memory and 5 GB in the temporary folder for ten million keys.
set -euo pipefail
[ $# -eq 1 ] || { sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
"$here/../e2e/prerequisites.sh" python
PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/memory.py" "$1"
