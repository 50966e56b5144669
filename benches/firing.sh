#!/usr/bin/env bash
# What the firing of a window with very many groups costs: memory, and how long barriers wait.
#   firing.sh EDDYLINE...   one or several binaries, one after the other
# Environment: KEYS (10 000 000), RUNS (5, of which barriers are taken). Needs 3 GB of memory, and 2 GB in the temporary folder, for ten million keys.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
"$here/../e2e/prerequisites.sh" python
PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/firing.py" "$@"
