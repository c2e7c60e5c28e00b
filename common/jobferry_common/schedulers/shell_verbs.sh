# The second half of shell.sh: what a worker calls. shell_jobs.sh is the first, and tells what is called and how, what
# the state is, and the exit codes; on the cluster both are one file, so that they cannot be of two releases.

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
