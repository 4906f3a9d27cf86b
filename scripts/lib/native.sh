# shellcheck shell=bash
# A broker as a native process. Its files are in $CACHE/NAME:
#   process   the record of the process (see process.sh)
#   version   its program and version
#   log       its output since the last start; log.1 is the previous run
#   data      deleted at every `up` and `down`

# shellcheck source=scripts/lib/process.sh
source "$ROOT/scripts/lib/process.sh"

readonly READY_SECONDS=120
readonly STOP_SECONDS=20

native_log() { printf '%s' "$CACHE/$1/log"; }
native_pid() { process_alive "$CACHE/$1/process"; }

native_up() {
  local name=$1 began pid version
  began=$(now_ms)
  version=$("${name}_version") || exit 1
  if pid=$(native_pid "$name"); then
    native_same_version "$name" "$version"
    native_wait "$name"
    say "$name: already up at $("${name}_address") ($version, pid $pid)"
    return
  fi
  native_ports_free "$name"
  mkdir -p "$CACHE/$name"
  rm -rf "$CACHE/$name/data" "$CACHE/$name/process"
  "${name}_prepare"
  printf '%s' "$version" >"$CACHE/$name/version"
  native_spawn "$name"
  native_wait "$name"
  say "$name: up at $("${name}_address") after $(seconds_since "$began") ($version, pid $(native_pid "$name"))"
}

native_version() { cat "$CACHE/$1/version" 2>/dev/null || printf 'version unknown'; }

# Compares the running version with the requested one, which the environment selects for some brokers.
native_same_version() {
  local running
  running=$(native_version "$1")
  [[ $running == "$2" || ! -e $CACHE/$1/version ]] \
    || fail "$1: $running is running, but $2 was requested" "stop it first: scripts/brokers down $1"
}

native_ports_free() {
  local name=$1 port
  for port in $("${name}_ports"); do
    ! port_answers "$port" || fail \
      "$name: port $port is taken by a process that scripts/brokers did not start" \
      "to find it: ss -ltnp 'sport = :$port'" \
      "stop it, or choose other ports (scripts/brokers help)"
  done
}

# Starts the process in a new session, so that it outlives this shell and its terminal.
native_spawn() {
  local name=$1 log COMMAND=()
  log=$(native_log "$name")
  [[ ! -e $log ]] || mv -f "$log" "$log.1"
  "${name}_command"
  # Close the lock's descriptor, or the broker would hold the lock for as long as it runs.
  setsid nohup "${COMMAND[@]}" >"$log" 2>&1 </dev/null {TURN}>&- &
  process_record "$CACHE/$name/process" "$!" || native_failed "$name" "ended at once"
}

native_wait() {
  local name=$1 deadline=$((SECONDS + READY_SECONDS))
  until "${name}_ready"; do
    native_pid "$name" >/dev/null || native_failed "$name" "ended while starting"
    ((SECONDS < deadline)) || native_failed "$name" \
      "runs but accepts no client within $READY_SECONDS s; to stop it: scripts/brokers down $name"
    sleep 0.1
  done
}

native_failed() {
  fail_with_log "$(native_log "$1")" "$1: $2" "to try again: scripts/brokers up $1"
}

native_down() {
  local name=$1 began pid
  began=$(now_ms)
  if pid=$(native_pid "$name"); then
    process_stop "$CACHE/$name/process" "$STOP_SECONDS"
    say "$name: down after $(seconds_since "$began") (pid $pid)"
  else
    rm -f "$CACHE/$name/process"
    say "$name: was not running natively"
  fi
  rm -rf "${CACHE:?}/$name/data"
}

native_status() {
  local name=$1 log pid
  log=$(native_log "$name")
  if pid=$(native_pid "$name"); then
    if "${name}_ready"; then
      say "$name: up at $("${name}_address") ($(native_version "$name"), native, pid $pid, log $log)"
      return
    fi
    say "$name: runs but does not answer (native, pid $pid, log $log)"
  elif [[ -e $CACHE/$name/process ]]; then
    say "$name: down; its process has ended unexpectedly, log $log"
  else
    say "$name: down"
  fi
  return 3
}

native_logs() {
  local log
  log=$(native_log "$1")
  if [[ -e $log ]]; then cat "$log"; else say "$1: no log, it was never started natively"; fi
}
