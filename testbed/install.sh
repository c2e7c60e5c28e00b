#!/bin/bash
# Install the servers that the tests start: Slurm with accounting, SGE, OpenSSH, Redis, a compose client.
# Debian or Ubuntu, as root. Nothing is started, and nothing runs afterwards; a second call does nothing.
#
#     testbed/install.sh              all of them
#     testbed/install.sh PACKAGE...   only these: for an image of a container
set -euo pipefail

packages=(
    slurm-wlm slurmdbd mariadb-server munge
    gridengine-master gridengine-exec gridengine-client
    openssh-server openssh-client tcsh fish
    redis-server
    iproute2 procps faketime openssl btrfs-progs
    docker-compose
)
[ "$#" -eq 0 ] || packages=("$@")

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
    echo "testbed: every server is installed"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "testbed: this needs Debian or Ubuntu (apt-get); elsewhere install by hand: ${missing[*]}" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "testbed: installing needs root: run 'sudo make testbed'" >&2
    exit 1
fi

# Debian starts a server as soon as it is installed, unless this program says 101.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi

echo "testbed: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
quietly() {
    "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        echo "testbed: '$*' failed" >&2
        exit 1
    }
}
quietly apt-get -o DPkg::Lock::Timeout=300 update
quietly apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"
rm -f "$log"
echo "testbed: done"
