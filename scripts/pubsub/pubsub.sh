# shellcheck shell=bash
# Google Cloud Pub/Sub, emulated by Google's emulator if it is installed, otherwise by Google's
# in-memory fake, pstest, built from scripts/pubsub/fake. lib/brokers.sh lists the functions.
# BROADWAY_PUBSUB_SERVER=emulator or pstest overrides the choice; CONTRIBUTING.md lists the differences from
# Pub/Sub and from each other.
#
# In $CACHE/pubsub: pstest and its sources; go, a Go toolchain, if the machine has none that is new
# enough.

readonly PUBSUB_HOME=$CACHE/pubsub
readonly PUBSUB_SOURCE=$ROOT/scripts/pubsub/fake
# The version in Debian 13; go.mod must not require a newer one.
readonly PUBSUB_GO_VERSION=1.24

pubsub_address() { printf '127.0.0.1:%s' "$BROADWAY_PUBSUB_PORT"; }
pubsub_ports() { printf '%s\n' "$BROADWAY_PUBSUB_PORT"; }

pubsub_version() {
  local server
  server=$(pubsub_server) || return 1
  case $server in
    emulator) basename "$(pubsub_emulator)" .jar | sed 's/.*-\([0-9.]*\)-all$/emulator \1/' ;;
    pstest) sed -n 's:.*cloud.google.com/go/pubsub/v2 v\(.*\)$:pstest \1:p' "$PUBSUB_SOURCE/go.mod" ;;
  esac
}

pubsub_needs() {
  printf 'curl=curl\n'
  case $(pubsub_server) in
    emulator) [[ -n ${JAVA_HOME:-} ]] || printf 'java=openjdk-17-jre-headless\n' ;;
    pstest) pubsub_go >/dev/null || debian_needs ;;
  esac
}

pubsub_server() {
  case ${BROADWAY_PUBSUB_SERVER:-} in
    '') if pubsub_emulator >/dev/null; then printf emulator; else printf pstest; fi ;;
    emulator)
      pubsub_emulator >/dev/null || fail "pubsub: Google's emulator is not installed here" \
        "gcloud components install pubsub-emulator, or BROADWAY_PUBSUB_SERVER=pstest"
      printf emulator
      ;;
    pstest) printf pstest ;;
    *) fail "BROADWAY_PUBSUB_SERVER is '$BROADWAY_PUBSUB_SERVER'" "must be emulator or pstest" ;;
  esac
}

# The emulator's jar, beside the gcloud in the path. Running gcloud would take a second.
pubsub_emulator() {
  local gcloud jars
  gcloud=$(command -v gcloud) || return 1
  gcloud=$(readlink -f "$gcloud")
  jars=("${gcloud%/bin/*}"/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar)
  [[ -e ${jars[0]} ]] && printf '%s' "${jars[0]}"
}

pubsub_prepare() {
  http_check pubsub
  case $(pubsub_server) in
    emulator) java_check pubsub ;;
    pstest) pubsub_build ;;
  esac
}

pubsub_command() {
  # shellcheck disable=SC2034 # read by native_spawn
  case $(pubsub_server) in
    emulator)
      COMMAND=("$(java_program)" -Xmx512m -XX:+ExitOnOutOfMemoryError -jar "$(pubsub_emulator)"
        --host=127.0.0.1 --port="$BROADWAY_PUBSUB_PORT")
      ;;
    pstest) COMMAND=("$PUBSUB_HOME/pstest/server" -listen "$(pubsub_address)") ;;
  esac
}

# A client's request: the list of topics. Both servers forward it to their gRPC service.
pubsub_ready() {
  port_answers "$BROADWAY_PUBSUB_PORT" || return 1
  http_get "http://$(pubsub_address)/v1/projects/broadway-ready/topics" >/dev/null
}

# Builds in another folder and renames it, like java_fetch. go.sum has the checksum of every module.
pubsub_build() {
  local pstest=$PUBSUB_HOME/pstest go root=()
  ! diff -rq "$PUBSUB_SOURCE" "$pstest/source" >/dev/null 2>&1 || return 0
  if ! go=$(pubsub_go); then
    debian_unpack pubsub trixie "$PUBSUB_HOME/go" \
      "golang-$PUBSUB_GO_VERSION-go" "golang-$PUBSUB_GO_VERSION-src"
    go=$PUBSUB_HOME/go/usr/lib/go-$PUBSUB_GO_VERSION/bin/go
    root=("GOROOT=${go%/bin/go}")
  fi
  say "pubsub: building pstest in $pstest (once)"
  rm -rf "$pstest" "$pstest.partial"
  mkdir -p "$pstest.partial"
  cp -r "$PUBSUB_SOURCE" "$pstest.partial/source"
  (cd "$pstest.partial/source" && env "${root[@]}" CGO_ENABLED=0 GOFLAGS= GOWORK=off \
    "$go" build -mod=readonly -trimpath -o ../server .) >"$PUBSUB_HOME/build.log" 2>&1 \
    || fail_with_log "$PUBSUB_HOME/build.log" "pubsub: Go could not build pstest" \
      "to try again: scripts/brokers up pubsub"
  mv "$pstest.partial" "$pstest"
}

# The machine's Go, if it is new enough.
pubsub_go() {
  local version
  version=$(go env GOVERSION 2>/dev/null) || return 1
  [[ $(printf '%s\n' "$PUBSUB_GO_VERSION" "${version#go}" | sort -V | head -n 1) == "$PUBSUB_GO_VERSION" ]] \
    && printf go
}

pubsub_agrees() {
  local asked
  # shellcheck disable=SC2016 # looks for the text, not for its value
  grep -q -e '--host-port=0.0.0.0:${BROADWAY_PUBSUB_PORT' "$ROOT/docker-compose.yml" \
    || fail "docker-compose.yml does not run the Pub/Sub emulator on BROADWAY_PUBSUB_PORT"
  asked=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' "$PUBSUB_SOURCE/go.mod")
  [[ $asked == "$PUBSUB_GO_VERSION" ]] \
    || fail "scripts/pubsub/fake/go.mod requires Go $asked, but scripts/pubsub/pubsub.sh provides $PUBSUB_GO_VERSION"
}
