# shellcheck shell=bash
# The brokers of the tests: running brokers if they have the required version, otherwise brokers of this run, on other ports and in
# a separate folder. Needs lib/brokers.sh, lib/compose.sh, lib/native.sh and lib/packages.sh.

# The emulator keeps sending to a closed stream until its leases expire, and redelivers those messages only then. So tests that cut
# connections take a minute or more with it, and cannot distinguish our defects from its own.
export BROADWAY_PUBSUB_SERVER=${BROADWAY_PUBSUB_SERVER:-pstest}

# Offsets to try for the ports of a broker until all are free. They stay below the ephemeral ports.
readonly TESTED_OFFSETS=(1000 2000 3000 4000 5000 6000 7000 8000)

# Brokers that this run started and stops: in the usual folder, and in its own.
TESTED_STARTED=()
TESTED_OWN=()
readonly TESTED_FOLDER=$CACHE/own-$$

# tested_up NAME …: starts brokers as needed, and sets the ports in the environment.
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

# Ignores a second Ctrl-C.
tested_down() {
  trap '' INT TERM HUP
  ((${#TESTED_STARTED[@]} == 0)) || scripts/brokers down "${TESTED_STARTED[@]}"
  ((${#TESTED_OWN[@]} == 0)) || tested_end "$TESTED_FOLDER"
}

# tested_addresses NAME …: exports the addresses for the tests.
tested_addresses() {
  local name
  for name in "$@"; do export "BROADWAY_${name^^}=$("${name}_address")"; done
  export "BROADWAY_RABBITMQ_MANAGEMENT=$(rabbitmq_management)"
}

# tested_place NAME: prints there (the required broker runs), free (no process runs) or taken (another one runs).
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

# tested_own NAME: starts a broker for this run. Links to the programs that were downloaded or built before; preparing the broker
# replaces links to other versions.
tested_own() {
  local name=$1 programs
  tested_move_ports "$name" \
    || fail "$name: the running broker has the wrong version, and no other ports are free" "stop it: scripts/brokers down $name"
  say "$name: the running broker is not $("${name}_version"); starting one for this run"
  mkdir -p "$TESTED_FOLDER/$name"
  process_record "$TESTED_FOLDER/run" $$
  for programs in libs pstest go; do
    [[ ! -e $CACHE/$name/$programs ]] || ln -sfn "$CACHE/$name/$programs" "$TESTED_FOLDER/$name/$programs"
  done
  TESTED_OWN+=("$name")
  tested_brokers "$TESTED_FOLDER" up "$name"
}

# tested_move_ports NAME: adds to every BROADWAY_NAME_…PORT of scripts/brokers.env the first offset for which all are free.
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

# Stops brokers that killed runs have left behind.
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

# tested_brokers FOLDER …: runs scripts/brokers for native brokers in that folder.
tested_brokers() {
  local folder=$1
  shift
  env BROADWAY_BROKERS=native BROADWAY_CACHE="$folder" RABBITMQ_PROGRAMS="$RABBITMQ_PROGRAMS" scripts/brokers "$@"
}
