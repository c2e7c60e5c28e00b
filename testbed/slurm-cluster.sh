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
# shellcheck source=testbed/slurm-conf.sh
. "$here/slurm-conf.sh"
# shellcheck source=testbed/slurm-accounting.sh
. "$here/slurm-accounting.sh"

PATH=$PATH:/usr/sbin:/sbin
name=${CLUSTER_NAME:-alpha}
read -ra ports <<<"${CLUSTER_PORTS:-6817 18001 18002}"
read -ra accounting <<<"${CLUSTER_ACCOUNTING:-}"
daemons=()
follower=''

# wait_for WHAT COMMAND... : until the command succeeds, 60 s at most
wait_for() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 600; tries++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    echo "slurm-cluster: $what did not come up; see the logs in $directory" >&2
    return 1
}

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
    local number
    trap '' TERM INT
    trap - EXIT
    rm -f "$directory/ready"
    if [ "${#daemons[@]}" -gt 1 ]; then
        end_jobs
    fi
    [ -z "$follower" ] || kill "$follower" 2>/dev/null || true
    # The last one started goes first: slurmctld writes to slurmdbd, slurmdbd to the database.
    for ((number = ${#daemons[@]} - 1; number >= 0; number--)); do
        end_daemon "${daemons[number]}"
    done
}

# Job steps live in sessions of their own: only Slurm ends them.
end_jobs() {
    local tries
    timeout 5 scancel --full --user="$(id -un)" >/dev/null 2>&1 || true
    for ((tries = 0; tries < 50; tries++)); do
        timeout 5 squeue -h >/dev/null 2>&1 || return 0
        queue_is_empty && return 0
        sleep 0.1
    done
}

# end_daemon PID : ask it to end, and make it end after 5 s
end_daemon() {
    local tries
    kill -CONT "$1" 2>/dev/null && kill "$1" 2>/dev/null || return 0
    for ((tries = 0; tries < 100; tries++)); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -KILL "$1" 2>/dev/null || true
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
if [ -n "${CLUSTER_FOLLOW_STDIN:-}" ]; then
    (cat >/dev/null && kill "$$") <&0 &
    follower=$!
fi
wait "${daemons[@]}"
