# A batch system for one machine: bash >= 4.2, coreutils, util-linux (flock, setsid) and /proc.
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

is_array() { # is_array ID → $size
    local word
    size=-
    { read -r word word size _ <"jobs/$1"; } 2>/dev/null && [[ $size != - ]]
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

submit() {
    local token= size=- directory=/ log=/dev/null slots= id last= args entry
    while [[ $1 == --* ]]; do
        case $1 in
            --slots=*) slots=${1#*=} ;;
            --size=*) size=${1#*=} ;;
            --token=*) token=${1#*=} ;;
            --directory=*) directory=${1#*=} ;;
            --log=*) log=${1#*=} ;;
            *) fail 64 "unknown option $1" ;;
        esac
        shift
    done
    [[ $token && $token != *[[:space:]]* ]] || fail 64 "'$token' is no token"
    [[ $size == - || $size =~ ^[1-9][0-9]{0,8}$ ]] || fail 64 "'$size' is no size of an array"
    [[ -r $1 ]] || fail 75 "cannot read the script '$1'"
    printf -v args '%q ' "$1" "$directory" "$log"
    lock
    set_slots "$slots"
    now
    read -r last <last
    # a counter that was emptied by a crash must not give an id again
    id=$((${last:-$time} + 1))
    printf '%-12d\n' "$id" 1<>last || fail 75 "cannot write $state/last"
    entry_of "$id"
    # the queue comes first: an entry without its job is dropped, a job without its entry would wait for ever
    if ! printf '%-9d\n' 0 >"$entry" ||
        ! printf 'job %s %s %s %s\nargs %s\n' "$id" "$size" "$token" "$time" "$args" >"jobs/$id"; then
        rm -f "jobs/$id" "$entry"
        fail 75 "cannot write in $state"
    fi
    printf '%s\n' "$id"
    fill
}

set_slots() { # set_slots NUMBER: empty for the number of CPUs
    local was= slots=$1
    { read -r was <slots; } 2>/dev/null
    [[ $slots ]] || slots=$(nproc)
    [[ $was == "$slots" ]] || printf '%s\n' "$slots" >slots || fail 75 "cannot write $state/slots"
}

# Prints: who answers, the lines of jobs/, "wait <id> <next index>", "run <id> <index>", and a full stop.
list() {
    local jobs file id next at
    lock
    sweep
    fill
    prune
    jobs=(jobs/*)
    printf 'jobferry-shell %s\n' "$name"
    for ((at = 0; at < ${#jobs[@]}; at += 5000)); do
        cat -- "${jobs[@]:at:5000}" || fail 75 "cannot read $state/jobs"
    done
    for file in queue/*; do
        id_of "$file"
        read -r next <"$file" && printf 'wait %s %s\n' "$id" "$next"
    done
    for file in running/*; do
        file=${file#running/}
        printf 'run %s %s\n' "${file%_*}" "${file#*_}"
    done
    echo .
}

is_live() { # is_live ID: some of it waits or runs
    local running=("running/$1"_*) entry
    entry_of "$1"
    [[ -e $entry ]] || ((${#running[@]}))
}

# Once a day, jobs that ended long ago and that nobody said to forget are forgotten.
prune() {
    local today before= file
    printf -v today '%(%F)T' -1
    { read -r before <pruned; } 2>/dev/null
    [[ $today != "$before" ]] || return 0
    touch -d '7 days ago' week && printf '%s\n' "$today" >pruned || return 0
    for file in jobs/*; do
        [[ ! $file -ot week ]] || is_live "${file#jobs/}" || rm -f "$file" "skip/${file#jobs/}" "gone/${file#jobs/}"
    done
}

# What is forgotten while it still runs is dropped at its end: a job may tell its own end before it is over.
forget() { # forget ID | ID_RANGE,RANGE …
    local wanted id range ranges
    lock
    for wanted; do
        parse "$wanted"
        for range in "${ranges[@]}"; do
            printf '%s\n' "${range%-*}-${range#*-}" >>"gone/$id" || fail 75 "cannot write in $state"
        done
        drop "$id"
    done
}

parse() { # parse ID | ID_RANGE,RANGE → $id, $ranges
    [[ $1 =~ ^([0-9]+)(_([0-9,-]+))?$ ]] || fail 64 "'$1' is no id of a job"
    id=${BASH_REMATCH[1]}
    IFS=, read -ra ranges <<<"${BASH_REMATCH[3]:-0-999999999}"
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

cancel() { # cancel ID | ID_RANGE,RANGE …
    local wanted id ranges range kills=()
    lock
    sweep
    for wanted; do
        parse "$wanted"
        for range in "${ranges[@]}"; do
            cancel_waiting "$id" "${range%-*}" "${range#*-}"
            cancel_running "$id" "${range%-*}" "${range#*-}"
        done
    done
    if ((${#kills[@]})); then
        setsid bash "$script" kill "${kills[@]}" </dev/null >/dev/null 2>>log 9>&- &
    fi
    fill
}

cancel_waiting() { # cancel_waiting ID FIRST LAST
    local id=$1 first=$2 last=$3 entry next size
    entry_of "$id"
    { read -r next <"$entry"; } 2>/dev/null || return 0
    is_array "$id" || size=1
    ((first >= next)) || first=$next
    ((last < size)) || last=$((size - 1))
    ((first <= last)) || return 0
    ended "$id" "$first-$last" - cancelled && printf '%s\n' "$first-$last" >>"skip/$id" ||
        fail 75 "cannot write in $state"
    ((first > next)) || advance "$id" $((last + 1)) "$size"
}

cancel_running() { # cancel_running ID FIRST LAST → adds to $kills
    local file index
    for file in "running/$1"_*; do
        index=${file##*_}
        (($2 <= index && index <= $3)) || continue
        # first the mark, then the look; its runner does both the other way round, so that one of us sees it
        echo cancelled >>"$file"
        read_running "$file"
        [[ -z $job ]] || kills+=("$job" "$job_start")
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

facts() {
    local id
    mkdir -p "$state"/{jobs,queue,skip,gone,running} || fail 75 "cannot make directories in $state"
    cd -- "$state" || fail 75 "cannot enter $state"
    lock
    if [[ ! -s name ]]; then
        read -r id </proc/sys/kernel/random/uuid
        printf '%s@%s\n' "${id%%-*}" "$host" >name || fail 75 "cannot write $state/name"
    fi
    [[ -e last ]] || printf '%-12d\n' 0 >last
    [[ $1 != --slots=* ]] || set_slots "${1#*=}"
    read -r name <name
    printf 'jobferry-shell %s\nbash %s\n.\n' "$name" "$BASH_VERSION"
}

script=${BASH_SOURCE[0]}
read -r host </proc/sys/kernel/hostname
state=${script%/*}/$host
verb=$1
shift
# The secrets of whoever calls are none of a job's business.
unset ${!JOBFERRY_@} ${!CELERY_@}
for tool in flock setsid; do
    hash "$tool" 2>/dev/null || fail 69 "$tool (of util-linux) is not on PATH of $host; Shell needs it"
done
shopt -s nullglob
if [[ $verb == facts ]]; then
    facts "$@"
    exit
fi
if [[ $verb == kill ]]; then
    kill_groups "$@"
    exit
fi
cd -- "$state" 2>/dev/null && read -r name <name || fail 78 "$state is no home of jobs: was it removed?"
case $verb in
    submit | list | forget | cancel | runner) "$verb" "$@" ;;
    *) fail 64 "unknown command '$verb'" ;;
esac
