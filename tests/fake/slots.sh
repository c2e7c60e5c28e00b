# One slot of a fake cluster: run what waits, one after the other, and end when nothing does.
#   bash slots.sh HOME FD      FD holds the lock of this slot
home=$1 lock=$2
shopt -s nullglob

take() { # the first element that nobody else takes
    local path waiting
    mapfile -t waiting < <(cd "$home/queue" && printf '%s\n' * | sort -V)
    for element in "${waiting[@]}"; do
        [ "$element" ] || continue
        path=$home/queue/$element
        mv -n "$path" "$home/run/$element" 2>/dev/null && [ ! -e "$path" ] && return
    done
    return 1
}

run() {
    local number=${element%%-*}
    jf_number=$number jf_index=${element#*-}
    [ "$jf_index" != - ] || jf_index=
    local code started=$EPOCHREALTIME how=exit
    (
        eval "exec $lock>&-"
        . "$home/jobs/$number.env"
        cd "$jf_directory" 2>/dev/null || exit 1
        export HOME=${HOME:-/root}
        exec setsid bash -c '
            echo "$$ $EPOCHREALTIME" >"$1/run/.$2.new"; mv "$1/run/.$2.new" "$1/run/$2"
            exec bash "$3"' job "$home" "$element" "$home/jobs/$number.sh" \
            >>"$jf_out" 2>>"$jf_err" </dev/null
    ) &
    local child=$!
    watch "$number" "$child" &
    local watcher=$!
    wait "$child"
    code=$?
    kill "$watcher" 2>/dev/null
    wait "$watcher" 2>/dev/null
    [ ! -e "$home/run/.$element.timeout" ] || how=timeout
    [ ! -e "$home/run/.$element.cancelled" ] || how=cancelled
    rm -f "$home/run/.$element".*
    echo "$code $started $EPOCHREALTIME $how" >"$home/done/.$element"
    mv "$home/done/.$element" "$home/done/$element"
    rm -f "$home/run/$element"
}

watch() { # end the job when its time is over
    eval "exec $lock>&-"
    . "$home/jobs/$1.env"
    [ "$jf_limit" != 0 ] || return
    sleep "$jf_limit" &
    trap "kill $!" TERM
    wait $! || return
    : >"$home/run/.$element.timeout"
    kill -TERM -- "-$2"
    sleep 1
    kill -KILL -- "-$2"
}

while take; do run; done
