# What the long-lived shell on a cluster knows. It is bash, it reads its commands from the channel a byte at a time, so
# that what follows a line is left to the command that this line starts; and it starts as few processes as it can.
# 8 and 9 are the channel's stdout and stderr; its own are closed, so that nothing of it gets between the frames.
exec 8>&1 9>&2 >/dev/null 2>&1
# each command in a process group of its own: one can see what it leaves behind
set -m
shopt -s dotglob nullglob
hash timeout
jf_timeout=${BASH_CMDS[timeout]}
# messages are read by their words, and lengths are in bytes
jf_lc_all=${LC_ALL-} jf_had_lc_all=${LC_ALL+yes}
export LC_ALL=C
# a bash that thinks it is the first one of an ssh login reads ~/.bashrc, which may print
export SHLVL=3

# nonce, second of this shell until which the command may start: its caller gave up waiting since
jf_begin() {
    if ((SECONDS > $2)); then
        printf '%s< %s> late 0\n' "$1" "$1" >&8
        printf '%s<%s>' "$1" "$1" >&9
        exit
    fi
    printf '%s<' "$1" >&8
    printf '%s<' "$1" >&9
}

# nonce, exit code, 1: something of the command is left, and may still print
jf_end() {
    printf '%s> %s %s\n' "$1" "$2" "${3:-0}" >&8
    printf '%s>' "$1" >&9
}

# process of a command
jf_wait() {
    wait "$1"
    jf_code=$? jf_left=0
    # it is not over when it was stopped
    while ((jf_code > 128)) && kill -0 "$1"; do
        command sleep 0.2
        wait "$1"
        jf_code=$?
    done
    kill -0 -- "-$1" && jf_left=1
}

# the environment as it was after the login
jf_env() {
    if [[ $jf_had_lc_all ]]; then LC_ALL=$jf_lc_all; else unset LC_ALL; fi
}

# directory: go there, or end as a command does that cannot be run
jf_cd() {
    cd -- "$1" >/dev/null && return
    [[ -e $1 ]] && exit 126
    exit 127
}

# bytes of the channel that are the stdin of the next command: it reads them from 6
jf_feed() {
    exec 6< <(exec head -c "$1" <&0)
}

# what that command left unread must not be taken for the next line
jf_drain() {
    local one
    if IFS= read -r -d '' -n 1 -u 6 one; then command cat <&6 >/dev/null; fi
    exec 6<&-
}

