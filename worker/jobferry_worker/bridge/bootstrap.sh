# What runs in the place of a job on a system that shares no directory with the worker. It needs bash 4.2, GNU tar, gzip
# and coreutils.
#
# The bridge writes these lines before it, and the functions jf_get, jf_put and perhaps jf_claim of its storage:
#   jf_id jf_owner     the job's id; what the system calls it
#   jf_name            the name of the run's directory
#   jf_script jf_log   the job's script and its log, below that directory
#   jf_digest          SHA-256 of the archive
# It delivers one file: a line `jobferry-result <sha256>`, then a compressed archive of `exit`, the script's exit code,
# and of all files in the run's directory that are new or were changed. A second delivery never takes a first one's place.

jf_say() { printf 'jobferry: %s\n' "$1" >&2; }

jf_die() { # what it says is in the system's own log alone
    jf_say "$1"
    exit 74
}

jf_try() { # up to three times
    local left
    for left in 2 1 0; do
        ! "$@" || return 0
        ((left == 0)) || sleep 5
    done
    return 1
}

jf_sum() { # file; into jf_text
    jf_text=$(sha256sum <"$1") || return
    jf_text=${jf_text%% *}
}

jf_run() { # the job's own script, into its own log; a signal is passed on
    local child
    if [[ $jf_log == */* ]]; then mkdir -p -- "$jf_place/${jf_log%/*}"; fi
    (
        cd -- "$jf_place" && export jf_place JOBFERRY_BRIDGE_ID="$jf_id" && exec "$jf_place/$jf_script"
    ) >"$jf_place/$jf_log" 2>&1 </dev/null &
    child=$!
    trap 'kill -TERM "$child" 2>/dev/null' TERM INT HUP
    wait "$child"
    jf_code=$?
    while ((jf_code > 128)) && kill -0 "$child" 2>/dev/null; do # a trap interrupted the wait
        wait "$child"
        jf_code=$?
    done
    trap - TERM INT HUP
}

jf_pack() { # into the file `result`
    printf '%s\n' "$jf_code" >"$jf_here/exit"
    tar -czf "$jf_here/changed" --newer="$jf_here/mark" -C "$jf_here" ./exit "./$jf_name"
    (($? <= 1)) || return 1 # 1: a file changed meanwhile
    jf_sum "$jf_here/changed" || return 1
    { printf 'jobferry-result %s\n' "$jf_text" && cat "$jf_here/changed"; } >"$jf_here/result"
}

jf_here=$PWD/jobferry
rm -rf -- "$jf_here"
mkdir -p -- "$jf_here/$jf_name" || jf_die "$jf_here cannot be made"
jf_place=$jf_here/$jf_name
cd -- "$jf_here" || exit 74
if type jf_claim >/dev/null 2>&1 && ! jf_claim "$jf_owner"; then
    jf_say "job $jf_id belongs to another than $jf_owner: nothing is run"
    exit 0
fi
jf_try jf_get "$jf_here/archive" || jf_die 'the archive of the job cannot be fetched'
jf_sum "$jf_here/archive"
[[ $jf_text == "$jf_digest" ]] || jf_die 'the archive of the job is damaged'
tar -xzf "$jf_here/archive" -C "$jf_place" || jf_die 'the archive of the job cannot be unpacked'
rm -f -- "$jf_here/archive"
: >"$jf_here/mark" # what is not older than this comes back
jf_run
jf_pack || jf_die 'the results cannot be packed'
jf_try jf_put "$jf_here/result" || jf_die 'the results cannot be delivered'
exit "$jf_code"
