# shellcheck shell=bash
# The output of scripts: progress on standard output, failures on standard error with the remedy.

say() { printf '%s\n' "$*"; }

# fail ERROR [REMEDY …]: prints both and ends the script.
fail() {
  printf 'scripts/%s: %s\n' "${0##*/}" "$1" >&2
  shift
  (($# == 0)) || printf '  %s\n' "$@" >&2
  exit 1
}

# fail_with_log LOG ERROR [REMEDY …]: also prints the end of the log, since a build server may not keep the file.
fail_with_log() {
  local log=$1
  shift
  {
    printf 'the end of %s:\n' "$log"
    tail -n 20 "$log" | sed 's/^/  | /'
  } >&2
  fail "$@" "the whole log: $log"
}

now_ms() {
  local now_us=${EPOCHREALTIME/[.,]/}
  printf '%s' "$((now_us / 1000))"
}

# seconds_since MS: prints seconds with one decimal.
seconds_since() {
  local gone_ms=$(($(now_ms) - $1))
  printf '%d.%d s' "$((gone_ms / 1000))" "$((gone_ms % 1000 / 100))"
}
