# shellcheck shell=bash
# Knowing a process again. A pid alone is not enough: the number may belong to someone else by
# now. A record is the pid, the boot it belongs to and the tick at which that process began.

# process_birth PID: prints boot and tick; fails if it is gone or a zombie nobody has collected.
process_birth() {
  local stat fields
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  # The second field is the program's name in brackets and may hold blanks: cut after it.
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

# process_stop FILE SECONDS: asks, waits, then forces. The record is checked before each signal.
process_stop() {
  local file=$1 deadline=$((SECONDS + $2)) pid
  if pid=$(process_alive "$file"); then kill -TERM "$pid" 2>/dev/null || true; fi
  while pid=$(process_alive "$file"); do
    if ((SECONDS >= deadline)); then kill -KILL "$pid" 2>/dev/null || true; fi
    sleep 0.1
  done
  rm -f "$file"
}
