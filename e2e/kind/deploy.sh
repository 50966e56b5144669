#!/usr/bin/env bash
# Builds images from cargo's output, loads changed images into the cluster, and installs or upgrades the chart with them. Waits
# until the controller is ready. The name of an image ends in the beginning of its id, so a pod is replaced exactly when its
# program has changed.
#   deploy.sh [HELM-OPTION...]    for instance: deploy.sh --set replicas=1
# Environment: as e2e/images/build.sh; RELEASE (eddyline), NAMESPACE (eddyline-system).
# shellcheck source=SCRIPTDIR/environment.sh
. "$(dirname "$0")/environment.sh"

release=${RELEASE:-eddyline}
namespace=${NAMESPACE:-eddyline-system}
tag=${TAG:-$(workspace_version)}
chart=$root/charts/eddyline

case ${1:-} in -h | --help) sed -n '2,7p' "$0" >&2; exit 2 ;; esac
[ -f "$chart/Chart.yaml" ] || die "there is no chart in $chart"

"$root/e2e/images/build.sh"
worker=$(name_by_content "eddyline/worker:$tag")
operator=$(name_by_content "eddyline/operator:$tag")
"$here/cluster.sh" load "$worker" "$operator"
helm upgrade --install "$release" "$chart" --namespace "$namespace" --create-namespace \
  --set-string "operator.image.repository=eddyline/operator,operator.image.tag=${operator#*:}" \
  --set-string "worker.image.repository=eddyline/worker,worker.image.tag=${worker#*:}" \
  --set image.pullPolicy=IfNotPresent --wait --timeout 120s "$@" >&2 || {
  kubectl -n "$namespace" get pods >&2 || true
  kubectl -n "$namespace" get events --sort-by=.lastTimestamp >&2 | tail -n 15 || true
  die "helm could not install $chart; the pods and the latest events are above"
}
say "installed $operator and $worker as release $release in $namespace"
