#!/usr/bin/env bash
# Runs the sensor job on the bundled file and on generated readings. Needs no service.
#   demo.sh EDDYLINE   the binary
set -euo pipefail
eddyline=$(realpath "$1")
cd "$(dirname "$0")/.."
rm -rf target/demo
"$eddyline" run --log text config/samples/sensors/from-file.sql
"$eddyline" run --log text config/samples/sensors/from-generator.sql
echo
echo "results in files:"
find target/demo -type f ! -name '.*' | sort | while read -r file; do
  echo "  $file ($(wc -l <"$file") rows)"
  head -n 2 "$file" | sed 's/^/    /'
done
