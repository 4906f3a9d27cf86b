# shellcheck shell=bash
# Identifies a process across time. A pid alone is not enough, since the system reuses pids. A record is
# the pid, the id of the boot, and the tick at which the process started.

# process_birth PID: prints boot and tick; fails if the process has ended or is a zombie.
process_birth() {
  local stat fields
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  # The second field is the program's name in brackets and may contain blanks: cut after it.
  read -ra fields <<<"${stat##*) }"
  [[ ${fields[0]} != [ZX] ]] || return 1
  printf '%s %s' "$(</proc/sys/kernel/random/boot_id)" "${fields[19]}"
}

# process_record FILE PID
process_record() {
  local birth
  birth=$(process_birth "$2") || return 1
  printf '%s %s\n' "$2" "$birth" >"$1"
}

# process_alive FILE: prints the pid if the recorded process still runs.
process_alive() {
  local pid birth
  [[ -r $1 ]] || return 1
  read -r pid birth <"$1" || return 1
  [[ $(process_birth "$pid") == "$birth" ]] || return 1
  printf '%s' "$pid"
}

# process_stop FILE SECONDS: sends SIGTERM, waits, then sends SIGKILL. Checks the record before each signal.
process_stop() {
  local file=$1 deadline=$((SECONDS + $2)) pid
  if pid=$(process_alive "$file"); then kill -TERM "$pid" 2>/dev/null || true; fi
  while pid=$(process_alive "$file"); do
    if ((SECONDS >= deadline)); then kill -KILL "$pid" 2>/dev/null || true; fi
    sleep 0.1
  done
  rm -f "$file"
}
