# shellcheck shell=bash
# The brokers as services of docker-compose.yml.

compose() {
  docker compose --env-file "$ROOT/scripts/brokers.env" -f "$ROOT/docker-compose.yml" "$@"
}

# Checked once per run. An engine that does not answer within 5 s counts as missing.
COMPOSE_STATE=
compose_answers() {
  if [[ -z $COMPOSE_STATE ]]; then
    COMPOSE_STATE=no
    if compose_wanted; then COMPOSE_STATE=yes; fi
  fi
  [[ $COMPOSE_STATE == yes ]]
}

compose_wanted() {
  case ${BROADWAY_BROKERS:-} in
    native) return 1 ;;
    compose)
      compose_engine || fail "BROADWAY_BROKERS=compose, but no Docker engine with Compose answers" \
        "check: docker info; docker compose version"
      ;;
    '') compose_engine ;;
    *) fail "BROADWAY_BROKERS is '$BROADWAY_BROKERS'" "must be native or compose" ;;
  esac
}

compose_engine() {
  command -v docker >/dev/null || return 1
  timeout 5 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

compose_runs() {
  compose_answers && [[ -n $(compose ps --quiet "$1" 2>/dev/null) ]]
}

compose_up() {
  local began name
  began=$(now_ms)
  compose up --detach --wait --wait-timeout 180 "$@" \
    || fail "the containers of $* did not become healthy" "their logs: scripts/brokers logs $*"
  for name in "$@"; do
    say "$name: up at $("${name}_address") after $(seconds_since "$began") (container)"
  done
}

compose_down() { compose rm --stop --force --volumes "$@"; }

compose_status() {
  local health
  health=$(compose ps --format '{{.Health}}' "$1")
  if [[ $health == healthy ]]; then
    say "$1: up at $("${1}_address") (container)"
  else
    say "$1: container is ${health:-not running}; for the reason: scripts/brokers logs $1"
    return 3
  fi
}

compose_logs() { compose logs --no-color "$1"; }
