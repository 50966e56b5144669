#!/usr/bin/env bash
# Installs what the build and the tests need, on Debian as root. Otherwise reports what is missing and ends.
#   prerequisites.sh build      a C compiler, make, perl and the like, for the Kafka client library and its OpenSSL
#   prerequisites.sh services   a Java runtime, Maven and openssl for the Kafka broker, Go for the S3 server
#   prerequisites.sh python     Python
#   prerequisites.sh bench      Python with DuckDB
#   prerequisites.sh kafka-client  Python with a Kafka client
#   prerequisites.sh screens    Python with a terminal emulator, for the pictures in docs/screens
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
  python) need python3 python3 ;;
  bench | screens | kafka-client) need python3 python3; python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv) ;;
  *) echo "usage: $0 build|services|python|bench|kafka-client|screens" >&2; exit 2 ;;
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

# A Python package, in its own environment in the cache.
package() { # environment, package, version
  local venv=${XDG_CACHE_HOME:-$HOME/.cache}/eddyline/$1
  "$venv/bin/python" -c "import $2" 2>/dev/null && return
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install -q "$2$3" >&2
}
case $1 in
  bench) python3 -c 'import duckdb' 2>/dev/null || package bench-venv duckdb "" ;;
  kafka-client) python3 -c 'import confluent_kafka' 2>/dev/null || package kafka-client-venv confluent_kafka "" ;;
  screens) package screens-venv pyte ==0.8.2 ;;
esac
