#!/bin/sh
# Writes the workspace's manifests with empty sources to a folder. That is enough for cargo to compile all dependencies. It
# changes only with them, so an image build finds that layer in its cache. For the Dockerfiles.
#   skeleton.sh WORKSPACE TARGET
set -eu
if [ $# != 2 ]; then
  sed -n '2,4p' "$0" >&2
  exit 2
fi
mkdir -p "$2"
cd "$1"
workspace=$(pwd)
# Manifests and settings of cargo, in their folders.
find . \( -name target -o -name .git \) -prune -o \
  \( -name Cargo.toml -o -name Cargo.lock -o -path '*/.cargo/config.toml' \) -print |
  tar -cf - -T - | tar -xf - -C "$2"
# Every library, program, test and build script in the manifests.
cargo metadata --no-deps --offline --format-version 1 | grep -o '"src_path":"[^"]*"' | cut -d'"' -f4 |
  while read -r source; do
    file=$2${source#"$workspace"}
    mkdir -p "$(dirname "$file")"
    echo 'fn main() {}' >"$file"
  done
