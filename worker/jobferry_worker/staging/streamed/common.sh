# What runs on a cluster's side of a stream: bash 4.2, GNU tar, coreutils and findutils. Behind this text stand those of
# coming.sh and going.sh, then a call of what is asked for.
#
#     bash -c … jobferry ask <cache> <question>…                which of these are there, and sound? Else from stdin
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
    if ((hashed < 8388608)); then return; fi
    hashed=-1
    if has_openssl; then hasher=(openssl dgst -sha256 -r); fi
}

# digest: the checksum of stdin, as a part of a pipeline
digest() { exec "${hasher[@]}"; }
