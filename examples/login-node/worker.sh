#!/bin/bash -l
# Runs a worker, and starts it again when it ended: for tmux and cron, see docs/login-node.md.
# Write the name of your cluster in place of hpc1. A second one on the same machine ends at once.

jobferry="$HOME/.local/jobferry/bin/jobferry"
variables="$HOME/.config/jobferry/environment"
state="$HOME/.local/state/jobferry-worker"

umask 077
mkdir -p "$state" || exit
exec 9>>"$state/$HOSTNAME.pid"
flock -n 9 || { echo "a worker runs here already" >&2; exit 0; }
echo $$ >"$state/$HOSTNAME.pid"
[ -t 1 ] || exec >>"$state/$HOSTNAME.log" 2>&1
if [ -r "$variables" ]; then set -a; . "$variables"; set +a; fi

worker=
trap '[ -z "$worker" ] || { kill "$worker"; wait "$worker"; }; exit' HUP INT TERM
while :; do
    "$jobferry" worker --cluster hpc1 --beat 9>&- &
    worker=$!
    wait "$worker"
    code=$?
    worker=
    # 2: the settings are wrong, and another start would not help
    [ "$code" -ne 2 ] || exit 2
    echo "the worker ended with $code: it is started again"
    sleep 10 9>&- &
    wait $!
done
