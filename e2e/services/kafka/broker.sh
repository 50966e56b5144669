#!/usr/bin/env bash
# A real, single-node Kafka broker (KRaft mode) for tests, bound to loopback.
#
#   broker.sh install             download the jars into the cache (once)
#   broker.sh start               format the data folder if it is new, start, wait until the port answers
#   broker.sh stop [-9]           stop the broker this script started (-9: without a clean shutdown)
#   broker.sh status              report whether it runs; exit status 3 if it does not
#   broker.sh wipe                stop and delete the data folder
#   broker.sh topic NAME [PARTS]  create a topic, unless it exists
#   broker.sh tool CLASS ARGS...  run one of Kafka's command line tools (org.apache.kafka.tools...)
#   broker.sh produce TOPIC       lines "key<TAB>value" from standard input
#   broker.sh consume TOPIC [N]   print from the beginning; ends after N messages, or 5 s without one
#
# Needs: bash, java 17 or newer, setsid and flock (util-linux); mvn and its default repository for the first `install`.
# Environment: KAFKA_PORT (9092), KAFKA_CONTROLLER_PORT (port + 1), KAFKA_DATA (data folder), KAFKA_HEAP (512m),
#   KAFKA_WAIT (seconds, 90), KAFKA_EXTRA (file with more broker properties), EDDYLINE_CACHE ($HOME/.cache/eddyline),
#   KAFKA_BOOTSTRAP (another broker for topic, produce and consume, by address; 127.0.0.1 and the port above).
# With KAFKA_TLS (a folder with ca.pem, and broker.pem: the broker's certificate and its key) two more listeners:
#   KAFKA_MUTUAL_PORT (TLS; clients need a certificate of ca.pem) and KAFKA_SCRAM_PORT (TLS; clients log in with
#   SCRAM-SHA-256 or SCRAM-SHA-512 as a user of KAFKA_USERS, "name=password …", which are made with the data folder).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EDDYLINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/eddyline}
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
lib=$cache/kafka-$version/lib
port=${KAFKA_PORT:-9092}
controller_port=${KAFKA_CONTROLLER_PORT:-$((port + 1))}
bootstrap=${KAFKA_BOOTSTRAP:-127.0.0.1:$port}
data=${KAFKA_DATA:-$cache/kafka-data/$port}
heap=${KAFKA_HEAP:-512m}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
pid_file=$data/broker.pid

need() {
  command -v "$1" >/dev/null 2>&1 || { echo "broker.sh needs '$1': $2" >&2; exit 4; }
}

install() {
  [ -f "$lib/.complete" ] && return 0
  need mvn "it fetches the broker's jars named in $here/pom.xml (once, into $lib)"
  mkdir -p "$(dirname "$lib")"
  # One installer at a time, and readers never see a half-filled folder.
  (
    flock 9
    [ -f "$lib/.complete" ] && exit 0
    rm -rf "$lib.part" "$lib"
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$lib.part" >&2
    touch "$lib.part/.complete"
    mv "$lib.part" "$lib"
  ) 9>"$(dirname "$lib")/.lock"
}

