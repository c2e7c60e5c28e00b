#!/bin/bash
# A small Slurm cluster as ordinary processes on this machine; ends with them all.
#
#     testbed/slurm-cluster.sh DIRECTORY [COMMAND ARGUMENT...]
#
# With a COMMAND, runs it against the cluster and ends with its exit code: the entry point of a container.
# Without one, stays until TERM, or until standard input closes if CLUSTER_FOLLOW_STDIN is set: so the tests do.
# DIRECTORY/ready exists once every node is idle; DIRECTORY/slurm.conf is for SLURM_CONF.
#
#     CLUSTER_NAME        name of the cluster (alpha)
#     CLUSTER_CPUS        CPUs of each node (4)
#     CLUSTER_PORTS       of slurmctld and of each node: "6817 18001 18002" makes two nodes
#     CLUSTER_ACCOUNTING  "ACCOUNTING_PORT DATABASE_PORT": with slurmdbd and MariaDB (none)
#     CLUSTER_EXTRA       more lines for slurm.conf (none)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=testbed/daemons.sh
. "$here/daemons.sh"
# shellcheck source=testbed/slurm-conf.sh
. "$here/slurm-conf.sh"
# shellcheck source=testbed/slurm-accounting.sh
. "$here/slurm-accounting.sh"

PATH=$PATH:/usr/sbin:/sbin
name=${CLUSTER_NAME:-alpha}
read -ra ports <<<"${CLUSTER_PORTS:-6817 18001 18002}"
read -ra accounting <<<"${CLUSTER_ACCOUNTING:-}"
batch=slurm

every_node_is_idle() {
    [ "$(sinfo -h -N -t idle -o %N | sort -u | wc -l)" -eq "$((${#ports[@]} - 1))" ]
}

queue_is_empty() {
    [ -z "$(squeue -h -a -o %i)" ]
}

start_munge() {
    # A key of its own: no shared socket that a killed run may have left behind.
    [ -s "$directory/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$directory/munge.key")
    munged --foreground --force --key-file="$directory/munge.key" --socket="$directory/munge.socket" \
        --pid-file="$directory/munge.pid" --log-file="$directory/munge.log" \
        --seed-file="$directory/munge.seed" >"$directory/munge.out" 2>&1 &
    daemons+=("$!")
    wait_for "munged" munge -n --socket="$directory/munge.socket"
}

start_slurm() {
    local number
    if [ "${#accounting[@]}" -gt 0 ]; then
        accounting_conf "$directory" "${accounting[0]}" >>"$SLURM_CONF"
        start_accounting "$directory" "$name" "${accounting[@]}"
    fi
    slurmctld -D >"$directory/slurmctld.out" 2>&1 &
    daemons+=("$!")
    echo "$!" >"$directory/controller"
    for ((number = 1; number < ${#ports[@]}; number++)); do
        mkdir -p "$directory/n$number/spool"
        slurmd -D -N "n$number" >"$directory/n$number/slurmd.out" 2>&1 &
        daemons+=("$!")
    done
    wait_for "a node" every_node_is_idle
}

stop() {
    trap '' TERM INT
    trap - EXIT
    rm -f "$directory/ready"
    if [ "${#daemons[@]}" -gt 1 ]; then
        end_jobs
    fi
    end_daemons
}

queue_answers() {
    timeout 5 squeue -h
}

cancel_all() {
    timeout 5 scancel --full --user="$(id -un)"
}

mkdir -p "$1/state"
directory=$(cd "$1" && pwd)
shift
export SLURM_CONF=$directory/slurm.conf
slurm_conf "$directory" "$name" "${CLUSTER_CPUS:-4}" "${ports[@]}" >"$SLURM_CONF"
trap 'stop; exit 143' TERM INT
trap stop EXIT
start_munge
start_slurm
touch "$directory/ready"
if [ "$#" -gt 0 ]; then
    "$@" &
    command=$!
    trap 'kill "$command" 2>/dev/null || true' TERM INT
    status=0
    wait "$command" || status=$?
    # A signal ends the first wait; the command may take its time to end.
    while kill -0 "$command" 2>/dev/null; do
        status=0
        wait "$command" || status=$?
    done
    exit "$status"
fi
stay
