# The first half of shell.sh, a batch system for one machine: its state, and how jobs are started and ended.
# It needs bash >= 4.2, coreutils, util-linux (flock, setsid) and /proc. shell_verbs.sh is the other half.
#
#     bash shell.sh submit --slots=4 --size=- --token=T --directory=/d --log=/d/log /d/script   →  17
#     bash shell.sh list | cancel 17 18_0-3,7 | forget 17 18_0-3,7 | facts --slots=4
#
# Its state, in a directory for each host beside this file (a pid means nothing on another host):
#     name            who answers: a random id and the host
#     last            the last job id that was given
#     slots           most elements that run at once
#     jobs/<id>       "job <id> <size or -> <token> <time>", "args …" (quoted), then lines
#                     "end <id> <indices> <code> <how> <time>"; how: exited, cancelled, lost, node
#     queue/<id>      the next index to start; the id has leading zeros here, so that the oldest comes first;
#                     the file is gone when all were started
#     skip/<id>       indices that were cancelled while they waited, a range a line
#     gone/<id>       indices whose end nobody will ask for again, a range a line
#     running/<id>_<index>   "<boot id>", "runner <pid> <start>", "job <pid> <start>", "cancelled"
# A job is a single element with the index 0, or an array. Changes are made under `lock`; a runner is a process of
# its own session that starts one element after another while there are any.
# Exit codes: 64 wrong for ever, 75 not now, 78 this is no home of jobs.

fail() { # fail CODE WORDS…
    local code=$1
    shift
    printf 'shell.sh: %s\n' "$*" >&2
    exit "$code"
}

lock() {
    exec 9>>"$state/lock" || fail 75 "cannot write $state/lock"
    flock 9 || fail 75 "cannot lock $state/lock"
}

unlock() { exec 9>&-; }

entry_of() { printf -v entry 'queue/%012d' "$1"; } # entry_of ID → $entry

