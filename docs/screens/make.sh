#!/usr/bin/env bash
# Makes the pictures of docs/screens and pastes the screens into the documentation, from real runs.
#   make.sh EDDYLINE            screens of the binary
#   make.sh EDDYLINE cluster    also screens of the cluster that kubectl reaches, with the chart installed
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,4p' "$0" >&2; exit 2; }
eddyline=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
"$here/../../e2e/prerequisites.sh" screens
python=${XDG_CACHE_HOME:-$HOME/.cache}/eddyline/screens-venv/bin/python
if [ "${2:-}" = cluster ]; then
  trap 'kubectl delete --ignore-not-found --wait=false -f "$here/broken.yaml" -f "$here/../../config/samples/hello.yaml" >/dev/null' EXIT
  kubectl apply -f "$here/../../config/samples/hello.yaml" -f "$here/broken.yaml"
  kubectl wait --for=condition=Ready --timeout=120s streamjob/hello
  kubectl wait --for=condition=Stalled --timeout=120s streamjob/broken
fi
PYTHONDONTWRITEBYTECODE=1 "$python" "$here/make.py" "$eddyline" "${@:2}"
