#!/usr/bin/env bash
# Creates a cluster, with services and the chart, and runs scenarios in it. Deletes the cluster afterwards, unless it existed
# before.
#   run.sh core | full | SCENARIO...
# Environment: PROFILE (release or debug), WORKERS (worker nodes, 0), EDDYLINE_CLUSTER (eddyline-e2e), CARGO_TARGET_DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { sed -n "2,5p" "$0" >&2; exit 2; }
export PROFILE=${PROFILE:-release} EDDYLINE_CLUSTER=${EDDYLINE_CLUSTER:-eddyline-e2e}
target=${CARGO_TARGET_DIR:-target}

# The same selection of packages for everything in the debug profile: another one would compile the dependencies again.
cargo build --workspace --all-targets
[ "$PROFILE" = debug ] || cargo build --workspace "--$PROFILE"

eval "$(e2e/kind/cluster.sh env)"
if ! kind get clusters 2>/dev/null | grep -qx "$EDDYLINE_CLUSTER"; then
  trap 'e2e/kind/cluster.sh down' EXIT
fi
e2e/kind/cluster.sh up "${WORKERS:-0}"
e2e/kind/services.sh up
if [ "$*" = full ] || [ "$*" = autoscaler ]; then e2e/kind/services.sh metrics; fi
e2e/kind/deploy.sh
e2e/kind/cluster.sh route
eval "$(e2e/kind/services.sh env)"
"$target/debug/eddyline-e2e" "$@"
