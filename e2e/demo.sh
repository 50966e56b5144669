#!/usr/bin/env bash
# Runs the sensor job on the bundled file, on generated readings and on readings as they happen. Needs no service.
#   demo.sh EDDYLINE   the binary
set -euo pipefail
binary=$1
eddyline=$(realpath "$1")
cd "$(dirname "$0")/.."
samples=config/samples/sensors
rm -rf target/demo
"$eddyline" run --log text "$samples/from-file.sql"
"$eddyline" run --log text "$samples/from-generator.sql"
# Shows a line for each operator while it runs, if there is a terminal.
progress=none
[ -t 2 ] && progress=full
"$eddyline" run --log text --progress "$progress" "$samples/live.sql"
echo
echo "results in files:"
find target/demo -type f ! -path '*/.*' | sort | while read -r file; do
  echo "  $file ($(wc -l <"$file") rows)"
  head -n 2 "$file" | sed 's/^/    /'
done
cat <<END

what to try next:
  $binary explain $samples/live.sql
      the operators of a job, and what each keeps as state
  $binary run $samples/live.sql --parallelism 2 --progress full
      the same job in two slots; change the SQL and run it again
  $binary run $samples/live.sql --checkpoint-dir target/checkpoints
      stop it with Ctrl-C: it writes a savepoint and says how to resume
  make cluster deploy && kubectl apply -f config/samples/hello.yaml
      a Kubernetes cluster on this machine, and a first StreamJob in it
  docs/running.md, docs/sql.md, docs/connectors.md
      all options, the SQL, Kafka and files
END
