#!/usr/bin/env bash
# A real S3 server for tests, bound to loopback: versitygw, built from the Go module proxy, over a plain folder.
#   server.sh install        build it (once; needs a Go toolchain), print where it is
#   server.sh start          start it, wait until it answers, make the bucket $S3_BUCKET
#   server.sh stop           stop it (only the process that this script started)
#   server.sh status         say whether it runs
#   server.sh wipe           stop it and delete its data
#   server.sh bucket NAME    make a bucket (no error when it exists already)
#   server.sh env            print the variables that tests and workers need, for `eval "$(server.sh env)"`
# Environment: S3_PORT (7070), S3_BUCKET (eddyline), S3_ACCESS_KEY, S3_SECRET_KEY (both "eddyline"), S3_DATA (data folder),
#   S3_ENDPOINT (another server, for `bucket`), S3_WAIT (seconds, 30), EDDYLINE_CACHE (where the program and the data
#   live; $HOME/.cache/eddyline).
# Conditional writes (If-None-Match: *) are honoured, so checkpoints can be kept in it.
set -euo pipefail
version=v1.8.0
cache=${EDDYLINE_CACHE:-$HOME/.cache/eddyline}/s3
program=$cache/bin/versitygw-$version
port=${S3_PORT:-7070}
bucket=${S3_BUCKET:-eddyline}
access_key=${S3_ACCESS_KEY:-eddyline}
secret_key=${S3_SECRET_KEY:-eddyline}
data=${S3_DATA:-$cache/data-$port}
pidfile=$data/server.pid
endpoint=${S3_ENDPOINT:-http://127.0.0.1:$port}

install() {
  [ -x "$program" ] && return 0
  mkdir -p "$cache/bin"
  # One installer at a time; nobody sees a half-written program.
  (
    flock 9
    [ -x "$program" ] && exit 0
    GOBIN=$cache/build GOFLAGS=-buildvcs=false CGO_ENABLED=0 go install "github.com/versity/versitygw/cmd/versitygw@$version" >&2
    mv "$cache/build/versitygw" "$program"
  ) 9>"$cache/.lock"
}

alive() {
  [ -f "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null \
    && grep -qa versitygw "/proc/$(cat "$pidfile")/cmdline" 2>/dev/null
}

signed() {
  curl -sS --noproxy '*' --max-time 10 -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
    --aws-sigv4 aws:amz:us-east-1:s3 --user "$access_key:$secret_key" "$@"
}

make_bucket() {
  local code
  code=$(signed -o /dev/null -w '%{http_code}' -X PUT "$endpoint/$1")
  case $code in
    200 | 409) ;;
    *) echo "cannot make bucket $1: HTTP $code" >&2; return 1 ;;
  esac
}

start() {
  install
  if ! alive; then
    mkdir -p "$data/files" "$data/meta"
    # Metadata is beside the files, so the file system needs no extended attributes.
    # In a session of its own: a signal to the caller's group does not stop it.
    ROOT_ACCESS_KEY_ID=$access_key ROOT_SECRET_ACCESS_KEY=$secret_key \
      setsid "$program" --port "127.0.0.1:$port" --region us-east-1 --quiet --keep-alive \
      posix --sidecar "$data/meta" "$data/files" >"$data/server.log" 2>&1 9>&- </dev/null &
    echo $! >"$pidfile"
  fi
  local deadline=$((SECONDS + ${S3_WAIT:-30}))
  until signed -o /dev/null "$endpoint/" 2>/dev/null; do
    if ! alive || [ $SECONDS -ge $deadline ]; then
      echo "the S3 server does not answer at $endpoint; its log:" >&2
      tail -20 "$data/server.log" >&2
      exit 1
    fi
    sleep 0.1
  done
  make_bucket "$bucket"
  echo "$endpoint"
}

stop() {
  if alive; then
    local pid; pid=$(cat "$pidfile")
    kill "$pid"
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  fi
  rm -f "$pidfile"
}

environment() {
  cat <<E
export EDDYLINE_TEST_S3=$endpoint
export EDDYLINE_TEST_S3_BUCKET=$bucket
export AWS_ENDPOINT=$endpoint AWS_REGION=us-east-1 AWS_ALLOW_HTTP=true
export AWS_ACCESS_KEY_ID=$access_key AWS_SECRET_ACCESS_KEY=$secret_key
E
}

case ${1:-} in
  install) install; echo "$program" ;;
  start) start ;;
  stop) stop ;;
  status) if alive; then echo "running at $endpoint"; else echo "not running"; exit 1; fi ;;
  wipe) stop; rm -rf "$data" ;;
  bucket) make_bucket "${2:?name of the bucket}" ;;
  env) environment ;;
  *) sed -n '2,13p' "$0" >&2; exit 2 ;;
esac
