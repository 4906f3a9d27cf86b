# shellcheck shell=bash
# Apache Kafka, one KRaft node, from Maven Central. lib/brokers.sh lists the functions.
#
# In $CACHE/kafka: libs has the jars and their pom.xml; server.properties has the settings of the running
# broker.

readonly KAFKA_HOME=$CACHE/kafka
readonly KAFKA_SOURCE=$ROOT/scripts/kafka
# Any fixed id works, since the cluster lives until the next start.
readonly KAFKA_CLUSTER_ID=YnJvYWR3YXktdGVzdC1rYQ

kafka_address() { printf '127.0.0.1:%s' "$BROADWAY_KAFKA_PORT"; }
kafka_ports() { printf '%s\n' "$BROADWAY_KAFKA_PORT" "$BROADWAY_KAFKA_CONTROLLER_PORT" "$BROADWAY_KAFKA_PROXIED_PORT"; }
kafka_needs() { java_needs; }
kafka_version() { printf 'Apache Kafka %s' "$(java_version kafka.version "$KAFKA_SOURCE/pom.xml")"; }

kafka_prepare() {
  java_check kafka
  java_fetch kafka 54
  kafka_configure
  kafka_tool kafka.tools.StorageTool format \
    --cluster-id "$KAFKA_CLUSTER_ID" --config "$KAFKA_HOME/server.properties" \
    >"$KAFKA_HOME/format.log" 2>&1 \
    || fail_with_log "$KAFKA_HOME/format.log" "kafka: the data folder could not be formatted"
}

# Exit when out of memory.
kafka_command() {
  # shellcheck disable=SC2034 # read by native_spawn
  COMMAND=("$(java_program)" -Xms256m -Xmx1g -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true
    -Dlog4j2.configurationFile="$KAFKA_SOURCE/log4j2.properties"
    -cp "$KAFKA_HOME/libs/*" kafka.Kafka "$KAFKA_HOME/server.properties")
}

# Check the port first: a client costs a second of CPU time.
kafka_ready() {
  port_answers "$BROADWAY_KAFKA_PORT" || return 1
  kafka_tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$(kafka_address)" --list \
    >/dev/null 2>&1
}

# kafka_tool CLASS ARGUMENT …: runs one of Kafka's programs, quietly, in a small JVM that starts fast.
kafka_tool() {
  timeout 20 "$(java_program)" \
    -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dbroadway.log.level=WARN \
    -Dlog4j2.configurationFile="$KAFKA_SOURCE/log4j2.properties" -cp "$KAFKA_HOME/libs/*" "$@"
}

# The container has the same settings and version.
kafka_agrees() {
  local compose=$ROOT/docker-compose.yml version
  version=$(java_version kafka.version "$KAFKA_SOURCE/pom.xml")
  grep -q "image: apache/kafka:$version\$" "$compose" \
    || fail "docker-compose.yml does not run apache/kafka:$version, the version in scripts/kafka/pom.xml"
  diff <(kafka_settings_of_file) <(kafka_settings_of_compose "$compose") \
    || fail "docker-compose.yml and scripts/kafka/server.properties differ in the lines above"
}

kafka_settings_of_file() { grep -v -e '^#' -e '^$' "$KAFKA_SOURCE/server.properties" | sort; }

# KAFKA_NODE_ID: "1" becomes node.id=1, as in the image. Addresses and folders are left out.
kafka_settings_of_compose() {
  sed -n 's/^ *KAFKA_\([A-Z_]*\): "\(.*\)"$/\1 \2/p' "$1" | while read -r name value; do
    case $name in
      LISTENERS | ADVERTISED_LISTENERS | CONTROLLER_QUORUM_VOTERS | LOG_DIRS | HEAP_OPTS) ;;
      *) name=${name,,} && printf '%s=%s\n' "${name//_/.}" "$value" ;;
    esac
  done | sort
}

kafka_configure() {
  local broker=127.0.0.1:$BROADWAY_KAFKA_PORT controller=127.0.0.1:$BROADWAY_KAFKA_CONTROLLER_PORT
  local proxied=127.0.0.1:$BROADWAY_KAFKA_PROXIED_PORT proxy=127.0.0.1:$BROADWAY_KAFKA_PROXY_PORT
  {
    cat "$KAFKA_SOURCE/server.properties"
    printf '\n# Addresses and folders.\n'
    printf 'listeners=PLAINTEXT://%s,PROXIED://%s,CONTROLLER://%s\n' "$broker" "$proxied" "$controller"
    printf 'advertised.listeners=PLAINTEXT://%s,PROXIED://%s\n' "$broker" "$proxy"
    printf 'controller.quorum.voters=1@%s\n' "$controller"
    printf 'log.dirs=%s/data\n' "$KAFKA_HOME"
  } >"$KAFKA_HOME/server.properties"
}
