#!/usr/bin/env bash
# A separate RabbitMQ node for tests that restart it, kill it and raise its alarms, which would disturb other tests at the shared node.
# It has its own ports and folder, and uses the unpacked programs of the shared node; both may run at once.
#
#   own.sh test [N]    starts the node, runs its tests with N restarts (5), and stops it
#   own.sh with …      the same with another command
#   own.sh restart     stops the node gracefully and starts it again with its data
#   own.sh kill        kills the node and starts it again with its data
#   own.sh pause       stops and starts the broker within its process, which is faster
#   own.sh ctl …       runs rabbitmqctl for this node
#
# Tests find this file in BROADWAY_RABBITMQ_NODE. BROADWAY_RABBITMQ_OWN_PORT, the first of four ports, defaults to 19772.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly ROOT
SELF=$ROOT/scripts/rabbitmq/own.sh
readonly SELF
# Exported, since tests run this file again.
export RABBITMQ_PROGRAMS=${RABBITMQ_PROGRAMS:-${BROADWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/broadway-brokers}/rabbitmq}
export BROADWAY_CACHE=${RABBITMQ_PROGRAMS%/rabbitmq}/rabbitmq-own
export BROADWAY_RABBITMQ_OWN_PORT=${BROADWAY_RABBITMQ_OWN_PORT:-19772}
export BROADWAY_RABBITMQ_PORT=$BROADWAY_RABBITMQ_OWN_PORT
export BROADWAY_RABBITMQ_MANAGEMENT_PORT=$((BROADWAY_RABBITMQ_OWN_PORT + 1))
export BROADWAY_RABBITMQ_NODE_PORT=$((BROADWAY_RABBITMQ_OWN_PORT + 2))
export BROADWAY_RABBITMQ_EPMD_PORT=$((BROADWAY_RABBITMQ_OWN_PORT + 3))
# shellcheck source=scripts/lib/brokers.sh
source "$ROOT/scripts/lib/brokers.sh"
# shellcheck source=scripts/lib/features.sh
source "$ROOT/scripts/lib/features.sh"
# shellcheck source=scripts/lib/native.sh
source "$ROOT/scripts/lib/native.sh"

# Holds the lock of the shared brokers while unpacking programs, and the lock of this node while a command runs.
up() {
  mkdir -p "$CACHE" "$RABBITMQ_PROGRAMS"
  exec {PROGRAMS}>"${RABBITMQ_PROGRAMS%/rabbitmq}/lock"
  flock -w 600 "$PROGRAMS" || fail "another scripts/brokers has held its lock for 10 minutes"
  rabbitmq_prepare
  exec {PROGRAMS}>&-
  native_up rabbitmq
}

# again SIGNAL: ends the node and starts it again with its data.
again() {
  local pid
  pid=$(native_pid rabbitmq) || fail "rabbitmq: this node is not running" "to start it: own.sh test"
  kill "-$1" "$pid"
  while native_pid rabbitmq >/dev/null; do sleep 0.05; done
  # Wait for its epmd and its helpers, which end after it.
  local port
  for port in $(rabbitmq_ports); do
    while port_answers "$port"; do sleep 0.05; done
  done
  native_spawn rabbitmq
  native_wait rabbitmq
}

ctl() {
  local COMMAND=()
  rabbitmq_command
  # All but the last word sets the environment of the node.
  unset 'COMMAND[-1]'
  "${COMMAND[@]}" "$(rabbitmq_sbin)/rabbitmqctl" --quiet "$@"
}

# with COMMAND …: runs one command at a time, since there is one node.
with() {
  mkdir -p "$CACHE"
  exec {TURN}>"$CACHE/lock"
  flock -w 3600 "$TURN" || fail "another own.sh has held this node for an hour" "to find it: fuser $CACHE/lock"
  up
  trap 'native_down rabbitmq' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  BROADWAY_RABBITMQ=$(rabbitmq_address) BROADWAY_RABBITMQ_MANAGEMENT=$(rabbitmq_management) \
    BROADWAY_RABBITMQ_NODE=$SELF BROADWAY_REQUIRE_BROKERS=1 "$@" {TURN}>&-
}

run_tests() {
  cd "$ROOT"
  # Far above the time that the tests need; a restart takes a few seconds.
  BROADWAY_TEST_SECONDS_MAX=${BROADWAY_TEST_SECONDS_MAX:-$((1200 + 120 * $1))} BROADWAY_RABBITMQ_RESTARTS=$1 with \
    cargo test --workspace --features "$(workspace_features)" --locked --no-fail-fast --test own_node -- --nocapture --test-threads=1
}

# The descriptor that `native_spawn` closes for the node.
exec {TURN}>&2
case ${1:-} in
  test) run_tests "${2:-5}" ;;
  with) shift && with "$@" ;;
  restart) again TERM ;;
  kill) again KILL ;;
  pause) ctl stop_app && ctl start_app && native_wait rabbitmq ;;
  ctl) shift && ctl "$@" ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$SELF" >&2 && exit 2 ;;
esac
