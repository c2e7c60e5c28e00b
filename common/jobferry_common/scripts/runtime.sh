# What every job script of jobferry runs. It needs bash 4.2 and coreutils.
#
# batch/<token>.sh sets, before it sources this file:
#   jf_run jf_control jf_base jf_spool   the run and its directories
#   jf_list jf_index jf_id               which attempt this is, and what the scheduler calls the job
#   jf_para_deg jf_gpus                  tasks at a time; GPUs to hand out, 0 for none
# Functions answer in variables, because a $( ) would cost a process. All names begin with jf_.

jf_path=$PATH # modules may change PATH; mv and mkdir must be found all the same
jf_reason='' jf_signal='' jf_step='' jf_user_exit='' jf_flags=''
jf_code=0 jf_over='' jf_writing='' jf_complete='' jf_ended_by_signal=''
jf_lines=() jf_pids=() jf_devices=()

if [[ -n ${EPOCHREALTIME-} ]]; then
    jf_now() { jf_time=${EPOCHREALTIME/[!0-9]/.}; } # the point may be a comma in this locale
else
    jf_now() { printf -v jf_time '%(%s)T' -1; }
fi

jf_say() { printf 'jobferry: %s\n' "$1" >&2; }

jf_die() { # before there is a claim, so without a record
    jf_say "$1"
    exit 73
}

# ---- which attempt, and whose

jf_begin() {
    jf_now
    jf_started=$jf_time
    local line=()
    { mapfile -t -s "$jf_index" -n 1 line <"$jf_list"; } 2>/dev/null
    jf_attempt=${line[0]-}
    [[ $jf_attempt == [0-9]*.[0-9]* ]] || jf_die "no attempt for index '$jf_index' in $jf_list"
    [[ -n $jf_id ]] || jf_die 'the scheduler gave this job no id'
    if [[ ! -d $jf_control/claim || ! -d $jf_control/records || ! -d $jf_control/done ]]; then
        command mkdir -p -- "$jf_control/claim" "$jf_control/records" "$jf_control/done"
    fi
    jf_claim
    trap jf_on_exit EXIT
    trap 'jf_stop TERM 143' TERM
    trap 'jf_stop INT 130' INT
    trap 'jf_stop HUP 129' HUP
    trap 'jf_warned USR1' USR1
    trap 'jf_warned USR2' USR2
    trap 'jf_warned XCPU' XCPU
    builtin cd -- "$jf_base" || jf_fail "$jf_base cannot be entered"
}

jf_claim() {
    local file=$jf_control/claim/$jf_attempt owner='' created=''
    set -C # noclobber: the file is opened with O_EXCL
    { printf 'job %s\n' "$jf_id" >"$file"; } 2>/dev/null && created=1
    set +C
    { IFS= read -r owner <"$file"; } 2>/dev/null
    if [[ $owner != "job $jf_id" ]]; then
        [[ -z $created && -e $file ]] || jf_die "the claim $file cannot be written"
        jf_say "attempt $jf_attempt belongs to '$owner', not to job $jf_id: nothing is run"
        { : >|"$jf_spool/$jf_run.$jf_attempt.refused.$jf_id"; } 2>/dev/null # so that it can be counted
        exit 0
    fi
    [[ -n $created ]] || jf_again
}

