#!/usr/bin/env bash
# What checkpoints cost a job with much state of which little changes: bytes, processor time, memory, and the pause of the slot.
#   checkpoints.sh EDDYLINE...   one or several binaries, one after the other
# Environment: KEYS (10 000 000), CHECKPOINTS (9; at least one round of eight is worth measuring), INTERVAL (10, seconds).
# Needs 2 GB of memory and 3 GB in the temporary folder for ten million keys.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
"$here/../e2e/prerequisites.sh" python
PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/checkpoints.py" "$@"
