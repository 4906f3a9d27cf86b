# shellcheck shell=bash
# A broker as a process of ours. All of it lives in $CACHE/NAME:
#   process   which process it is (see process.sh)
#   version   what it runs
#   log       what it wrote since the last start; log.1 is the run before
#   data      gone at every `up` and `down`: these brokers keep nothing

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

# What runs, against what is asked for: the environment chooses between versions of some brokers.
native_same_version() {
  local running
  running=$(native_version "$1")
  [[ $running == "$2" || ! -e $CACHE/$1/version ]] \
    || fail "$1: $running is up, but $2 is asked for" "end the one that runs: scripts/brokers down $1"
}

native_ports_free() {
  local name=$1 port
  for port in $("${name}_ports"); do
    ! port_answers "$port" || fail \
      "$name: port $port is taken by a process that scripts/brokers did not start" \
      "see who: ss -ltnp 'sport = :$port'" \
      "end it, or choose other ports (scripts/brokers help)"
  done
}

# The process gets a session of its own, so that it outlives this shell and its terminal.
native_spawn() {
  local name=$1 log COMMAND=()
  log=$(native_log "$name")
  [[ ! -e $log ]] || mv -f "$log" "$log.1"
  "${name}_command"
  # The turn's lock must not be inherited, or it would be held for as long as the broker runs.
  setsid nohup "${COMMAND[@]}" >"$log" 2>&1 </dev/null {TURN}>&- &
  process_record "$CACHE/$name/process" "$!" || native_failed "$name" "ended at once"
}

native_wait() {
  local name=$1 deadline=$((SECONDS + READY_SECONDS))
  until "${name}_ready"; do
    native_pid "$name" >/dev/null || native_failed "$name" "ended while starting"
    ((SECONDS < deadline)) || native_failed "$name" \
      "runs but no client gets an answer within $READY_SECONDS s; scripts/brokers down $name ends it"
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
    say "$name: down; what \`up\` started has ended by itself, log $log"
  else
    say "$name: down"
  fi
  return 3
}

native_logs() {
  local log
  log=$(native_log "$1")
  if [[ -e $log ]]; then cat "$log"; else say "$1: no log yet, it was never started here"; fi
}
