# shellcheck shell=bash
# Amazon SQS, emulated by ElasticMQ from Maven Central. lib/brokers.sh lists the functions,
# CONTRIBUTING.md the differences from SQS.
#
# In $CACHE/sqs: libs has the jars and their pom.xml.

readonly SQS_SOURCE=$ROOT/scripts/sqs

sqs_address() { printf '127.0.0.1:%s' "$BROADWAY_SQS_PORT"; }
sqs_ports() { printf '%s\n' "$BROADWAY_SQS_PORT"; }
sqs_version() { printf 'ElasticMQ %s' "$(java_version elasticmq.version "$SQS_SOURCE/pom.xml")"; }
sqs_needs() {
  java_needs
  printf 'curl=curl\n'
}

sqs_prepare() {
  http_check sqs
  java_check sqs
  java_fetch sqs 37
}

# Exit when out of memory.
sqs_command() {
  local setting settings=()
  while read -r setting; do settings+=("-D$setting"); done < <(sqs_settings_of_file)
  # shellcheck disable=SC2034 # read by native_spawn
  COMMAND=("$(java_program)" -Xms64m -Xmx512m -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true
    -Dnode-address.host=127.0.0.1 -Dnode-address.port="$BROADWAY_SQS_PORT"
    -Drest-sqs.bind-hostname=127.0.0.1 -Drest-sqs.bind-port="$BROADWAY_SQS_PORT"
    "${settings[@]}" -cp "$CACHE/sqs/libs/*" org.elasticmq.server.Main)
}

# A client's request: the list of queues.
sqs_ready() {
  port_answers "$BROADWAY_SQS_PORT" || return 1
  http_get "http://$(sqs_address)/?Action=ListQueues&Version=2012-11-05" | grep -q ListQueuesResult
}

# The container has the same settings and version.
sqs_agrees() {
  local compose=$ROOT/docker-compose.yml version
  version=$(java_version elasticmq.version "$SQS_SOURCE/pom.xml")
  grep -q "image: softwaremill/elasticmq:$version\$" "$compose" \
    || fail "docker-compose.yml does not run softwaremill/elasticmq:$version, the version in scripts/sqs/pom.xml"
  diff <(sqs_settings_of_file | sort) <(sqs_settings_of_compose "$compose") \
    || fail "docker-compose.yml and scripts/sqs/settings differ in the lines above"
}

sqs_settings_of_file() { grep -v -e '^#' -e '^$' "$SQS_SOURCE/settings"; }

# Every `- "-Dname=value"` except the addresses.
sqs_settings_of_compose() {
  sed -n 's/^ *- "-D\(.*\)"$/\1/p' "$1" | grep -v -e '^node-address\.' -e '^rest-sqs\.bind-' | sort
}