alive() {
  [ -f "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null &&
    grep -qa kafka.Kafka "/proc/$(cat "$pid_file")/cmdline" 2>/dev/null
}

tool() {
  local class=$1
  shift
  "$java" -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile="$here/log4j2-tools.properties" \
    -cp "$lib/*" "$class" "$@"
}

# The listeners with TLS, if they are requested.
write_tls_config() {
  local login='org.apache.kafka.common.security.scram.ScramLoginModule required;'
  cat >>"$data/server.properties" <<P
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port,MUTUAL://127.0.0.1:$KAFKA_MUTUAL_PORT,SCRAM://127.0.0.1:$KAFKA_SCRAM_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$port,MUTUAL://127.0.0.1:$KAFKA_MUTUAL_PORT,SCRAM://127.0.0.1:$KAFKA_SCRAM_PORT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MUTUAL:SSL,SCRAM:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location=$KAFKA_TLS/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$KAFKA_TLS/ca.pem
listener.name.mutual.ssl.client.auth=required
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.scram.scram-sha-256.sasl.jaas.config=$login
listener.name.scram.scram-sha-512.sasl.jaas.config=$login
P
}

write_config() {
  mkdir -p "$data/log" "$data/logs"
  cat "$here/broker.properties" - >"$data/server.properties" <<P
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$data/log
P
  if [ -n "${KAFKA_TLS:-}" ]; then write_tls_config; fi
  if [ -n "${KAFKA_EXTRA:-}" ]; then cat "$KAFKA_EXTRA" >>"$data/server.properties"; fi
  cat >"$data/log4j2.properties" <<P
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=F
appender.file.type=RollingFile
appender.file.name=F
appender.file.fileName=$data/logs/server.log
appender.file.filePattern=$data/logs/server.%i.log
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d %p %c - %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=20MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
P
}

start() {
  if alive; then
    echo "kafka already runs on 127.0.0.1:$port (pid $(cat "$pid_file"))"
    return 0
  fi
  need "$java" "the broker is a Java program (17 or newer)"
  need setsid "the broker must outlive the shell that starts it"
  install
  write_config
  if [ ! -f "$data/log/meta.properties" ]; then
    local user users=()
    for user in ${KAFKA_USERS:-}; do
      users+=(--add-scram "SCRAM-SHA-256=[name=${user%%=*},password=${user#*=}]")
      users+=(--add-scram "SCRAM-SHA-512=[name=${user%%=*},password=${user#*=}]")
    done
    tool kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$data/server.properties" --ignore-formatted \
      "${users[@]}" >"$data/logs/format.log" 2>&1 || { cat "$data/logs/format.log" >&2; return 1; }
  fi
  # A session of its own, so that signals for the caller's process group do not reach the broker.
  setsid "$java" -Xmx"$heap" -Xms128m -XX:+UseSerialGC \
    -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true -Dkafka.logs.dir="$data/logs" \
    -Dlog4j2.configurationFile="$data/log4j2.properties" \
    -cp "$lib/*" kafka.Kafka "$data/server.properties" >"$data/logs/stdout.log" 2>&1 </dev/null 9>&- &
  echo $! >"$pid_file"
  # Until then its command line is still that of this shell.
  until alive || ! kill -0 $! 2>/dev/null; do sleep 0.05; done
  local i
  for ((i = 0; i < ${KAFKA_WAIT:-90} * 10; i++)); do
    if ! alive; then
      echo "kafka ended while starting:" >&2
      tail -n 20 "$data/logs/stdout.log" "$data/logs/server.log" >&2
      return 1
    fi
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "kafka $version runs on 127.0.0.1:$port (pid $(cat "$pid_file"))"
      return 0
    fi
    sleep 0.1
  done
  echo "kafka did not answer on 127.0.0.1:$port in time; see $data/logs/server.log" >&2
  return 1
}

stop() {
  if ! alive; then
    rm -f "$pid_file"
    echo "kafka does not run"
    return 0
  fi
  local pid i
  pid=$(cat "$pid_file")
  kill ${1:+"$1"} "$pid"
  for ((i = 0; i < 300; i++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  if kill -0 "$pid" 2>/dev/null; then kill -9 "$pid"; fi
  rm -f "$pid_file"
  echo "kafka stopped"
}

case ${1:-} in
  install) install; echo "$lib" ;;
  start) start ;;
  stop) stop "${2:-}" ;;
  status) if alive; then echo "running on 127.0.0.1:$port (pid $(cat "$pid_file"))"; else echo "stopped"; exit 3; fi ;;
  wipe) stop; rm -rf "$data" ;;
  topic) tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$bootstrap" --create --if-not-exists \
           --topic "$2" --partitions "${3:-1}" --replication-factor 1 ;;
  tool) shift; tool "$@" ;;
  produce) tool org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$bootstrap" --topic "$2" \
             --property parse.key=true --property 'key.separator=	' ;;
  consume) tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$bootstrap" --topic "$2" \
             --from-beginning --timeout-ms 5000 ${3:+--max-messages "$3"} --property print.key=true ;;
  *) sed -n '2,21p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