# how many first arguments are the command; the others go to it in portions that fit: with the stack that Linux gives
# a process as a rule these do, with the least that it may be given only small ones
jf_portions() {
    local command=("${@:2:$1}") code=0 ended portion=4000
    shift $(($1 + 1))
    while (($#)); do
        command "${command[@]}" "${@:1:portion}" </dev/null >&8 2>&9
        ended=$?
        if ((ended == 126 && portion > 400)); then portion=400; continue; fi
        ((ended == 0)) || code=1
        shift $(($# < portion ? $# : portion))
    done
    return "$code"
}

jf_names() {
    local names
    if [[ -d $1 && -r $1 && -x $1 ]]; then
        names=("$1"/*)
        if ((${#names[@]})); then printf '%s\0' "${names[@]##*/}" >&8; fi
    elif [[ ! -p $1 ]]; then
        # it says why not
        { true <"$1"; } 2>&9
    fi
}

# paths: "=index", then pieces of the content that a NUL ends ("+length"), and the last one (".length");
# on stderr what was wrong with a path, and its index between NULs
jf_read() {
    local path piece index=0
    for path; do
        if [[ -d $path ]]; then
            printf 'read: Is a directory\n\0%d\0' "$index" >&9
        elif ! { jf_content "$index" <"$path"; } 2>&9; then
            printf '\0%d\0' "$index" >&9
        fi
        index=$((index + 1))
    done
}

jf_content() {
    printf '=%d\n' "$1" >&8
    while IFS= read -r -d '' piece; do
        printf '+%d\n%s' "${#piece}" "$piece" >&8
    done
    printf '.%d\n%s' "${#piece}" "$piece" >&8
}

jf_make_directories() {
    local path lacking=()
    for path; do
        [[ -d $path ]] || lacking+=("$path")
    done
    jf_portions 3 mkdir -p -- "${lacking[@]}"
}

# what is surely not there needs no command
jf_remove() {
    local path there=()
    for path; do
        [[ -x ${path%/*} && ! -e $path && ! -L $path ]] || there+=("$path")
    done
    jf_portions 3 rm -f -- "${there[@]}"
}

jf_remove_tree() {
    if [[ -L $1 || ! -d $1 ]]; then
        command rm -f -- "$1" </dev/null 2>&9
    elif ! command rm -rf -- "$1" </dev/null; then
        # tasks leave directories behind in which nothing may be changed; a file may be linked elsewhere and stays as it is
        command find "$1" -type d ! -perm -700 -exec chmod u+rwx {} \; </dev/null
        command rm -rf -- "$1" </dev/null 2>&9
    fi
}

# directories: why nothing more can be written; tar does not tell a full disk from a quota
jf_why() {
    local directory
    for directory; do
        { printf '%65536s' "" >"$directory/probe"; } 2>&9 || return
    done
}

# bytes of the channel that are an archive
jf_unpack() {
    jf_feed "$1"
    # of the user's own options for tar some would leave files out
    TAR_OPTIONS='' command tar -x -m -o --no-same-permissions -C / -f - <&6 >/dev/null 2>&9
    local code=$?
    jf_drain
    return "$code"
}

# mark, path, its content as a format of printf: a file that is small needs no archive
jf_put() {
    local part=${2%/*}/$1
    [[ -d ${2%/*} ]] || command mkdir -p -- "${2%/*}" </dev/null 2>&9 || return 1
    (
        umask g-w,o-w
        { printf -- "$3" >"$part"; } 2>&9 && exec mv -f -T -- "$part" "$2" </dev/null 2>&9
    ) && return
    command rm -f -- "$part" </dev/null
    return 1
}

# mark, bytes, directories: unpack, then each directory's files to their place at once, in this order
jf_write() {
    local mark=$1 bytes=$2 directory code=0
    shift 2
    if jf_unpack "$bytes"; then
        for directory; do
            jf_portions 5 mv -f -t "$directory" -- "$directory/$mark"/* || { code=1; break; }
        done
    else
        code=1
        jf_why "${@/%//$mark}"
    fi
    jf_tidy "$mark" "$@"
    return "$code"
}

# as jf_write, for files that must not exist; prints "1path" for each that was created here, "0path" for those that exist
jf_create() {
    local mark=$1 bytes=$2 directory file code=0
    shift 2
    if jf_unpack "$bytes"; then
        for directory; do
            jf_portions 4 ln -t "$directory" -- "$directory/$mark"/*
            for file in "$directory/$mark"/*; do
                jf_created "$file" "$directory/${file##*/}" || code=1
            done
        done
    else
        code=1
        jf_why "${@/%//$mark}"
    fi
    jf_tidy "$mark" "$@"
    return "$code"
}

# over NFS a repeated request may find its own work: it is the same file then
jf_created() {
    if [[ $1 -ef $2 ]]; then
        printf '1%s\0' "$2" >&8
    elif [[ ! -e $2 && ! -L $2 ]] && (jf_copy "$1" "$2"); then
        printf '1%s\0' "$2" >&8
    elif [[ -e $2 || -L $2 ]]; then
        printf '0%s\0' "$2" >&8
    else
        return 1
    fi
}

# where the file system has no hard links: its content may be seen growing
jf_copy() {
    set -C
    exec 2>&9 7>"$2" || return 1
    command cat <"$1" >&7 && command chmod --reference="$1" -- "$2" && return
    command rm -f -- "$2"
    return 1
}

jf_tidy() {
    local mark=$1
    shift
    command rm -rf -- "${@/%//$mark}" </dev/null
}

# process of a shell that did not answer: end it and its commands, each with its group
jf_kill() {
    local stat fields
    for stat in /proc/[0-9]*/stat; do
        IFS= read -r fields <"$stat" || continue
        fields=(${fields##*) })
        if [[ ${fields[1]} == "$1" ]]; then
            stat=${stat#/proc/}
            kill -KILL -- "-${stat%/stat}"
        fi
    done
    kill -KILL "$1"
}
