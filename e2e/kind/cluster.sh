#!/usr/bin/env bash
# The cluster for tests and development, a real one (kind).
#   cluster.sh up [WORKERS]     create the cluster if it does not exist (default: one node that does all; WORKERS > 0: a
#                               control plane and that many workers), wait until it is ready
#   cluster.sh down             delete it
#   cluster.sh load IMAGE...    copy images from Docker to the nodes that do not have them
#   cluster.sh route            let this machine reach pods and services by their addresses
#   cluster.sh env              print what to eval to use the cluster, with kubectl, kind and helm
#   cluster.sh status           nodes, and pods that do not run
#   cluster.sh stop-docker      stop the dockerd that these scripts started (clusters do not survive it)
# Uses kind's standard node image if it can be pulled, otherwise an image built from packages (prepare.sh).
# Environment: EDDYLINE_CLUSTER (name, eddyline), EDDYLINE_KIND_NODE_IMAGE (a node image by name, or "packages"),
#   EDDYLINE_KUBECONFIG, EDDYLINE_KIND_CACHE.
# shellcheck source=SCRIPTDIR/environment.sh
. "$(dirname "$0")/environment.sh"

usage() { sed -n '2,13p' "$0" >&2; exit 2; }

exists() { kind get clusters 2>/dev/null | grep -qx "$cluster"; }

need_cluster() {
  if ! command -v kind >/dev/null || ! docker info >/dev/null 2>&1 || ! exists; then
    die "there is no cluster $cluster: $here/cluster.sh up"
  fi
}

# Chooses the node image, and makes sure that it and the programs exist.
node_image() {
  local image=${EDDYLINE_KIND_NODE_IMAGE:-}
  if [ -z "$image" ]; then
    image=packages
    if ! docker image inspect "$NODE_IMAGE" >/dev/null 2>&1 && may_raise_limits && pullable "$STANDARD_NODE_IMAGE"; then
      image=$STANDARD_NODE_IMAGE
    fi
  fi
  if [ "$image" = packages ]; then
    "$here/prepare.sh" all
    image=$NODE_IMAGE
  else
    "$here/programs.sh" clients
  fi
  echo "$image"
}

# Every node runs systemd, containerd and a kubelet, which need high limits. The usual defaults are enough for one node at most.
raise_kernel_limits() {
  [ "$(id -u)" = 0 ] || return 0
  sysctl -qw fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=1048576 kernel.keys.maxkeys=20000 \
    kernel.keys.maxbytes=2000000 || say "the kernel's limits could not be raised: more than one node may not start"
}

up() {
  local workers=${1:-0} image config i
  [[ $workers =~ ^[0-9]+$ ]] || die "not a number of workers: $workers"
  "$here/prepare.sh" packages
  start_docker
  command -v kind >/dev/null || "$here/programs.sh" kind
  if exists && ! docker inspect -f '{{.State.Running}}' "$cluster-control-plane" 2>/dev/null | grep -qx true; then
    say "cluster $cluster exists, but its control plane does not run: creating a new one"
    kind delete cluster --name "$cluster" >&2
  fi
  if exists; then
    [ "$(kind get nodes --name "$cluster" | wc -l)" -ge $((workers + 1)) ] ||
      die "cluster $cluster has fewer than $workers workers: $here/cluster.sh down, then up $workers"
  else
    image=$(node_image)
    raise_kernel_limits
    config=$(mktemp)
    {
      printf 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking: {kubeProxyMode: iptables}\nnodes:\n'
      echo '- role: control-plane'
      for ((i = 0; i < workers; i++)); do echo '- role: worker'; done
    } >"$config"
    mkdir -p "$(dirname "$KUBECONFIG")"
    kind create cluster --name "$cluster" --image "$image" --config "$config" --wait 180s >&2 ||
      { rm -f "$config"; die "kind could not create the cluster $cluster from $image"; }
    rm -f "$config"
  fi
  if ! kubectl wait --for=condition=Ready nodes --all --timeout=180s >/dev/null ||
    ! kubectl -n kube-system rollout status deployment/coredns --timeout=180s >/dev/null ||
    ! kubectl -n local-path-storage rollout status deployment/local-path-provisioner --timeout=180s >/dev/null; then
    die "cluster $cluster is not ready after three minutes; create a new one: $here/cluster.sh down, then up"
  fi
  say "cluster $cluster is ready; to use it: eval \"\$($here/cluster.sh env)\""
}

# Has the node this image, by content? Images are imported under the same configuration digest that Docker shows as Id.
has_image() { # node, image, id
  docker exec "$1" sh -c '
    name=$(ctr -n k8s.io images ls -q | grep -x "\(.*/\)*$1" | head -n 1)
    [ -n "$name" ] || exit 1
    digest=$(ctr -n k8s.io images ls "name==$name" | awk "NR == 2 { print \$3 }")
    ctr -n k8s.io content get "$digest" | grep -q "$2"' - "$2" "$3" >/dev/null 2>&1
}

load() {
  local node image id missing=()
  need_cluster
  for image; do
    id=$(docker image inspect -f '{{.Id}}' "$image" 2>/dev/null) || die "Docker has no image $image: make images"
    for node in $(kind get nodes --name "$cluster"); do
      has_image "$node" "$image" "$id" || { missing+=("$image"); break; }
    done
  done
  [ ${#missing[@]} -gt 0 ] || { say "nothing to load: the nodes have $*"; return 0; }
  kind -q load docker-image --name "$cluster" "${missing[@]}" >&2
  say "loaded ${missing[*]}"
}

# Pods are routed, not tunnelled, so a program under test can run outside the cluster and still reach them. (Names are
# another matter: those need the cluster's DNS.)
route() {
  local cidr address
  need_cluster
  while read -r cidr address; do
    ip route replace "$cidr" via "$address"
  done < <(
    kubectl get nodes -o 'jsonpath={range .items[*]}{.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}'
    # Any node forwards to services. The control plane always exists.
    docker exec "$cluster-control-plane" sh -c \
      'sed -n "s/.*serviceSubnet: //p" /kind/kubeadm.conf | tr "\n" " "; hostname -i | tr " " "\n" | grep -F .'
  )
}

stop_docker() {
  [ -f "$cache/dockerd.pid" ] || die "these scripts started no dockerd"
  kill "$(cat "$cache/dockerd.pid")"
  rm -f "$cache/dockerd.pid"
}

command=${1:-}
[ $# = 0 ] || shift
case $command in
  up) up "$@" ;;
  down) kind delete cluster --name "$cluster" ;;
  load) [ $# -gt 0 ] || usage; load "$@" ;;
  route) route ;;
  env) printf 'export KUBECONFIG=%q\nexport PATH=%q:%s\n' "$KUBECONFIG" "$bin" "\$PATH" ;;
  status)
    need_cluster
    kubectl get nodes -o wide
    kubectl get pods -A --field-selector=status.phase!=Running,status.phase!=Succeeded
    ;;
  stop-docker) stop_docker ;;
  *) usage ;;
esac
