#!/usr/bin/env bash
# Becomes one RabbitMQ node; rabbitmq.sh makes its environment.
#
# Erlang nodes find each other through epmd, which the first node of a machine starts and which
# outlives it. Here it is a child of the node on a port of its own, and the kernel ends it when
# the node ends, however that happens: there is nothing to clean up.
set -euo pipefail

setpriv --pdeathsig TERM -- "$ERLANG_BIN/epmd" &
# The node would start one that stays if this one were late.
until "$ERLANG_BIN/epmd" -names >/dev/null 2>&1; do
  kill -0 "$!" 2>/dev/null || { echo "epmd ended while starting" >&2; exit 1; }
  sleep 0.05
done

exec "$RABBITMQ_SBIN/rabbitmq-server"
