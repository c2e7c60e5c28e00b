# What runs on a cluster's side of a stream: bash 4.2, GNU tar, coreutils and findutils.
#
#     bash -c "$(cat far.sh)" jobferry ask <cache> <question>…  which of these are there, and sound? Else from stdin
#     bash -c … jobferry receive <root> <run> <session>         records from stdin: files come, and are placed
#     bash -c … jobferry list <base> <request>…                 what is below these paths? Else from stdin
#     bash -c … jobferry sums <base>                            checksums of these files
#     bash -c … jobferry give <base> <z|-> <bytes> <option>…    these files as a tar, its checksum to stderr
#     bash -c … jobferry clean <root> <run> <days>              a run, its marks, and what nobody used for long
#
# A digest is the sha256 of a content; an entry of the cache is named by it: objects/<size>/<digest>[x], packs/<digest>.

set -o pipefail
shopt -s nullglob
export LC_ALL=C
# options of the user's own would leave files out, or name them otherwise
unset TAR_OPTIONS GZIP

fail() { printf '%s\n' "$*" >&2; exit 1; }

# take <bytes>: exactly so many of stdin, and not one more
take() { (taken "$1"); }
taken() { exec dd bs=262144 count="$1" iflag=fullblock,count_bytes status=none; }

# from <bytes> <z|->: a record's content
from() { if [ "$2" = z ]; then taken "$1" | gzip -dc; else take "$1"; fi; }

# lines <bytes> <z|->: the same for text; a little of it needs no process
lines() {
    local text
    if [ "$2" = z ] || (($1 > 4096)); then from "$1" "$2"; return; fi
    IFS= read -r -N "$1" text && printf %s "$text"
}

# openssl is several times quicker than what most coreutils have; it is not everywhere, and may be locked down
has_openssl() {
    local sum
    read -r sum _ < <(exec openssl dgst -sha256 -r < /dev/null 2> /dev/null)
    [ "$sum" = e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 ]
}

# know_hasher <bytes>: what makes checksums; to be called before each is made, not in a pipeline, which would forget it.
# To find out costs a process: a little is left to what is everywhere.
hasher=(sha256sum --) hashed=0
know_hasher() {
    if ((hashed < 0)); then return; fi
    hashed=$((hashed + $1))
    if ((hashed < 33554432)); then return; fi
    hashed=-1
    if has_openssl; then hasher=(openssl dgst -sha256 -r); fi
}

# digest: the checksum of stdin, as a part of a pipeline
digest() { exec "${hasher[@]}"; }

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
    cp -rlf "$1/." "$base/" && rm -rf "$1"
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
    cp -rlf "$tmp/o/." "$cache/objects/" && rm -rf "$tmp/o" "$tmp/o.tar" || exit 1
}

# pack <bytes> <z|-> <digest>: a tar of a group's small files
pack() {
    local sum
    know_hasher "$1"
    from "$1" "$2" > "$tmp/pack" || fail "$tmp/pack: the stream was cut"
    sum=$(digest < "$tmp/pack") || exit 1
    same "$sum" "$3" "$tmp/pack"
    mv -f "$tmp/pack" "$cache/packs/$3" || exit 1
    later place "$cache/packs/$3"
}

# copy <bytes> <z|->: a tar of links to objects; they become copies, each of which may be written to
copy() {
    from "$1" "$2" > "$tmp/links" && unpack "$tmp/links" "$root" && mkdir -p "$tmp/b" &&
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
            link) from "$a" "$b" > "$tmp/links" && still_ours && unpack "$tmp/links" "$root" || exit 1 ;;
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

# ------------------------------------------------------------------ what goes back

