# Names, versions and the Docker daemon, for the scripts of this folder (sourced, not run).
# shellcheck shell=bash disable=SC2034
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${EDDYLINE_KIND_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/eddyline/kind}
bin=$cache/bin
build=$cache/build # made on the way; may be deleted
# This Docker may lack BuildKit. Nothing in this repository needs it.
export DOCKER_BUILDKIT=0

KUBERNETES_VERSION=v1.34.4
# kind's own image, used where it can be pulled.
STANDARD_NODE_IMAGE=kindest/node:v1.34.0
# The image that node-image.sh makes from packages, used elsewhere.
NODE_IMAGE=eddyline-e2e/node:$KUBERNETES_VERSION
# A minimal Debian made by debootstrap: a replacement for debian:bookworm-slim where that cannot be pulled.
DEBIAN_IMAGE=eddyline-e2e/debian:bookworm
STANDARD_DEBIAN_IMAGE=debian:bookworm-slim

cluster=${EDDYLINE_CLUSTER:-eddyline}
export KUBECONFIG=${EDDYLINE_KUBECONFIG:-$cache/$cluster.kubeconfig}
export PATH=$bin:$PATH

say() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }
die() { echo "error: $*" >&2; exit 1; }

# On some machines nobody has this capability, not even root.
may_raise_limits() {
  local bounding
  bounding=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)
  [ $((0x$bounding >> 24 & 1)) = 1 ]
}

# start_docker starts dockerd by hand where no daemon answers (no systemd needed).
start_docker() {
  if docker info >/dev/null 2>&1; then
    # A daemon started otherwise will do, unless this machine needs docker-runc.
    may_raise_limits || [ "$(docker info --format '{{.DefaultRuntime}}')" = adapted ] ||
      die "the running Docker daemon cannot start kind nodes on this machine, which lacks CAP_SYS_RESOURCE (see $here/docker-runc): stop it, and it is started here as needed"
    return 0
  fi
  command -v dockerd >/dev/null ||
    die "no Docker daemon answers and dockerd is not installed: start Docker, or as root run $here/prepare.sh"
  [ "$(id -u)" = 0 ] || die "no Docker daemon answers, and only root can start one: start Docker"
  say "starting dockerd (log: $cache/dockerd.log)"
  mkdir -p "$cache"
  # Left over from a machine that stopped without warning.
  rm -f /var/run/docker.pid
  # A copy: the daemon may outlive this checkout.
  install -m 755 "$here/docker-runc" "$cache/docker-runc"
  setsid nohup dockerd --add-runtime "adapted=$cache/docker-runc" --default-runtime adapted \
    >"$cache/dockerd.log" 2>&1 </dev/null &
  echo $! >"$cache/dockerd.pid"
  local i
  for ((i = 0; i < 120; i++)); do
    docker info >/dev/null 2>&1 && return 0
    sleep 0.5
  done
  tail -n 20 "$cache/dockerd.log" >&2
  die "dockerd did not come up within a minute"
}

# pullable IMAGE: is it here, or can it be fetched? Fetches it.
pullable() {
  docker image inspect "$1" >/dev/null 2>&1 && return 0
  # An unreachable registry may be silent for minutes.
  timeout 15 docker manifest inspect "$1" >/dev/null 2>&1 || return 1
  say "pulling $1"
  timeout 600 docker pull -q "$1" >/dev/null
}

# debian prints the name of the Debian image, and builds the image if it can be neither found nor pulled.
debian() {
  if [ -n "${DEBIAN:-}" ]; then
    echo "$DEBIAN"
  elif docker image inspect "$DEBIAN_IMAGE" >/dev/null 2>&1; then
    echo "$DEBIAN_IMAGE"
  elif pullable "$STANDARD_DEBIAN_IMAGE"; then
    echo "$STANDARD_DEBIAN_IMAGE"
  else
    "$here/prepare.sh" debian
    echo "$DEBIAN_IMAGE"
  fi
}

# docker_build CONTEXT OPTION... builds quietly, shows the log when that fails, and removes the context, which is a
# temporary folder.
docker_build() {
  local context=$1 log=$1.log
  shift
  if ! docker build -q "$@" "$context" >"$log" 2>&1; then
    cat "$log" >&2
    rm -rf "$context" "$log"
    die "docker build $* failed"
  fi
  rm -rf "$context" "$log"
}

# name_by_content IMAGE gives it a second name that ends in the beginning of its id, and prints that. Other content has another
# name, so that pods with that image are replaced.
# Earlier names like it are dropped.
name_by_content() {
  local id name old
  id=$(docker image inspect -f '{{.Id}}' "$1")
  name=$1-${id:7:12}
  docker tag "$1" "$name"
  while read -r old; do
    docker rmi "$old" >/dev/null 2>&1 || true
  done < <(docker images --format '{{.Repository}}:{{.Tag}}' "${1%:*}" | grep -xE "${1//./\\.}-[0-9a-f]{12}" | grep -vxF "$name")
  echo "$name"
}

workspace_version() {
  sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml"
}
