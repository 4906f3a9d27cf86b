# shellcheck shell=bash
# How every script talks: progress on standard output, failures on standard error with a way out.

say() { printf '%s\n' "$*"; }

# fail WHAT [WHAT TO DO …]: ends the script.
fail() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  shift
  (($# == 0)) || printf '  %s\n' "$@" >&2
  exit 1
}

now_ms() {
  local now_us=${EPOCHREALTIME/[.,]/}
  printf '%s' "$((now_us / 1000))"
}

# seconds_since MS: with one decimal.
seconds_since() {
  local gone_ms=$(($(now_ms) - $1))
  printf '%d.%d s' "$((gone_ms / 1000))" "$((gone_ms % 1000 / 100))"
}