jf_again() { # the scheduler started the same job once more
    local line next=$((${jf_attempt#*.} + 1))
    if [[ -e $jf_control/claim/${jf_attempt%.*}.$next ]]; then
        jf_say "attempt $jf_attempt is over, its successor has begun: nothing is run"
        exit 0
    fi
    [[ -e $jf_control/records/$jf_attempt ]] || return 0
    while IFS= read -r line; do
        if [[ $line == 'provisional 0' ]]; then
            jf_say "attempt $jf_attempt has ended before: nothing is run"
            exit 0
        fi
        [[ $line != provisional* ]] || return 0
    done <"$jf_control/records/$jf_attempt"
}

# ---- after the environment

jf_ready() { # after the environment; 1: users' code was sourced
    if [[ -n ${1-} ]]; then
        [[ $jf_complete || $jf_step != prepend_script ]] || jf_fail "$jf_step was not run to its end: a syntax error, an open quote or a return"
        local ours
        printf -v ours "trap -- '%s' EXIT" jf_on_exit
        jf_user_exit=$(trap -p EXIT)
        [[ $jf_user_exit != "$ours" ]] || jf_user_exit=''
        trap jf_on_exit EXIT
    fi
    jf_flags=${-//[!eufC]/} # the user's options hold in tasks, not in here
    set +eufC
    jf_step=''
    ((jf_gpus)) && jf_find_devices
    jf_tasks=$jf_control/jobs/${jf_attempt%.*}
    [[ -r $jf_tasks ]] || jf_fail "$jf_tasks cannot be read"
}

jf_find_devices() {
    local IFS=,
    if [[ ${CUDA_VISIBLE_DEVICES-} == *[0-9]* ]]; then
        set -f # what the scheduler gave this job
        jf_devices=($CUDA_VISIBLE_DEVICES)
        set +f
    else
        local device
        for ((device = 0; device < jf_gpus; device++)); do jf_devices+=("$device"); done
    fi
}

# ---- tasks: a window of jf_para_deg slots

jf_task() { # index, directory, outlog, errlog, command, backward patterns …
    local slot=0 started ended mark=$jf_control/done/$1
    [[ -z $jf_signal ]] || return 0
    if [[ -s $mark ]] && read -r started ended <"$mark" && [[ $ended ]]; then
        jf_lines+=("task $1 0 $started $ended") # an earlier attempt did it
        return 0
    fi
    ((${#jf_pids[@]} < jf_para_deg)) || jf_wait_one
    [[ -z $jf_signal ]] || return 0
    while [[ -n ${jf_pids[slot]-} ]]; do ((slot++)); done
    jf_index_of[slot]=$1 jf_directory_of[slot]=$jf_base/$2
    eval "jf_backward_$slot=(\"\${@:6}\")"
    [[ -d $jf_base/$2 ]] || PATH=$jf_path command mkdir -p -- "$jf_base/$2"
    jf_now
    jf_started_of[slot]=$jf_time
    jf_run_task "$slot" "$2" "$3" "$4" "$5" </dev/null &
    jf_pids[slot]=$!
}

jf_run_task() { # slot, directory, outlog, errlog, command; in a process of its own
    trap 'exit 143' TERM # after the command that runs: it may be saving its state
    builtin cd -- "$jf_base/$2" || exit 1
    [[ $3 != */* || -d ${3%/*} ]] || PATH=$jf_path command mkdir -p -- "${3%/*}"
    [[ $4 != */* || -d ${4%/*} ]] || PATH=$jf_path command mkdir -p -- "${4%/*}"
    if [[ -n $3 ]]; then jf_own "$3" && exec >>"$3" || exit 1; fi
    if [[ -n $4 ]]; then jf_own "$4" && exec 2>>"$4" || exit 1; fi
    ((${#jf_devices[@]} == 0)) || export CUDA_VISIBLE_DEVICES="${jf_devices[$1 % ${#jf_devices[@]}]}"
    jf_command=$jf_control/commands/$5
    set --
    [[ -z $jf_flags ]] || set "-$jf_flags"
    . "$jf_command"
}

jf_own() { # file: a link to a file of the user becomes its copy, for what is written is ours
    [[ -L $1 && ${jf_base##*/} == "$jf_run" ]] || return 0 # in place, links are the user's own
    if [[ -f $1 ]]; then
        PATH=$jf_path command cat <"$1" >|"$1.jobferry" && PATH=$jf_path command mv -f -- "./$1.jobferry" "./$1"
    elif [[ ! -e $1 ]]; then
        PATH=$jf_path command rm -f -- "./$1"
    fi
}

jf_wait_one() { # until a task has ended
    local slot pid='' ended=''
    if ((${#jf_pids[@]} == 1)); then
        jf_reap "${!jf_pids[@]}"
        return 0
    fi
    while :; do
        for slot in "${!jf_pids[@]}"; do
            if [[ ${jf_pids[slot]} == "$pid" ]] || ! kill -0 "${jf_pids[slot]}" 2>/dev/null; then
                jf_reap "$slot"
                ended=1
            fi
        done
        [[ -z $ended ]] || return 0
        jf_pause
    done
}

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)) && [[ -z ${jf_old_bash-} ]]; then
    jf_pause() { # sets pid where it is known
        pid=''
        wait -n -p pid "${jf_pids[@]}"
        (($? != 127)) || [[ -n ${pid-} ]] || jf_nap
    }
else
    jf_pause() { jf_nap; }
fi

jf_nap() { # a pause of 0.1 s without a process: nobody ever writes into this pipe
    [[ -n ${jf_pipe-} ]] || exec {jf_pipe}<> <(:)
    read -r -t 0.1 -u "$jf_pipe" || :
}

jf_reap() { # slot
    local status again pid=${jf_pids[$1]} index=${jf_index_of[$1]} pattern missing=()
    wait "$pid" 2>/dev/null
    status=$?
    while ((status > 128)) && kill -0 "$pid" 2>/dev/null; do # a trap interrupted the wait
        wait "$pid" 2>/dev/null
        status=$?
    done
    if ((status > 128)); then # perhaps it ended in that very moment
        wait "$pid" 2>/dev/null
        again=$?
        ((again == 127)) || status=$again
        # a signal at the moment of a task's end can make bash lose its code and say -1
        ((status >= 0 && status <= 255)) || status=$((jf_code > 128 ? jf_code : 255))
    fi
    jf_now
    unset "jf_pids[$1]"
    case $status in
        # HUP INT KILL USR1 USR2 TERM XCPU: perhaps the scheduler ends the whole job, and only it knows why
        129 | 130 | 137 | 138 | 140 | 143 | 152) jf_ended_by_signal=1 ;;
    esac
    if ((status == 0)); then
        eval "local patterns=(\"\${jf_backward_$1[@]}\")"
        for pattern in "${patterns[@]}"; do
            jf_exists "${jf_directory_of[$1]}" "$pattern" || missing+=("$pattern")
        done
    fi
    jf_lines+=("task $index $status ${jf_started_of[$1]} $jf_time")
    for pattern in "${missing[@]}"; do
        jf_escape "$pattern"
        jf_lines+=("missing $jf_text")
    done
    if ((status == 0 && ${#missing[@]} == 0)); then
        printf '%s %s\n' "${jf_started_of[$1]}" "$jf_time" >|"$jf_control/done/$index"
    elif ((jf_code == 0)); then
        jf_code=$((status ? status : 1))
    fi
}

jf_exists() { # directory, pattern
    [[ ! -e $1/$2 ]] || return 0
    [[ $2 == *[*?[]* ]] || return 1
    ( # its own shell for the options
        builtin cd -- "$1" || exit 1
        set +f
        shopt -s nullglob globstar
        shopt -u failglob dotglob extglob nocaseglob
        IFS='' GLOBIGNORE='' backslash='\'
        pattern=${2//"$backslash"/"$backslash$backslash"}
        for file in ./$pattern; do
            [[ ! -e $file ]] || exit 0
        done
        exit 1
    )
}

jf_wait_all() {
    while ((${#jf_pids[@]})); do jf_wait_one; done
}

# ---- the end

jf_escape() { # into jf_text, on one line
    local backslash='\' newline=$'\n'
    jf_text=${1//"$backslash"/"$backslash$backslash"}
    jf_text=${jf_text//"$newline"/"${backslash}n"}
}

jf_write() { # 1: provisional
    local record=$jf_control/records/$jf_attempt status=0 part
    jf_writing=1
    jf_now
    jf_escape "$jf_reason"
    # A short record is one write, and its last line proves that it is whole: a process for mv would cost more than
    # all the rest. What is long, or takes the place of a record, is renamed.
    part=$record
    [[ ! -e $record ]] && ((${#jf_lines[@]} < 20)) || part=$jf_control/records/.$jf_attempt.part
    printf '%s\n' 'jobferry 1' "attempt $jf_attempt" "id $jf_id" "provisional $1" "started $jf_started" \
        "ended $jf_time" "reason $jf_text" ${jf_lines[@]+"${jf_lines[@]}"} end >|"$part" || status=1
    if [[ $status == 0 && $part != "$record" ]]; then
        PATH=$jf_path command mv -f -- "$part" "$record" || status=1
    fi
    jf_writing=''
    return "$status"
}

jf_stop() { # signal, exit code: nothing more is started, what runs may end
    [[ -z $jf_over ]] || return 0
    jf_signal=$1 jf_code=$2 jf_reason="signal $1"
    [[ -n $jf_writing ]] || jf_write 1
}

jf_warned() { # a warning that the time is nearly over
    jf_reason="signal $1"
    [[ $jf_over$jf_writing ]] || jf_write 1
    jf_reason=''
}

jf_fail() { # reason: no task can be run
    jf_say "$1"
    jf_reason=$1 jf_code=1
    jf_finish
}

jf_append() { # before the users' own end
    jf_step=append_script
    [[ -z $jf_flags ]] || set "-$jf_flags"
}

jf_on_exit() { # somebody else's code ended the script, or a fatal error in it
    local status=$?
    [[ -z $jf_over ]] || return 0
    set +eufC
    if [[ $jf_step != append_script && -z $jf_signal ]]; then
        jf_reason="${jf_step:-the shell} ended the job with status $status"
        jf_code=$((status ? status : 1))
    fi
    jf_finish
}

jf_finish() {
    local provisional=0
    set +eufC
    [[ -z $jf_signal$jf_ended_by_signal ]] || provisional=1
    jf_over=1
    if ! jf_write "$provisional"; then
        jf_say "the record of attempt $jf_attempt cannot be written"
        jf_code=74
    fi
    { : >|"$jf_spool/$jf_run.$jf_attempt"; } 2>/dev/null
    trap - EXIT
    if [[ -n $jf_user_exit ]]; then
        eval "set -- $jf_user_exit" # trap -- 'command' EXIT
        eval "$3"
    fi
    exit "$jf_code"
}

jf_begin
