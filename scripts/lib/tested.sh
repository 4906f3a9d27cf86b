# shellcheck shell=bash
# The brokers that tests talk to: those that run, where they are what the tests want, and elsewhere brokers of the run's own, on
# ports and in a folder of their own. Needs lib/brokers.sh, lib/compose.sh, lib/native.sh and lib/packages.sh.

# The emulator goes on sending to a stream that is gone until its leases end, and delivers those messages to others only then: what
# happens after a cut takes a minute with it, or more, and does not tell our faults from its own.
export BROADWAY_PUBSUB_SERVER=${BROADWAY_PUBSUB_SERVER:-pstest}

# What the ports of a broker are moved by, until all are free. They stay below those that systems give out by themselves.
readonly TESTED_OFFSETS=(1000 2000 3000 4000 5000 6000 7000 8000)

# What this run started, and ends: brokers in the usual place, and in its own.
TESTED_STARTED=()
TESTED_OWN=()
readonly TESTED_FOLDER=$CACHE/own-$$

# tested_up NAME …: afterwards the ports in the environment are those of the brokers to test with.
tested_up() {
  local name usual=() own=()
  tested_sweep
  for name in "$@"; do
    case $(tested_place "$name") in
      there) usual+=("$name") ;;
      free) usual+=("$name") && TESTED_STARTED+=("$name") ;;
      *) own+=("$name") ;;
    esac
  done
  if compose_answers; then require_broker_packages "${own[@]}"; else require_broker_packages "$@"; fi
  ((${#usual[@]} == 0)) || scripts/brokers up "${usual[@]}"
  for name in "${own[@]}"; do tested_own "$name"; done
}

# A second Ctrl-C does not cut it short.
tested_down() {
  trap '' INT TERM HUP
  ((${#TESTED_STARTED[@]} == 0)) || scripts/brokers down "${TESTED_STARTED[@]}"
  ((${#TESTED_OWN[@]} == 0)) || tested_end "$TESTED_FOLDER"
}

# tested_addresses NAME …: hands them to the tests.
tested_addresses() {
  local name
  for name in "$@"; do export "BROADWAY_${name^^}=$("${name}_address")"; done
  export "BROADWAY_RABBITMQ_MANAGEMENT=$(rabbitmq_management)"
}

# tested_place NAME: prints there (what the tests want runs), free (nothing is there) or taken (something else runs).
tested_place() {
  local name=$1 ports
  if native_pid "$name" >/dev/null; then
    if [[ $(native_version "$name") == "$("${name}_version")" ]]; then printf there; else printf taken; fi
  elif compose_runs "$name"; then
    printf there
  elif mapfile -t ports < <("${name}_ports") && ports_free "${ports[@]}"; then
    printf free
  else
    printf taken
  fi
}

ports_free() {
  local port
  for port in "$@"; do
    ! port_answers "$port" || return 1
  done
}

# tested_own NAME: starts one for this run. What is downloaded or built once serves it too, by links that preparing replaces where
# they lead to something else than is wanted.
tested_own() {
  local name=$1 programs
  tested_move_ports "$name" \
    || fail "$name: what is up is not what the tests want, and no other ports are free" "end it: scripts/brokers down $name"
  say "$name: what is up is not what the tests want ($("${name}_version")): this run gets one of its own"
  mkdir -p "$TESTED_FOLDER/$name"
  process_record "$TESTED_FOLDER/run" $$
  for programs in libs pstest go; do
    [[ ! -e $CACHE/$name/$programs ]] || ln -sfn "$CACHE/$name/$programs" "$TESTED_FOLDER/$name/$programs"
  done
  TESTED_OWN+=("$name")
  tested_brokers "$TESTED_FOLDER" up "$name"
}

# tested_move_ports NAME: every BROADWAY_NAME_…PORT of scripts/brokers.env, by the first offset with which all are free.
tested_move_ports() {
  local offset variable value ports
  for offset in "${TESTED_OFFSETS[@]}"; do
    ports=()
    while IFS='=' read -r variable value; do
      [[ $variable == BROADWAY_"${1^^}"_*PORT ]] || continue
      export "$variable=$((value + offset))"
      ports+=("$((value + offset))")
    done <"$ROOT/scripts/brokers.env"
    if ports_free "${ports[@]}"; then return; fi
  done
  return 1
}

# Ends what killed runs have left.
tested_sweep() {
  local folder
  for folder in "$CACHE"/own-*; do
    [[ -d $folder ]] || continue
    process_alive "$folder/run" >/dev/null || tested_end "$folder"
  done
}

tested_end() {
  local name names=()
  for name in "${BROKERS[@]}"; do
    [[ ! -d $1/$name ]] || names+=("$name")
  done
  ((${#names[@]} == 0)) || tested_brokers "$1" down "${names[@]}"
  rm -rf "$1"
}

# tested_brokers FOLDER …: scripts/brokers, of native brokers that live in that folder.
tested_brokers() {
  local folder=$1
  shift
  env BROADWAY_BROKERS=native BROADWAY_CACHE="$folder" RABBITMQ_PROGRAMS="$RABBITMQ_PROGRAMS" scripts/brokers "$@"
}
