# shellcheck shell=bash
# The brokers, their folders and their ports. Needs ROOT.
#
# A broker is one file scripts/NAME/NAME.sh with these functions, and a service NAME in
# docker-compose.yml:
#   NAME_address   prints host:port
#   NAME_version   prints the program and version of a native start
#   NAME_prepare   puts programs and data into $CACHE/NAME, unless they are there already
#   NAME_command   sets COMMAND to the broker's command line; its output becomes the log
#   NAME_ready     succeeds once a client can work
#   NAME_ports     prints every port it binds
#   NAME_needs     prints `command=apt-package` for each command that a native start needs
#   NAME_agrees    fails unless docker-compose.yml gives the container the same settings

# shellcheck source=scripts/lib/say.sh
source "$ROOT/scripts/lib/say.sh"

readonly BROKERS=(kafka rabbitmq sqs pubsub)
readonly CACHE=${BROADWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/broadway-brokers}

# Sets the ports in scripts/brokers.env that the environment does not set.
load_ports() {
  local name value
  while IFS='=' read -r name value; do
    [[ $name == BROADWAY_* ]] || continue
    export "$name=${!name:-$value}"
  done <"$ROOT/scripts/brokers.env"
}

known_brokers() {
  local name
  for name in "$@"; do
    [[ " ${BROKERS[*]} " == *" $name "* ]] \
      || fail "unknown broker '$name'" "known: ${BROKERS[*]}"
  done
}

# port_answers PORT: succeeds if a process listens on the port.
port_answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# http_get URL [CURL'S OPTIONS …]: prints the body; fails for an error status. Uses no proxy, since the
# address is on loopback.
http_get() {
  curl --silent --fail --noproxy '*' --max-time 10 "$@"
}

# http_check NAME
http_check() {
  command -v curl >/dev/null || fail "$1: curl is missing" \
    "Debian: apt-get install curl, or let scripts/test install it"
}

load_ports
# shellcheck source=scripts/lib/java.sh
source "$ROOT/scripts/lib/java.sh"
# shellcheck source=scripts/lib/debian.sh
source "$ROOT/scripts/lib/debian.sh"
# shellcheck source=scripts/kafka/kafka.sh
source "$ROOT/scripts/kafka/kafka.sh"
# shellcheck source=scripts/rabbitmq/rabbitmq.sh
source "$ROOT/scripts/rabbitmq/rabbitmq.sh"
# shellcheck source=scripts/sqs/sqs.sh
source "$ROOT/scripts/sqs/sqs.sh"
# shellcheck source=scripts/pubsub/pubsub.sh
source "$ROOT/scripts/pubsub/pubsub.sh"
