# Files come: what is there of them, and records of a stream that are placed. `common.sh` tells the verbs.

# ------------------------------------------------------------------ what is there

declare -A sound

# check <entry>…: remember which hold what their names say; the others go
check() {
    local sum path name
    while read -r sum path; do
        name=${path##*/}
        if [ "${name%x}" = "$sum" ]; then sound[$path]=1; else rm -f -- "$path"; fi
    done < <(sums_of "$@" 2> /dev/null)
    touch -a -c -- "$@" 2> /dev/null
}

# sums_of <entry>…: "<digest> <entry>" of those that are there
sums_of() {
    local sum path
    "${hasher[@]}" "$@" | while read -r sum path; do echo "$sum ${path#\*}"; done
}

ask() {
    local one key first path whole at bytes=0 wanted=() objects=() slots=() lines=()
    command -v gzip > /dev/null && echo gzip
    cd "$1" 2> /dev/null || { echo end; return; }
    shift
    (($#)) || { mapfile -t lines && set -- "${lines[@]}"; lines=(); }
    for one; do
        key=${one#* }
        case ${one%% *} in
            o) if [ -f "objects/$key" ]; then
                   objects+=("$key"); wanted+=("objects/$key"); bytes=$((bytes + ${key%%/*}))
               fi ;;
            z) for path in objects/"$key"/*; do echo "z ${path#objects/}"; done ;;
            a) if [ -f "slots/$key" ] && read -r first < "slots/$key"; then
                   slots+=("$key"); lines+=("$first"); read -r -a path <<< "${first#* }"
                   wanted+=("${path[@]}")
                   for key in "${path[@]}"; do
                       key=${key#objects/}
                       # a pack is named by no size; it is not large
                       case $key in packs/*) key=8388608 ;; esac
                       bytes=$((bytes + ${key%%/*}))
                   done
               fi ;;
        esac
    done
    know_hasher "$bytes"
    for ((at = 0; at < ${#wanted[@]}; at += 500)); do check "${wanted[@]:at:500}"; done
    for key in "${objects[@]}"; do [ -n "${sound[objects/$key]}" ] && echo "o $key"; done
    for at in "${!slots[@]}"; do
        whole=1
        for path in ${lines[at]#* }; do [ -n "${sound[$path]}" ] || whole=; done
        [ -n "$whole" ] && { touch -c -- "slots/${slots[at]}"; echo "a ${slots[at]} ${lines[at]}"; }
    done
    echo end
}

# ------------------------------------------------------------------ what comes

# same <line of sha256sum> <digest> <what>
same() { [ "${1%% *}" = "$2" ] || fail "$3: what arrived is not what was sent"; }

unpack() {
    tar -x --no-same-owner --no-same-permissions --no-overwrite-dir --warning=no-timestamp -f "$1" -C "$2"
}

# later <command>…: one at a time beside what is being received
last=
later() { settled; "$@" & last=$!; }
settled() {
    if [ -z "$last" ]; then return; fi
    wait "$last" || { last=; fail "$run: its files could not be unpacked"; }
    last=
}

# place <pack>: unpacked aside first, so that no file is ever half where jobs look for it. Nothing is removed there when
# it fails: jobs of the same run may be at work in directories that came before.
place() {
    local path there bytes=0 new=()
    [ -d "$tmp/p" ] || mkdir "$tmp/p" && unpack "$1" "$tmp/p" || return 1
    still_ours
    shopt -s dotglob
    for path in "$tmp/p"/*; do
        there=$base/${path##*/}
        [ -e "$there" ] || [ -L "$there" ] || { new+=("$path"); bytes=$((bytes + ${#path} + 16)); }
        # more may not fit in one command
        if ((bytes > 120000)); then mv -t "$base" -- "${new[@]}" && new=() bytes=0 || return 1; fi
    done
    if ((${#new[@]})); then mv -t "$base" -- "${new[@]}" || return 1; fi
    new=("$tmp/p"/*)
    if ((${#new[@]})); then merge "$tmp/p"; fi
}

# merge <directory>: its files get their names in the run's directory, whatever file or link was there
merge() {
    local path
    find "$1" -mindepth 1 -type d -printf '%P\0' | while IFS= read -r -d '' path; do
        if [ -L "$base/$path" ]; then rm -f -- "$base/$path"; fi
    done
    over "$1" "$base"
}

# over <directory> <there>: all of its files, each at once: by links, and where the file system has none by their names
over() {
    local path
    if ! cp -rlf "$1/." "$2/" 2> /dev/null; then
        find "$1" -type d -printf '%P\0' | while IFS= read -r -d '' path; do
            mkdir -p "$2/$path" && find "$1/$path" -maxdepth 1 ! -type d -exec mv -f -t "$2/$path" {} + || exit 1
        done || return 1
    fi
    rm -rf "$1"
}

# link <archive of links>: where the file system has no links, or no more to a file, they become copies
link() {
    local said
    said=$(unpack "$1" "$root" 2>&1) && return
    case $said in *"Cannot hard link"*) copies "$1" ;; *) fail "$said" ;; esac
}

LINK='^h[^ ]+ [^ ]+ +[0-9]+ [0-9-]+ [0-9:]+ (.*) link to (\.jobferry/cache/objects/[0-9]+/[0-9a-f]{64}x?)$'

copies() {
    local line name
    tar -tv --quoting-style=escape -f "$1" | while IFS= read -r line; do
        [[ $line =~ $LINK ]] || continue
        printf -v name %b_ "${BASH_REMATCH[1]}"
        name=$root/${name%_}
        mkdir -p "${name%/*}" && cp --reflink=auto --preserve=mode,timestamps "$root/${BASH_REMATCH[2]}" "$tmp/copy" &&
            mv -fT "$tmp/copy" "$name" || exit 1
    done
}

blocks() {
    local bytes
    while IFS= read -r bytes; do [ "$bytes" -gt 0 ] || return 0; take "$bytes" || return 1; done
    return 1
}

# data <size> <z|->: a file; nobody knows before how many bytes it is compressed, so those come in blocks
data() { if [ "$2" = z ]; then blocks | gzip -dc; else take "$1"; fi; }

# pieces <part>: parts of a file that has holes
pieces() {
    local offset bytes
    while read -r offset bytes; do
        [ "$bytes" -gt 0 ] || return 0
        dd of="$1" bs=262144 count="$bytes" iflag=fullblock,count_bytes \
            seek="$offset" oflag=seek_bytes conv=notrunc status=none || return 1
    done
    return 1
}

# Reading a file once more costs less than a copy of it that goes through a pipe. Of larger ones it could take so long
# that the other side, which hears nothing meanwhile, takes this one for dead.
AT_ONCE=8589934592

# object <size> <mode> <mtime> <z|-|sparse>: one large file, its digest after it
object() {
    local part=$tmp/part sum sent suffix=
    know_hasher "$1"
    if [ "$4" = sparse ]; then
        truncate -s "$1" "$part" && pieces "$part" || fail "$part: the stream was cut"
        sum=$(digest < "$part") || exit 1
    elif (($1 > AT_ONCE)); then
        sum=$(data "$1" "$4" | tee "$part" | digest) || fail "$part: the stream was cut"
    else
        data "$1" "$4" > "$part" || fail "$part: the stream was cut"
        sum=$(digest < "$part") || exit 1
    fi
    read -r sent
    same "$sum" "$sent" "$part"
    [ "$2" = 555 ] && suffix=x
    mkdir -p "$cache/objects/$1" && chmod "$2" "$part" && touch -d "@$3" "$part" &&
        mv -f "$part" "$cache/objects/$1/$sent$suffix" || exit 1
}

# objects <bytes> <z|->: small files, each under the name it has in the cache
objects() {
    local sum path name
    know_hasher "$1"
    mkdir -p "$tmp/o"
    from "$1" "$2" > "$tmp/o.tar" && unpack "$tmp/o.tar" "$tmp/o" || exit 1
    (cd "$tmp/o" && find . -type f -print0 | xargs -0 -r "${hasher[@]}") > "$tmp/sums" || exit 1
    while read -r sum path; do
        name=${path##*/}
        same "$sum" "${name%x}" "$path"
    done < "$tmp/sums"
    over "$tmp/o" "$cache/objects" && rm -f "$tmp/o.tar" || exit 1
}

# pack <bytes> <z|-> <digest>: a tar of a group's small files
pack() {
    know_hasher "$1"
    from "$1" "$2" > "$tmp/pack.$3" || fail "$tmp/pack.$3: the stream was cut"
    later keep "$3"
}

# keep <digest>: a pack that came is checked, and placed
keep() {
    local sum
    sum=$(digest < "$tmp/pack.$1") || return 1
    same "$sum" "$1" "$tmp/pack.$1"
    mv -f "$tmp/pack.$1" "$cache/packs/$1" && place "$cache/packs/$1"
}

# copy <bytes> <z|->: a tar of links to objects; they become copies, each of which may be written to
copy() {
    from "$1" "$2" > "$tmp/links" && link "$tmp/links" && mkdir -p "$tmp/b" &&
        cp -r --reflink=auto --preserve=timestamps "$tmp/a/." "$tmp/b/" && chmod -R u+w "$tmp/b" &&
        still_ours && merge "$tmp/b" && rm -rf "$tmp/a" || exit 1
}

# still_ours: a session that hung while another one of its cluster brought the files must not touch what jobs use
still_ours() {
    [ "$(< "$by")" = "$session" ] || fail "$base: another worker brings its files by now"
}

receive() {
    root=$1 run=$2 session=$3 cache=$root/.jobferry/cache base=$root/$2 tmp=$root/.jobferry/cache/tmp/$3
    by=$cache/refs/${3%.*}.by
    local verb a b c d ended=
    [ -n "$run" ] || fail "$root: no run was named"
    mkdir -p "$base" "$tmp/p" "$cache"/{objects,packs,slots,refs} && echo "$session" > "$by" || exit 1
    trap 'if [ -n "$last" ]; then wait "$last"; fi; rm -rf "$tmp"' EXIT
    while read -r verb a b c d; do
        case $verb in
            refs) lines "$a" "$b" >> "$cache/refs/$run" || exit 1 ;;
            objects) objects "$a" "$b" ;;
            object) object "$a" "$b" "$c" "$d" ;;
            link) from "$a" "$b" > "$tmp/links" && still_ours && link "$tmp/links" || exit 1 ;;
            copy) copy "$a" "$b" ;;
            pack) pack "$a" "$b" "$c" ;;
            use) later place "$cache/packs/$a" ;;
            slot) lines "$a" "$b" > "$tmp/slot" && mv -f "$tmp/slot" "$cache/slots/$c" || exit 1 ;;
            end) ended=1; break ;;
            *) fail "$verb: not understood" ;;
        esac
    done
    settled
    [ -n "$ended" ] || fail "$base: the stream was cut"
    echo done
}
