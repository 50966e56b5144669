#!/usr/bin/env bash
# Makes sure that what the build and the tests need is there: installs it where it can (Debian, as root), and otherwise
# says what is missing and ends.
#   prerequisites.sh build      a C compiler, make, perl and the like, for the Kafka client library and its OpenSSL
#   prerequisites.sh services   a Java runtime, Maven and openssl for the Kafka broker, Go for the S3 server
#   prerequisites.sh bench      Python with DuckDB
set -euo pipefail

missing=()
need() { # program, Debian package
  command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

case ${1:-} in
  build)
    need cc gcc; need c++ g++; need make make; need pkg-config pkg-config
    # With modules that Debian's perl-base lacks.
    perl -MFindBin -MIPC::Cmd -MTime::Piece -e 1 2>/dev/null || missing+=(perl)
    ;;
  services) need java default-jre-headless; need mvn maven; need go golang-go; need curl curl; need openssl openssl ;;
  bench) need python3 python3 ;;
  *) echo "usage: $0 build|services|bench" >&2; exit 2 ;;
esac

if [ ${#missing[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "installing: ${missing[*]}" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >&2
  else
    echo "missing: ${missing[*]} (Debian package names). Install them and run this again." >&2
    exit 1
  fi
fi

if [ "$1" = bench ] && ! python3 -c 'import duckdb' 2>/dev/null; then
  venv=${XDG_CACHE_HOME:-$HOME/.cache}/eddyline/bench-venv
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install -q duckdb >&2
fi
