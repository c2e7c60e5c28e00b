#!/bin/sh
# Redis with the password of REDISCLI_AUTH, which stands on no command line that others could list.
#
#     REDISCLI_AUTH=… sh docker/redis.sh [OPTION OF redis-server…]
#
# Letters and digits: the password is also part of the broker's URL.
set -eu
: "${REDISCLI_AUTH:?the password of the broker}"
# the image's own start, where there is one: it hands the data over to the user that the server becomes
start=$(command -v docker-entrypoint.sh || true)
# shellcheck disable=SC2086 # one word or none
exec $start redis-server - "$@" <<SETTINGS
requirepass "$REDISCLI_AUTH"
SETTINGS
