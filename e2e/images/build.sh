#!/usr/bin/env bash
# Builds the images eddyline/worker and eddyline/operator from the programs that cargo built on this machine, and prints
# their sizes. If no image registry is reachable, the base is built from Debian's packages.
#   build.sh [worker] [operator]     default: both
# Environment:
#   PROFILE           release or debug: which of cargo's builds (release)
#   TAG               of the images (the workspace's version)
#   CARGO_TARGET_DIR  where cargo built (target)
#   DEBIAN            base image to take the C library from (debian:bookworm-slim where it can be pulled)
# shellcheck source=SCRIPTDIR/../kind/environment.sh
. "$(dirname "$0")/../kind/environment.sh"

PROFILE=${PROFILE:-release}
TAG=${TAG:-$(workspace_version)}
programs=${CARGO_TARGET_DIR:-$root/target}/$PROFILE

declare -A program=([worker]=eddyline [operator]=eddyline-operator)
declare -A megabytes_max=([worker]=60 [operator]=40)

case ${1:-} in -*) sed -n '2,10p' "$0" >&2; exit 2 ;; esac
[ $# -gt 0 ] || set -- worker operator

build() { # room, base
  local name=${program[$1]} image=eddyline/$1:$TAG context
  [ -f "$programs/$name" ] ||
    die "$programs/$name is missing: cargo build --workspace$([ "$PROFILE" = debug ] || echo " --$PROFILE")"
  context=$(mktemp -d)
  # Strip the debug information, which is seven eighths of the file. Unwinding tables stay.
  strip --strip-all -o "$context/$name" "$programs/$name"
  chmod 755 "$context/$name"
  docker_build "$(mktemp -d)" --target image --build-arg "DEBIAN=$2" -f "$root/$1/Dockerfile" -t "eddyline-e2e/$1:rest"
  docker_build "$context" --build-arg "IMAGE=eddyline-e2e/$1:rest" --build-arg "PROGRAM=$name" \
    --label "org.opencontainers.image.version=$TAG" -f "$root/e2e/images/prebuilt.Dockerfile" -t "$image"
  # Checks that all libraries exist, and that no user and no writable file are needed.
  docker run --rm --read-only --cap-drop ALL --user 65532:65532 --network none "$image" --version >/dev/null ||
    die "$image does not run"
  report "$1" "$image"
}

# The size of a pull: layers are compressed with gzip, as in registries.
report() { # room, image
  local id known unpacked compressed
  id=$(docker image inspect -f '{{.Id}}' "$2")
  known=$cache/image-sizes/${id#sha256:}
  if [ ! -f "$known" ]; then
    mkdir -p "$(dirname "$known")"
    docker save "$2" | gzip -6 | wc -c >"$known.part"
    mv "$known.part" "$known"
  fi
  unpacked=$(docker image inspect -f '{{.Size}}' "$2")
  compressed=$(cat "$known")
  printf '%s: %s MB unpacked, %s MB as pulled (at most %s), %s\n' "$2" "$((unpacked / 1000000))" \
    "$(((compressed + 999999) / 1000000))" "${megabytes_max[$1]}" "${id:7:12}"
  if [ "$PROFILE" = release ] && [ "$compressed" -gt $((megabytes_max[$1] * 1000000)) ]; then
    die "$2 is larger than its limit"
  fi
}

for room; do [ -n "${program[$room]:-}" ] || die "there is no image $room: worker or operator"; done
"$here/prepare.sh" packages
start_docker
base=$(debian)
for room; do build "$room" "$base"; done
