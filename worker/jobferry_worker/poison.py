"""Work that ends the worker process again and again is left alone.

A count stands at the broker while a piece of work runs. It goes away when the work ends, also with an error: what
is left is the count of processes that died of it. The key is our own (task, cluster, run), because every new hint
for the same work is a new message to Celery.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import JobferryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from jobferry_common.settings import Settings

logger: Final = logging.getLogger(__name__)

#: after so many deaths in a row a piece of work is left alone
DEATHS: Final = 5


class Poisonous(JobferryError):  # noqa: N818 - reads better than ...Error
    """This piece of work ended its worker too often."""


@contextmanager
def watched(redis: Redis, settings: Settings, work: tuple[str, ...]) -> Iterator[None]:
    """Count while the work runs.

    Raises:
        Poisonous: it ended its worker `DEATHS` times in a row.
    """
    key = f"{settings.prefix}tried:{':'.join(work)}"
    tried, rest = int(redis.incr(key)), settings.timings.poison_seconds
    if tried > DEATHS:
        msg = (
            f"{' '.join(work)}: ended its worker {DEATHS} times in a row and is left alone, a cluster for "
            f"{rest / 60:.3g} minutes; see the worker's log, then `jobferry doctor`"
        )
        raise Poisonous(msg)
    redis.pexpire(key, int(rest * 1000))
    try:
        yield
    finally:
        redis.delete(key)
