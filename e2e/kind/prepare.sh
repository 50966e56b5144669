#!/usr/bin/env bash
# Builds all that a cluster needs from Debian's packages and the Go module proxy, for machines without an image registry.
# Run as root. Does only what is missing or has changed; an interrupted run resumes where it stopped.
#   prepare.sh packages   Docker and the like, installed with apt-get where they are missing
#   prepare.sh debian     those, and the minimal Debian image, made with debootstrap
#   prepare.sh all        those, the programs, and the node image
# `cluster.sh up` runs it as needed. From nothing it compiles for a quarter of an hour (two cores).
# shellcheck source=SCRIPTDIR/environment.sh
. "$(dirname "$0")/environment.sh"

packages() {
  local need=()
  if ! docker info >/dev/null 2>&1 && ! command -v dockerd >/dev/null; then need+=(docker.io); fi
  if [ "$1" = images ]; then
    command -v containerd >/dev/null || need+=(containerd)
    command -v debootstrap >/dev/null || need+=(debootstrap)
    [ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || need+=(debian-archive-keyring)
  fi
  command -v iptables >/dev/null || need+=(iptables)
  command -v zstd >/dev/null || need+=(zstd)
  command -v curl >/dev/null || need+=(curl)
  [ ${#need[@]} = 0 ] && return 0
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    die "missing: ${need[*]} (Debian package names). Install them and run this again"
  fi
  say "installing: ${need[*]}"
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >"$cache/apt.log" 2>&1 ||
    { tail "$cache/apt.log" >&2; die "apt-get could not install ${need[*]}"; }
}

mkdir -p "$cache"
case ${1:-} in
  packages) packages docker ;;
  debian)
    packages images
    "$here/node-image.sh" debian
    ;;
  all)
    packages images
    start_docker
    "$here/programs.sh" cluster
    "$here/node-image.sh" all
    "$here/programs.sh" helm
    ;;
  *) sed -n '2,8p' "$0" >&2; exit 2 ;;
esac
