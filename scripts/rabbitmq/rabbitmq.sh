# shellcheck shell=bash
# RabbitMQ, one node with the management plugin, from Debian's packages (unpacked by lib/debian.sh, since
# installing the package would start a service). lib/brokers.sh lists the functions.
#
# RABBITMQ_4=1 selects RabbitMQ 4.0.5 of Debian 13, the version of the container; otherwise it is
# 3.10.8 of Debian 12. CONTRIBUTING.md lists the differences. The user guest, with the password guest, has all
# permissions.
#
# In $CACHE/rabbitmq: 3.10.8 and 4.0.5, the unpacked packages; home, with the cookie of the node;
# rabbitmq.conf and plugins, the settings of the running node.

readonly RABBITMQ_DIR=$CACHE/rabbitmq
# Separate nodes use the programs of the shared one.
readonly RABBITMQ_PROGRAMS=${RABBITMQ_PROGRAMS:-$RABBITMQ_DIR}
readonly RABBITMQ_SOURCE=$ROOT/scripts/rabbitmq
readonly RABBITMQ_ERLANG=(erlang-{asn1,base,crypto,eldap,inets,mnesia,os-mon,parsetools}
  erlang-{public-key,runtime-tools,ssl,syntax-tools,tools,xmerl})

rabbitmq_address() { printf '127.0.0.1:%s' "$BROADWAY_RABBITMQ_PORT"; }
rabbitmq_management() { printf '127.0.0.1:%s' "$BROADWAY_RABBITMQ_MANAGEMENT_PORT"; }
rabbitmq_ports() {
  printf '%s\n' "$BROADWAY_RABBITMQ_PORT" "$BROADWAY_RABBITMQ_MANAGEMENT_PORT" \
    "$BROADWAY_RABBITMQ_NODE_PORT" "$BROADWAY_RABBITMQ_EPMD_PORT"
}
rabbitmq_number() { if [[ ${RABBITMQ_4:-} == 1 ]]; then printf 4.0.5; else printf 3.10.8; fi; }
rabbitmq_version() { printf 'RabbitMQ %s' "$(rabbitmq_number)"; }
rabbitmq_needs() {
  debian_needs
  printf 'curl=curl\nsetpriv=util-linux\n'
}

rabbitmq_prepare() {
  [[ $RABBITMQ_DIR != *[[:space:]]* ]] || fail "rabbitmq: its scripts cannot run under '$RABBITMQ_DIR'" \
    "set BROADWAY_CACHE to a folder without blanks in its path"
  http_check rabbitmq
  case $(rabbitmq_number) in
    4.*) rabbitmq_unpack trixie libcap2 libssl3t64 ;;
    *) rabbitmq_unpack bookworm libcap2 libgcrypt20 libgpg-error0 liblz4-1 liblzma5 libssl3 ;;
  esac
  rabbitmq_configure
}

# rabbitmq_unpack RELEASE LIBRARY …: unpacks the node with Erlang and the libraries that it links to.
rabbitmq_unpack() {
  local release=$1 tree sbin
  shift
  tree=$(rabbitmq_tree)
  debian_unpack rabbitmq "$release" "$tree" rabbitmq-server "${RABBITMQ_ERLANG[@]}" \
    libc6 libgcc-s1 libstdc++6 libsystemd0 libtinfo6 libzstd1 zlib1g "$@"
  sbin=$(rabbitmq_sbin)
  [[ -d $sbin ]] || fail "rabbitmq: $sbin is missing" \
    "Debian $release has another version now: scripts/rabbitmq/rabbitmq.sh names the wrong one"
  debian_own_libraries "$tree" "$(rabbitmq_erts)"/bin/{beam.smp,epmd,erl_child_setup,erlexec,inet_gethost} \
    "$(rabbitmq_os_mon)"/{cpu_sup,memsup}
  rabbitmq_erl >"$tree/usr/lib/erlang/bin/erl"
}

rabbitmq_tree() { printf '%s/%s' "$RABBITMQ_PROGRAMS" "$(rabbitmq_number)"; }
rabbitmq_sbin() { printf '%s/usr/lib/rabbitmq/lib/rabbitmq_server-%s/sbin' "$(rabbitmq_tree)" "$(rabbitmq_number)"; }

# Erlang's programs and the programs of its library os_mon, as paths inside the tree.
rabbitmq_erts() { (cd "$(rabbitmq_tree)" && printf '%s' usr/lib/erlang/erts-*); }
rabbitmq_os_mon() { (cd "$(rabbitmq_tree)" && printf '%s' usr/lib/erlang/lib/os_mon-*/priv/bin); }

