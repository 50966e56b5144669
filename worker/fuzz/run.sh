#!/usr/bin/env bash
# Runs fuzz targets, one after the other: run.sh [SECONDS [TARGET...]]. Without targets all of them, for 60 seconds each.
#
# Needs cargo-fuzz and a C++ compiler. With a nightly toolchain targets are built with the address sanitizer; without one,
# or with FUZZ_TOOLCHAIN=stable, the stable compiler builds them without (RUSTC_BOOTSTRAP=1 lets it take the flags that
# count coverage).
#
# Each target starts from seeds taken from the samples and fixtures of this repository, and keeps what it finds in
# corpus/TARGET. What makes it crash is in artifacts/TARGET; `run.sh 0 TARGET` builds it and runs the corpus only.
# Builds go to CARGO_TARGET_DIR/fuzz, or to target/ here.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
case $seconds in
  '' | *[!0-9]*) sed -n '2,11p' run.sh >&2; exit 2 ;;
esac
[ $# -gt 0 ] || set -- json_decode run_file sql

if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "missing: cargo-fuzz (cargo install cargo-fuzz)" >&2
  exit 4
fi
# Asked of the list: `cargo +nightly` would install a toolchain that is missing.
if [ "${FUZZ_TOOLCHAIN:-nightly}" = nightly ] && rustup toolchain list 2>/dev/null | grep -q '^nightly-'; then
  fuzz=(cargo +nightly fuzz run)
else
  export RUSTC_BOOTSTRAP=1
  fuzz=(cargo fuzz run --sanitizer none)
fi
target_dir=${CARGO_TARGET_DIR:+$CARGO_TARGET_DIR/fuzz}
fuzz+=(--target-dir "${target_dir:-$PWD/target}")
# The versions that the workspace has been tested with.
[ -f Cargo.lock ] || cp ../../Cargo.lock .

# Puts a file under a name of its own into the corpus of a target, unless it is there.
seed() { # target, file
  local name=${2//\//-}
  [ -f "corpus/$1/${name#..-}" ] || cp "$2" "corpus/$1/${name#..-}"
}

seeds() { # target
  local file
  mkdir -p "corpus/$1"
  case $1 in
    json_decode)
      for file in ../tests/golden/data/*.json; do
        # A few lines of a file show all that its lines have.
        [ -f "corpus/$1/${file##*/}" ] || head -n 20 "$file" >"corpus/$1/${file##*/}"
      done
      printf '%s\n' '{"key":"k","value":1,"ts":"2026-03-01 23:59:00.123","big":-9223372036854775808,"double":1e300}' \
        '{"row":{"x":1,"y":"\ud83d\ude00"},"map":{"a":1.25},"list":[1,null,2],"bytes":"AQID"}' >"corpus/$1/all-types.json"
      ;;
    run_file)
      find ../checkpoint/tests/fixtures -type f -size -256k -print | while read -r file; do seed "$1" "$file"; done
      ;;
    sql)
      for file in ../tests/golden/*.sql; do
        case $file in
          */tables.sql) ;;
          *) cat ../tests/golden/tables.sql "$file" >"corpus/$1/${file##*/}" ;;
        esac
      done
      find ../../benches ../../config -name '*.sql' -print | while read -r file; do seed "$1" "$file"; done
      ;;
  esac
}

for target in "$@"; do
  seeds "$target"
  options=(-timeout=20 -max_len=65536)
  if [ "$seconds" -gt 0 ]; then options+=(-max_total_time="$seconds"); else options+=(-runs=0); fi
  features=()
  [ "$target" != sql ] || features=(--features sql)
  "${fuzz[@]}" "${features[@]}" "$target" -- "${options[@]}"
done
