#!/usr/bin/env bash
# Runs every fuzz target for so many seconds: run.sh [SECONDS]. Needs a nightly toolchain and cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")"
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  echo "missing: a nightly toolchain and cargo-fuzz (rustup toolchain install nightly; cargo install cargo-fuzz)" >&2
  exit 1
fi
for target in json_decode run_file sql; do
  cargo +nightly fuzz run "$target" -- -max_total_time="${1:-60}"
done
