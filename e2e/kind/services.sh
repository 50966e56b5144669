#!/usr/bin/env bash
# A real Kafka broker and a real S3 server as pods of the cluster, in the namespace "services".
#   services.sh up      build their images, start them, wait until they answer, create the bucket "eddyline"
#   services.sh metrics start the metrics server, for a HorizontalPodAutoscaler (compiles for some minutes, once)
#   services.sh down    delete Kafka and S3, with all data
#   services.sh env     print the settings of clients on this machine, for `eval "$(services.sh env)"`
# In the cluster: kafka.services.svc:9092 and http://s3.services.svc:7070, credentials in the Secret "s3".
# From this machine: ports 30092 and 30070 of the control plane's node. With the printed variables,
# e2e/services/kafka/broker.sh topic|produce|consume and e2e/services/s3/server.sh bucket work on them.
# shellcheck source=SCRIPTDIR/environment.sh
. "$(dirname "$0")/environment.sh"

services=$root/e2e/services

address() {
  kubectl get nodes -l node-role.kubernetes.io/control-plane \
    -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}'
}

# kafka_image, s3_image: build, and print the name, which changes with the content.
kafka_image() {
  local context lib name
  lib=$("$services/kafka/broker.sh" install)
  name=eddyline-e2e/kafka:$(basename "$(dirname "$lib")" | sed 's/kafka-//')
  context=$(mktemp -d)
  mkdir "$context/lib"
  cp "$lib"/*.jar "$context/lib"
  cp "$services/kafka/broker.properties" "$services/kafka/log4j2-tools.properties" "$context"
  cp "$services/cluster/kafka-log4j2.properties" "$context/log4j2.properties"
  install -m 755 "$services/cluster/kafka-start.sh" "$context/start.sh"
  docker_build "$context" -f "$services/cluster/kafka.Dockerfile" --build-arg "DEBIAN=$(debian)" -t "$name"
  name_by_content "$name"
}

s3_image() {
  local context program name
  program=$("$services/s3/server.sh" install)
  name=eddyline-e2e/s3:${program##*-}
  context=$(mktemp -d)
  strip --strip-all -o "$context/versitygw" "$program"
  docker_build "$context" -f "$services/cluster/s3.Dockerfile" --build-arg "DEBIAN=$(debian)" -t "$name"
  name_by_content "$name"
}

# ready NAMESPACE KIND/NAME: waits until all its pods are ready. If they are not in time, shows their state.
ready() {
  kubectl -n "$1" rollout status "$2" --timeout=180s >&2 && return 0
  kubectl -n "$1" describe "$2" >&2
  kubectl -n "$1" logs "$2" --tail=20 >&2 || true
  kubectl -n "$1" get events --sort-by=.lastTimestamp | tail -n 10 >&2
  die "$2 is not ready after three minutes; what is known is above"
}

up() {
  local kafka s3 node
  start_docker
  say "images of Kafka and of the S3 server"
  kafka=$(kafka_image)
  s3=$(s3_image)
  "$here/cluster.sh" load "$kafka" "$s3"
  kubectl apply -f "$services/cluster/namespace.yaml" >&2
  sed "s#@IMAGE@#$kafka#" "$services/cluster/kafka.yaml" | kubectl apply -f - >&2
  sed "s#@IMAGE@#$s3#" "$services/cluster/s3.yaml" | kubectl apply -f - >&2
  ready services statefulset/s3
  ready services statefulset/kafka
  node=$(address)
  S3_ENDPOINT=http://$node:30070 "$services/s3/server.sh" bucket eddyline
  say "from this machine: Kafka $node:30092, S3 http://$node:30070"
}

metrics() {
  local context name
  start_docker
  "$here/programs.sh" metrics-server
  name=eddyline-e2e/metrics-server:$(sed -n 's#^require sigs.k8s.io/metrics-server ##p' "$here/tools/metrics-server/go.mod")
  context=$(mktemp -d)
  install -m 755 "$bin/metrics-server" "$context/metrics-server"
  docker_build "$context" -f "$services/cluster/metrics-server.Dockerfile" -t "$name"
  name=$(name_by_content "$name")
  "$here/cluster.sh" load "$name"
  sed "s#@IMAGE@#$name#" "$services/cluster/metrics-server.yaml" | kubectl apply -f - >&2
  ready kube-system deployment/metrics-server
  kubectl wait --for=condition=Available apiservice/v1beta1.metrics.k8s.io --timeout=60s >&2
}

environment() {
  local node
  node=$(address)
  cat <<E
export KAFKA_BOOTSTRAP=$node:30092
export S3_ENDPOINT=http://$node:30070 AWS_ENDPOINT=http://$node:30070 AWS_REGION=us-east-1 AWS_ALLOW_HTTP=true
export AWS_ACCESS_KEY_ID=eddyline AWS_SECRET_ACCESS_KEY=eddyline
E
}

case ${1:-} in
  up) up ;;
  metrics) metrics ;;
  down) kubectl delete namespace services --ignore-not-found --timeout=120s >&2 ;;
  env) environment ;;
  *) sed -n '2,10p' "$0" >&2; exit 2 ;;
esac
