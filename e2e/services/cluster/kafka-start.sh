#!/bin/bash
# Starts the broker in its pod: writes its configuration, formats the volume when it is new.
# Environment: ADVERTISED (host:port for clients in the cluster), ADVERTISED_OUTSIDE (the same for clients outside),
#   HEAP (320m). The volume is at /data, a writable folder at /tmp.
set -euo pipefail
cat /kafka/broker.properties - >/tmp/server.properties <<P
controller.quorum.voters=1@127.0.0.1:9093
listeners=PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093,OUTSIDE://:9094
advertised.listeners=PLAINTEXT://$ADVERTISED,OUTSIDE://$ADVERTISED_OUTSIDE
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OUTSIDE:PLAINTEXT
log.dirs=/data/log
P
if [ ! -f /data/log/meta.properties ]; then
  java -Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile=/kafka/log4j2-tools.properties \
    -cp '/kafka/lib/*' kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c /tmp/server.properties --ignore-formatted
fi
exec java -Xmx"${HEAP:-320m}" -Xms64m -XX:+UseSerialGC -XX:MaxMetaspaceSize=128m -Djava.awt.headless=true \
  -Djava.net.preferIPv4Stack=true -Dkafka.logs.dir=/tmp -Dlog4j2.configurationFile=/kafka/log4j2.properties \
  -cp '/kafka/lib/*' kafka.Kafka /tmp/server.properties
