#!/bin/sh
# Runs a long, silent command, and says every 15 s that it still runs:
# heartbeat.sh WHAT COMMAND [ARGUMENT...]
# It sets GOGC=400 unless GOGC is set: the Go compiler uses more memory, and 15 % less time.
what=$1
shift
echo "$what" >&2
(
	passed=0
	while sleep 1 && kill -0 $$ 2>/dev/null; do
		passed=$((passed + 1))
		[ $((passed % 15)) -ne 0 ] || echo "  $what … ${passed}s (the first time, this takes minutes)" >&2
	done
) >/dev/null &
heart=$!
trap 'kill "$heart" 2>/dev/null' EXIT
trap 'exit 130' INT TERM
GOGC=${GOGC:-400} "$@"
