#!/usr/bin/env bash
# Runs one RabbitMQ node, in the environment that rabbitmq.sh prepares.
#
# Erlang nodes find each other through epmd, which the first node of a machine starts and which
# outlives it. Here epmd is a child of the node, on a separate port, and the kernel ends it whenever the
# node ends.
set -euo pipefail

setpriv --pdeathsig TERM -- "$ERLANG_BIN/epmd" &
# Wait for it: otherwise the node would start an epmd that outlives it.
until "$ERLANG_BIN/epmd" -names >/dev/null 2>&1; do
  kill -0 "$!" 2>/dev/null || { echo "epmd ended while starting" >&2; exit 1; }
  sleep 0.05
done

exec "$RABBITMQ_SBIN/rabbitmq-server"
