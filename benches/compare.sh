#!/usr/bin/env bash
# Compares two builds of Eddyline, run alternately: queries of Nexmark on events that the process generates.
#   compare.sh OLD NEW [QUERY...]   two binaries; queries: those of benches/sql/compare (none: all of them)
# Environment: EVENTS (3 000 000), RUNS (5)
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2; }
"$(dirname "$0")/../e2e/prerequisites.sh" python
PYTHONDONTWRITEBYTECODE=1 exec python3 "$(dirname "$0")/compare.py" "$@"