# Debian's `erl` requires /usr/lib/erlang; this one uses the unpacked folder.
# shellcheck disable=SC2016 # the generated script expands it
rabbitmq_erl() {
  local tree
  tree=$(rabbitmq_tree)
  printf '#!/bin/sh\nexport ROOTDIR="%s" BINDIR="%s" EMU=beam PROGNAME=erl\nexec "$BINDIR/erlexec" "$@"\n' \
    "$tree/usr/lib/erlang" "$tree/$(rabbitmq_erts)/bin"
}

# Sets every listener, since the defaults bind every interface.
rabbitmq_configure() {
  mkdir -p "$RABBITMQ_DIR/home" "$RABBITMQ_DIR/data"
  {
    cat "$RABBITMQ_SOURCE/rabbitmq.conf"
    printf '\n# Addresses.\n'
    printf 'listeners.tcp.1 = %s\n' "$(rabbitmq_address)"
    printf 'management.tcp.ip = 127.0.0.1\n'
    printf 'management.tcp.port = %s\n' "$BROADWAY_RABBITMQ_MANAGEMENT_PORT"
  } >"$RABBITMQ_DIR/rabbitmq.conf"
  printf '[rabbitmq_management].\n' >"$RABBITMQ_DIR/plugins"
  : >"$RABBITMQ_DIR/environment"
}

# Without the caller's environment, which may have settings of another node.
rabbitmq_command() {
  local tree
  tree=$(rabbitmq_tree)
  # shellcheck disable=SC2034 # read by native_spawn
  COMMAND=(env -i
    "PATH=$tree/usr/lib/erlang/bin:$PATH"
    LANG=C.UTF-8
    "HOME=$RABBITMQ_DIR/home"
    "ERLANG_BIN=$tree/$(rabbitmq_erts)/bin"
    "ERL_CRASH_DUMP=$RABBITMQ_DIR/crash"
    ERL_EPMD_ADDRESS=127.0.0.1
    "ERL_EPMD_PORT=$BROADWAY_RABBITMQ_EPMD_PORT"
    "RABBITMQ_SBIN=$(rabbitmq_sbin)"
    RABBITMQ_NODENAME=broadway@localhost
    "RABBITMQ_DIST_PORT=$BROADWAY_RABBITMQ_NODE_PORT"
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}"
    "RABBITMQ_MNESIA_BASE=$RABBITMQ_DIR/data"
    "RABBITMQ_LOG_BASE=$RABBITMQ_DIR/data"
    "RABBITMQ_PID_FILE=$RABBITMQ_DIR/data/pid"
    "RABBITMQ_CONFIG_FILE=$RABBITMQ_DIR/rabbitmq.conf"
    "RABBITMQ_CONF_ENV_FILE=$RABBITMQ_DIR/environment"
    "RABBITMQ_ENABLED_PLUGINS_FILE=$RABBITMQ_DIR/plugins"
    # Makes the script exec the node rather than supervise it, so that the recorded pid is the node's.
    RUNNING_UNDER_SYSTEMD=true
    "$RABBITMQ_SOURCE/node.sh")
}

# Ready when the management port reports that the node runs and the other port accepts an AMQP client.
rabbitmq_ready() {
  port_answers "$BROADWAY_RABBITMQ_PORT" || return 1
  http_get --user guest:guest "http://$(rabbitmq_management)/api/health/checks/local-alarms" >/dev/null \
    && rabbitmq_speaks_amqp
}

# A client opens with "AMQP" and the version 0-9-1. The broker answers with the method `start` (10,
# 10) on channel 0, or with the version that it supports.
rabbitmq_speaks_amqp() {
  local answer
  exec {AMQP}<>"/dev/tcp/127.0.0.1/$BROADWAY_RABBITMQ_PORT" || return 1
  printf 'AMQP\x00\x00\x09\x01' >&"$AMQP"
  answer=$(timeout 5 head -c 11 <&"$AMQP" | od -An -v -tx1 | tr -d ' \n')
  exec {AMQP}>&-
  # Frame type 1, channel 0, four bytes of length, class 10, method 10.
  [[ $answer =~ ^010000.{8}000a000a$ ]]
}

# The container has the newer version and the same ports.
rabbitmq_agrees() {
  local version
  version=$(RABBITMQ_4=1 rabbitmq_number)
  grep -q "image: rabbitmq:$version-management\$" "$ROOT/docker-compose.yml" \
    || fail "docker-compose.yml does not run rabbitmq:$version-management, the version in scripts/rabbitmq/rabbitmq.sh"
}
