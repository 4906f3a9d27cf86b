# shellcheck shell=bash
# Which brokers there are, where they live and on which ports. Needs ROOT.
#
# A broker is one file scripts/NAME/NAME.sh with these functions, and a service NAME in
# docker-compose.yml:
#   NAME_address   prints host:port
#   NAME_prepare   brings programs and data into $CACHE/NAME, quick when they are there
#   NAME_command   sets COMMAND to the broker's command line; what it prints is its log
#   NAME_ready     succeeds once a client can work
#   NAME_ports     prints every port it binds
#   NAME_needs     prints `command=apt-package` for what a native start needs
#   NAME_agrees    fails unless docker-compose.yml gives the container the same settings

# shellcheck source=scripts/lib/say.sh
source "$ROOT/scripts/lib/say.sh"

readonly BROKERS=(kafka)
readonly CACHE=${BROADWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/broadway-brokers}

# Sets what scripts/brokers.env says and the environment does not.
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
      || fail "there is no broker called '$name'" "known: ${BROKERS[*]}"
  done
}

# port_answers PORT: something listens there.
port_answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

load_ports
# shellcheck source=scripts/kafka/kafka.sh
source "$ROOT/scripts/kafka/kafka.sh"
