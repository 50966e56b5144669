#!/usr/bin/env bash
# How long a job with much state takes from `kill -9` to its next row: from the local copy, and from an S3 server.
#   restore.sh EDDYLINE [OLD]   OLD: another build, measured from storage by turns with the first
# Starts and stops its own S3 server. Installs what it needs.
# Environment: KEYS (groups of state, 10 000 000), RUNS (3), PARALLELISM (2), S3_PORT (a free one), QUICK=1 (a hundredth of
#   the groups: shows that it runs, no more).
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
"$here/../e2e/prerequisites.sh" services
export S3_DATA S3_PORT
S3_DATA=$(mktemp -d)
S3_PORT=${S3_PORT:-$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
server=$here/../e2e/services/s3/server.sh
trap '"$server" wipe >/dev/null' EXIT
"$server" start >/dev/null
eval "$("$server" env)"
PYTHONDONTWRITEBYTECODE=1 python3 "$here/restore.py" "$@"