# list <base>: paths, each after the letter of what is wanted of it
#   d(eep): all below; s(hallow): one level; l(ink): what a link leads to, and where that is
list() {
    local one said= bytes=0 deep=() shallow=() links=()
    enter "$1" || { printf 'end\0'; return; }
    shift
    exec 3>&1
    if (($#)); then
        for one; do want "$one"; done
    else
        while IFS= read -r -d '' one; do want "$one"; done
    fi
    look
    # what is not there (any more) is no fault; a file system that fails is one: it holds more than was seen
    [ -z "$said" ] || said=$(faults "$said")
    [ -z "$said" ] || fail "$said"
    printf 'here\0%s\0end\0' "$PWD"
}

# want <request>: remembered until there are as many as fit in one command
want() {
    case $1 in
        d*) deep+=("${1#d}") ;;
        s*) shallow+=("${1#s}") ;;
        l*) links+=("${1#l}") ;;
    esac
    bytes=$((bytes + ${#1} + 16))
    if ((bytes > 100000)); then look; bytes=0; fi
}

FORMAT='%s %b %T@ %m %p\0'
# a directory that may not be entered is told as D: it may hold anything
SHUT=(-type d "(" ! -readable -o ! -executable ")" -printf "D $FORMAT" -prune -o -printf "%y $FORMAT")

# look: print what there is of all that is wanted, and keep what was said besides
look() {
    if ((${#deep[@]})); then
        printf '# deep\0'
        said+=$(exec find "${deep[@]}" -name .jobferry -prune -o "${SHUT[@]}" 2>&1 >&3)$'\n'
    fi
    if ((${#shallow[@]})); then
        printf '# shallow\0'
        said+=$(exec find "${shallow[@]}" -maxdepth 1 -name .jobferry -prune -o "${SHUT[@]}" 2>&1 >&3)$'\n'
    fi
    if ((${#links[@]})); then
        printf '# link\0'
        said+=$(lead 2>&1 >&3)$'\n'
    fi
    said=${said%$'\n'} deep=() shallow=() links=()
}

lead() {
    local path
    for path in "${links[@]}"; do find -L "$path" -maxdepth 0 "${SHUT[@]}" && realpath -z -- "$path"; done
}

# faults <text>: its lines that tell of one
faults() {
    local IFS=$'\n' line
    set -f
    for line in $1; do
        if [[ $line =~ :\ ($FAULTS)$ ]]; then printf '%s\n' "$line"; fi
    done
}

# enter <directory>: 1 if it is not there
enter() {
    local said
    cd -P "$1" 2> /dev/null && return
    said=$(cd -P "$1" 2>&1)
    case $said in
        *": No such file or directory" | *": Not a directory") return 1 ;;
        *) fail "cd: '$1': ${said##*: }" ;;
    esac
}

FAULTS='Input/output error|Stale file handle|Connection timed out|Transport endpoint is not connected'
FAULTS="$FAULTS|Remote I/O error|Host is down|No route to host|Cannot allocate memory|Too many open files"

sums() {
    know_hasher 33554432
    cd "$1" && xargs -0 -r "${hasher[@]}" 2> /dev/null
    echo end
}

# give <base> <z|-> <bytes> <option of tar>…: nothing is written here, a full disk must not keep results
give() {
    local how=$2 sum codes
    cd "$1" || exit 1
    know_hasher "$3"
    shift 3
    coproc digest
    # opened anew: bash keeps the descriptors of a coprocess, and copies of them, from other commands
    exec 7> "/dev/fd/${COPROC[1]}" 8<&"${COPROC[0]}"
    eval "exec ${COPROC[1]}>&-"
    if [ "$how" = z ] && command -v gzip > /dev/null; then
        give_tar "$@" | tee /dev/fd/7 | gzip -1c
    else
        give_tar "$@" | tee /dev/fd/7
    fi
    codes=("${PIPESTATUS[@]}")
    exec 7>&-
    read -r sum <&8
    printf 'sum %s %s\n' "${codes[0]}" "${sum%% *}" >&2
}

give_tar() {
    exec tar -c --format=gnu "$@" --null --no-recursion -h --hard-dereference -T - -f - 7>&- 8<&-
}

# ------------------------------------------------------------------ what goes away

clean() {
    local cache=$1/.jobferry/cache ref
    # only directories are opened: files are links to the cache, whose mode is that of every run's copy
    rm -rf -- "$1/$2" "$cache/refs/$2" "$cache/refs/$2@"* 2> /dev/null || {
        find "$1/$2" -type d ! -perm -700 -exec chmod u+rwx {} \; 2> /dev/null
        rm -rf -- "$1/$2" "$cache/refs/$2" "$cache/refs/$2@"* || exit 1
    }
    cd "$cache" 2> /dev/null || return 0
    # one look a day is enough, and one at a time; what is new holds nothing that is old
    if [ ! -e swept ] || [ -n "$(exec find swept -maxdepth 0 -mmin -1440)" ]; then
        [ -e swept ] || : > swept
        return 0
    fi
    : > swept
    for ref in refs/*; do
        if [ ! -d "$1/${ref#refs/}" ]; then find "$ref" -mtime +0 -delete; fi
    done
    find tmp -mindepth 1 -maxdepth 1 -mtime +1 -exec rm -rf {} +
    find slots -type f -mtime "+$3" -delete
    cat /dev/null refs/* | sort -u > .used.$$
    find objects packs -type f -links 1 -atime "+$3" | sort | comm -23 - .used.$$ | xargs -r rm -f --
    find objects -mindepth 1 -type d -empty -mmin +1440 -delete
    rm -f .used.$$
}

"$@"
