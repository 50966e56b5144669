#!/usr/bin/env bash
# Speed from Kafka to Kafka: JSON in, a tumbling average and sum per key, JSON out; a checkpoint every 10 s.
#   kafka.sh EDDYLINE [KEYS...]   KEYS: how many keys, one case each (1000 1000000)
# Starts and stops its own broker. Installs what it needs.
# Environment: QUICK=1 (a twentieth of the rows), ROWS (10 000 000), RUNS (3), KAFKA_PORT (19092),
#   FLINK_RUNNER: a program that runs the Flink SQL script it is given as its one argument on Apache Flink, in its own
#   process, and ends when the job has. Its figures are then printed beside Eddyline's; FLINK_RUNS (1) is how often.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,/^set /{/^#/p}' "$0" >&2; exit 2; }
eddyline=$(realpath "$1")
shift
here=$(cd "$(dirname "$0")" && pwd)
"$here/../e2e/prerequisites.sh" bench
"$here/../e2e/prerequisites.sh" services
export KAFKA_PORT=${KAFKA_PORT:-19092} KAFKA_HEAP=${KAFKA_HEAP:-1g}
broker=$here/../e2e/services/kafka/broker.sh
python=${XDG_CACHE_HOME:-$HOME/.cache}/eddyline/bench-venv/bin/python
[ -x "$python" ] || python=python3
"$broker" start
trap '"$broker" stop' EXIT
PYTHONDONTWRITEBYTECODE=1 "$python" "$here/kafka.py" "$eddyline" "$broker" "127.0.0.1:$KAFKA_PORT" "$@"
