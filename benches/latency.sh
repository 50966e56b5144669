#!/usr/bin/env bash
# How long after the end of a window its results can be read from Kafka, at a steady rate of rows.
#   latency.sh EDDYLINE... [-- CASE...]   one or more binaries, run by turns; cases: datagen kafka exactly-once
#                                         exactly-once-state (none: all of them)
# Starts a broker of its own, and stops it. Installs what it needs: Python with a Kafka client that is not Eddyline's.
# Environment: RATE (50 000 rows a second), SECONDS_MEASURED (30), RUNS (1), PARALLELISM (1), KAFKA_PORT (19092)
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
"$here/../e2e/prerequisites.sh" kafka-client
"$here/../e2e/prerequisites.sh" services
export KAFKA_PORT=${KAFKA_PORT:-19092} KAFKA_HEAP=${KAFKA_HEAP:-1g}
broker=$here/../e2e/services/kafka/broker.sh
python=${XDG_CACHE_HOME:-$HOME/.cache}/eddyline/kafka-client-venv/bin/python
[ -x "$python" ] || python=python3
"$broker" start
trap '"$broker" stop' EXIT
PYTHONDONTWRITEBYTECODE=1 "$python" "$here/latency.py" "$broker" "127.0.0.1:$KAFKA_PORT" "$@"
