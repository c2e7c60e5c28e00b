# What the test clusters share: daemons that are waited for, followed and ended. For sourcing.
#
# The cluster sets `directory` and `batch` (its name in messages), adds each daemon's id to `daemons` in the order in which
# they start, and has: cancel_all, to end all jobs; queue_answers; queue_is_empty.

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
    echo "$batch-cluster: $what did not come up; see the logs in $directory" >&2
    return 1
}

# Jobs live in sessions of their own: only the batch system ends them.
end_jobs() {
    local tries
    cancel_all >/dev/null 2>&1 || true
    for ((tries = 0; tries < 50; tries++)); do
        queue_answers >/dev/null 2>&1 || return 0
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

# The last one started goes first: slurmctld writes to slurmdbd, slurmdbd to the database.
end_daemons() {
    local number
    [ -z "$follower" ] || kill "$follower" 2>/dev/null || true
    for ((number = ${#daemons[@]} - 1; number >= 0; number--)); do
        end_daemon "${daemons[number]}"
    done
}

# Stay until TERM, or until standard input closes if that is wanted.
stay() {
    if [ -n "${CLUSTER_FOLLOW_STDIN:-}" ]; then
        (cat >/dev/null && kill "$$") <&0 &
        follower=$!
    fi
    wait "${daemons[@]}"
}
