#!/usr/bin/env bash
# Checks the deployment without a cluster: the chart has no warnings, its switches work, and it gives the same objects as the
# kustomize bases in config. Needs helm and kubectl. If they are not installed, it only reports that.
#   deployment-check.sh
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '2,4p' "$0" >&2; exit 2 ;; esac

# Those of the development cluster (e2e/kind), if they exist.
PATH=$PATH:${EDDYLINE_KIND_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/eddyline/kind}/bin
for program in helm kubectl; do
  if ! command -v "$program" >/dev/null; then
    echo "not checked: charts and config, because $program is not installed" >&2
    exit 0
  fi
done

chart=charts/eddyline
kubernetes=(--kube-version 1.34.0)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() { echo "deployment check: $*" >&2; exit 1; }
render() { helm template eddyline "$chart" --namespace eddyline-system "${kubernetes[@]}" "$@"; }
accepts() { render "$@" >"$work/rendered" || die "the chart cannot be rendered with: $*"; }
refuses() { ! render "$@" >/dev/null 2>&1 || die "the chart accepts: $*"; }
has() { grep -q -- "$1" "$work/rendered" || die "$2"; }
lacks() { ! grep -q -- "$1" "$work/rendered" || die "$2"; }

helm lint --strict --quiet "$chart"

accepts --set crds.install=false
lacks 'kind: CustomResourceDefinition' 'crds.install=false leaves definitions in the release'
accepts --set crds.keep=false
lacks 'resource-policy' 'crds.keep=false keeps the definitions'
accepts --set 'watchNamespaces={orders,views}'
has 'namespace: views' 'a watched namespace gets no role'
[ "$(grep -c 'statefulsets' "$work/rendered")" = 2 ] || die 'a namespaced install has rights elsewhere'
accepts --set defaultStorage.uri=s3://bucket/jobs --set defaultStorage.secretRef.name=s3
has '{\\"secretRef\\":{\\"name\\":\\"s3\\"},\\"uri\\":\\"s3://bucket/jobs\\"}' 'the default storage does not reach the controller'
accepts --set replicas=1 --set leaderElection=false
has 'type: Recreate' 'without election two controllers act during a rolling update'
lacks 'kind: PodDisruptionBudget' 'a single replica has a disruption budget, which would block every drain'
accepts
lacks 'type: Recreate' 'replicas that elect one are not replaced one by one'
has '--lease-name=eddyline-operator' 'the release has no Lease of its own'
accepts --set metrics.serviceMonitor.enabled=true --set metrics.podMonitor.enabled=true \
  --set metrics.prometheusRule.enabled=true --set metrics.dashboard.enabled=true
for kind in ServiceMonitor PodMonitor PrometheusRule ConfigMap; do
  has "kind: $kind" "the switch of $kind has no effect"
done
refuses --set replica=3
refuses --set leaderElection=false
refuses --set defaultStorage.uri=bucket
refuses --set image.pullPolicy=Sometimes

# Both give the same objects, apart from what Helm adds and from the namespace, which Helm creates with a flag.
same() { kubectl kustomize "$1" >"$2" || die "kubectl kustomize $1 fails"; }
mkdir "$work/chart" "$work/config"
render | sed -e '/helm.sh\/chart:/d' -e '/app.kubernetes.io\/managed-by:/d' -e '/^  annotations:$/,/helm.sh\/resource-policy:/d' \
  >"$work/chart/all.yaml"
printf 'resources: [all.yaml]\n' >"$work/chart/kustomization.yaml"
same "$work/chart" "$work/chart.yaml"
same config/default "$work/default.yaml"
cp "$work/default.yaml" "$work/config/all.yaml"
cat >"$work/config/kustomization.yaml" <<'KUSTOMIZATION'
resources: [all.yaml]
patches:
  - patch: |
      apiVersion: v1
      kind: Namespace
      metadata: {name: eddyline-system}
      $patch: delete
KUSTOMIZATION
same "$work/config" "$work/config.yaml"
diff -u "$work/chart.yaml" "$work/config.yaml" || die 'the chart (-) and config/default (+) differ'
for overlay in config/samples config/samples/development; do
  same "$overlay" "$work/samples.yaml"
done
