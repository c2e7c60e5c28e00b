# Results go back, and what nobody needs goes away. `common.sh` tells the verbs.

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
    know_hasher 8388608
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