id_of() { id=$((10#${1#queue/})); } # id_of ENTRY → $id

boot_id() { read -r boot </proc/sys/kernel/random/boot_id; }

start_time() { # start_time PID → $started, clock ticks since boot; fails when there is no such process
    local stat
    started=
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=(${stat##*) })
    [[ ${stat[0]} != [ZX] ]] || return 1
    started=${stat[19]}
}

alive() { # alive PID START
    [[ -n $1 ]] && start_time "$1" && [[ $started == "$2" ]]
}

now() { printf -v time '%(%s)T' -1; }

ended() { # ended ID INDICES CODE HOW
    now
    printf 'end %s %s %s %s %s\n' "$1" "$2" "$3" "$4" "$time" >>"jobs/$1"
}

read_running() { # read_running FILE → $on_boot $runner $runner_start $job $job_start $cancelled
    local word pid start
    on_boot= runner= runner_start= job= job_start= cancelled=
    while read -r word pid start; do
        case $word in
            runner) runner=$pid runner_start=$start ;;
            job) job=$pid job_start=$start ;;
            cancelled) cancelled=1 ;;
            *) on_boot=$word ;;
        esac
    done <"$1"
}

is_array() { # is_array ID → $size
    local word
    size=-
    { read -r word word size _ <"jobs/$1"; } 2>/dev/null && [[ $size != - ]]
}

is_live() { # is_live ID: some of it waits or runs
    local running=("running/$1"_*) entry
    entry_of "$1"
    [[ -e $entry ]] || ((${#running[@]}))
}

drop() { # drop ID: unless some of it waits or runs, or its end may still be asked for
    local range index size covered=()
    [[ -e gone/$1 ]] && ! is_live "$1" || return 0
    is_array "$1" || size=1
    while read -r range; do
        for ((index = ${range%-*}; index <= ${range#*-} && index < size; index++)); do
            covered[index]=1
        done
    done <"gone/$1"
    ((${#covered[@]} < size)) || rm -f "jobs/$1" "skip/$1" "gone/$1"
}

# Nobody tells the end of an element whose runner was killed, or that a reboot ended: it is found here.
sweep() {
    local file element how
    boot_id
    for file in running/*; do
        read_running "$file"
        if [[ $on_boot == "$boot" ]] && { alive "$runner" "$runner_start" || alive "$job" "$job_start"; }; then
            continue
        fi
        element=${file#running/}
        how=lost
        if [[ $on_boot != "$boot" ]]; then
            how=node
        elif [[ $job ]]; then
            # processes may have outlived the job's first one
            signal_group KILL "$job" "$job_start"
        fi
        [[ -z $cancelled ]] || how=cancelled
        ended "${element%_*}" "${element#*_}" - "$how" && rm -f "$file"
        drop "${element%_*}"
    done
}

# Starts runners while there is room and work. Each looks again under the lock: one too many just ends.
fill() {
    local running=(running/*) entry most free waiting=0 id size
    read -r most <slots
    free=$((most - ${#running[@]}))
    for entry in queue/*; do
        ((waiting < free)) || break
        id_of "$entry"
        is_array "$id" || size=1
        waiting=$((waiting + size))
    done
    ((waiting < free)) || waiting=$free
    while ((waiting-- > 0)); do
        setsid bash "$script" runner </dev/null >/dev/null 2>>log 9>&- &
    done
}

skipped() { # skipped ID INDEX
    local range
    [[ -e skip/$1 ]] || return 1
    while read -r range; do
        ((${range%-*} <= $2 && $2 <= ${range#*-})) && return 0
    done <"skip/$1"
    return 1
}

take() { # take → $id $index: the first element that waits; fails when there is no room or no work
    local running=(running/*) most entry size
    read -r most <slots
    ((${#running[@]} < most)) || return 1
    for entry in queue/*; do
        id_of "$entry"
        index=
        read -r index <"$entry"
        if [[ -s jobs/$id && -n $index ]]; then
            is_array "$id" || size=1
            while skipped "$id" "$index"; do index=$((index + 1)); done
            if ((index < size)); then
                mark || return 1
                advance "$id" $((index + 1)) "$size"
                return 0
            fi
        fi
        rm -f "$entry" "skip/$id"
    done
    return 1
}

mark() { # writes down that this runner has $id $index
    local file=running/${id}_$index
    printf '%s\nrunner %s %s\n' "$boot" "$BASHPID" "$own_start" >"$file" && return 0
    rm -f "$file"
    return 1
}

advance() { # advance ID INDEX SIZE: overwrites in place, which works on a full disk too
    local entry
    entry_of "$1"
    if (($2 < $3)); then
        printf '%-9d\n' "$2" 1<>"$entry"
    else
        rm -f "$entry" "skip/$1"
    fi
}

run() { # starts $id $index, and waits for its end → $code
    local _ args pid interpreter=() shebang=
    { read -r _; read -r _ args; } <"jobs/$id"
    eval "args=($args)"
    read -r shebang <"${args[0]}"
    [[ $shebang != '#!'* ]] || read -ra interpreter <<<"${shebang#??}"
    ((${#interpreter[@]})) || interpreter=(bash)
    [[ $size == - ]] || args[2]+=".$index"
    (
        export JOBFERRY_SHELL_ID=$id
        [[ $size == - ]] || export JOBFERRY_SHELL_INDEX=$index
        cd -- "${args[1]}" || exit 74
        exec >"${args[2]}" 2>&1 </dev/null || exit 74
        exec setsid "${interpreter[@]}" "${args[0]}"
    ) &
    pid=$!
    start_time "$pid" || started=0
    printf 'job %s %s\n' "$pid" "$started" >>"running/${id}_$index"
    read_running "running/${id}_$index"
    if [[ $cancelled ]]; then
        setsid bash "$script" kill "$pid" "$started" </dev/null >/dev/null &
    fi
    wait "$pid"
    code=$?
    # what it left behind ends with it, as under any batch system
    kill -KILL -- "-$pid" 2>/dev/null
}

runner() {
    local id index code size how own_start
    start_time $BASHPID
    own_start=$started
    lock
    sweep
    while take; do
        unlock
        is_array "$id"
        run
        lock
        read_running "running/${id}_$index"
        how=exited
        [[ -z $cancelled ]] || how=cancelled
        # on a full disk the end is told later rather than never
        until ended "$id" "$index" "$code" "$how"; do
            unlock
            sleep 1
            lock
        done
        rm -f "running/${id}_$index"
        drop "$id"
    done
}

# TERM to the whole groups, then KILL after a grace. A group whose first process is gone is still the same group;
# one whose first process has another start time is not ours.
kill_groups() {
    local left=("$@") rest round signal
    for ((round = 0; round < 60 && ${#left[@]}; round++)); do
        signal=0
        ((round)) || signal=TERM
        ((round < 50)) || signal=KILL
        rest=()
        set -- "${left[@]}"
        while (($#)); do
            ! signal_group "$signal" "$1" "$2" || rest+=("$1" "$2")
            shift 2
        done
        left=("${rest[@]}")
        ((${#left[@]} == 0)) || sleep 0.1
    done
}

signal_group() { # signal_group SIGNAL PID START: fails when nothing of it is left
    if start_time "$2" && [[ $started != "$3" ]]; then return 1; fi
    # just started, it may not have a group of its own yet
    kill "-$1" -- "-$2" 2>/dev/null || { alive "$2" "$3" && kill "-$1" "$2"; }
}
