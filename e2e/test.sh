#!/usr/bin/env bash
# Every test of the workspace. Those that need a Kafka broker start one themselves; the S3 server is started here.
set -euo pipefail
cd "$(dirname "$0")/.."
e2e/services/kafka/broker.sh install >/dev/null
export S3_DATA S3_PORT
S3_DATA=$(mktemp -d)
S3_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null || echo 7070)
trap 'e2e/services/s3/server.sh wipe >/dev/null' EXIT
e2e/services/s3/server.sh start
eval "$(e2e/services/s3/server.sh env)"
cargo test --workspace --lib --bins --tests
