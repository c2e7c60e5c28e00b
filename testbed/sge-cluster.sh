#!/bin/bash
# A small SGE cluster as ordinary processes on this machine; ends with them all.
#
#     testbed/sge-cluster.sh DIRECTORY
#
# Stays until TERM, or until standard input closes if CLUSTER_FOLLOW_STDIN is set: so the tests do.
# DIRECTORY/ready exists once the queue takes jobs; DIRECTORY is SGE_ROOT, its cell is named `cell`.
# SGE knows one execution daemon on a host, so there is one node, with as many slots as CLUSTER_SLOTS says.
#
#     CLUSTER_NAME        name of the cluster (sge)
#     CLUSTER_SLOTS       slots of its queue all.q (32)
#     CLUSTER_PORTS       of sge_qmaster and of sge_execd ("6444 6445")
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=testbed/daemons.sh
. "$here/daemons.sh"

PATH=$PATH:/usr/sbin:/sbin
name=${CLUSTER_NAME:-sge}
slots=${CLUSTER_SLOTS:-32}
read -ra ports <<<"${CLUSTER_PORTS:-6444 6445}"
tools=/usr/lib/gridengine
resources=/usr/share/gridengine/util/resources
batch=sge

# The cell's files and an empty spool, as Debian's init_cluster makes them, but beside each other in DIRECTORY.
make_cell() {
    local common=$directory/cell/common spool=$directory/spool part
    mkdir -p "$common" "$spool/qmaster/job_scripts" "$spool/execd"
    for part in bin lib util utilbin; do
        ln -sfn "/var/lib/gridengine/$part" "$directory/$part"
    done
    cat >"$common/bootstrap" <<END
admin_user none
default_domain none
ignore_fqdn false
spooling_method classic
spooling_lib libspoolc
spooling_params $common;$spool/qmaster
binary_path /usr/sbin
qmaster_spool_dir $spool/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
END
    echo localhost >"$common/act_qmaster"
    echo "localhost $(hostname)" >"$common/host_aliases"
    echo "$name" >"$common/cluster_name"
    configuration >"$directory/configuration"
    "$tools/spoolinit" classic libspoolc "$common;$spool/qmaster" init
    "$tools/spooldefaults" configuration "$directory/configuration"
    "$tools/spooldefaults" complexes "$resources/centry"
    "$tools/spooldefaults" usersets "$resources/usersets"
    "$tools/spooldefaults" managers "$(id -un)"
}

# Debian's own, but for root as well, and quick to write its accounts.
configuration() {
    sed -e "s|^execd_spool_dir.*|execd_spool_dir $directory/spool/execd|" \
        -e 's|^min_uid.*|min_uid 0|' -e 's|^min_gid.*|min_gid 0|' \
        -e 's|^load_report_time.*|load_report_time 00:00:05|' \
        -e "s|^gid_range.*|gid_range $((20000 + ports[0]))-$((20200 + ports[0]))|" \
        -e 's|flush_time=00:00:15|flush_time=00:00:01 accounting_flush_time=00:00:01|' \
        /usr/share/gridengine/default-configuration
}

# entity FILE KEY VALUE... : one file for qconf
entity() {
    local file=$1
    shift
    printf '%s %s\n' "$@" >"$directory/$file"
}

add_node() {
    qconf -as localhost
    entity host hostname localhost load_scaling NONE complex_values NONE user_lists NONE xuser_lists NONE \
        projects NONE xprojects NONE usage_scaling NONE report_variables NONE
    qconf -Ae "$directory/host"
    entity group group_name @allhosts hostlist localhost
    qconf -Ahgrp "$directory/group"
}

add_environment() {
    # shellcheck disable=SC2016 # SGE's own variable
    entity environment pe_name "$1" slots 999 user_lists NONE xuser_lists NONE start_proc_args NONE \
        stop_proc_args NONE allocation_rule '$fill_up' control_slaves TRUE job_is_first_task TRUE \
        urgency_slots min accounting_summary TRUE qsort_args NONE
    qconf -Ap "$directory/environment"
}

add_queue() {
    qconf -sq | sed -e 's|^qname.*|qname all.q|' -e 's|^hostlist.*|hostlist @allhosts|' \
        -e 's|^load_thresholds.*|load_thresholds NONE|' -e "s|^slots.*|slots $slots|" \
        -e 's|^pe_list.*|pe_list mpi smp|' -e 's|^shell_start_mode.*|shell_start_mode unix_behavior|' \
        >"$directory/queue"
    qconf -Aq "$directory/queue"
}

schedule_often() {
    qconf -ssconf | sed -e 's|^schedule_interval.*|schedule_interval 0:0:1|' \
        -e 's|^flush_submit_sec.*|flush_submit_sec 1|' \
        -e 's|^flush_finish_sec.*|flush_finish_sec 1|' >"$directory/schedule"
    qconf -Msconf "$directory/schedule"
}

start_master() {
    SGE_ND=1 "$tools/sge_qmaster" >"$directory/qmaster.out" 2>&1 &
    daemons+=("$!")
    echo "$!" >"$directory/controller"
    wait_for "sge_qmaster" qconf -sh
}

start_node() {
    SGE_ND=1 "$tools/sge_execd" >"$directory/execd.out" 2>&1 &
    daemons+=("$!")
    wait_for "sge_execd" queue_is_up
}

# The sixth column of an instance is empty unless something is wrong with it.
queue_is_up() {
    qstat -f | awk '$1 ~ /^all.q@/ { up = $5 ~ /^lx-/ && NF == 5 } END { exit !up }'
}

queue_is_empty() {
    local jobs
    jobs=$(timeout 5 qstat -u '*') && [ -z "$jobs" ]
}

queue_answers() {
    timeout 5 qstat
}

cancel_all() {
    timeout 5 qdel -f -u '*'
}

stop() {
    trap '' TERM INT
    trap - EXIT
    rm -f "$directory/ready"
    [ "${#daemons[@]}" -lt 2 ] || { kill -CONT "${daemons[0]}" 2>/dev/null && end_jobs; } || true
    end_daemons
}

mkdir -p "$1"
directory=$(cd "$1" && pwd)
SGE_ARCH=$(/usr/share/gridengine/util/arch)
export SGE_ARCH SGE_ROOT=$directory SGE_CELL=cell SGE_QMASTER_PORT=${ports[0]} SGE_EXECD_PORT=${ports[1]}
trap 'stop; exit 143' TERM INT
trap stop EXIT
{
    make_cell
    start_master
    add_node
    add_environment mpi
    add_environment smp
    add_queue
    schedule_often
    start_node
} >"$directory/cluster.out" 2>&1
touch "$directory/ready"
stay
