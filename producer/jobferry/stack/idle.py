"""When nobody needs a stack any more: no run is open, no client is connected, and none came of late.

Results that are on their way count as well. Those that cannot be brought are tried for a day after their run ended;
a stack that is started later tries again.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from jobferry.stack.secrets import forget_unused
from jobferry_common.broker import connect, guarded
from jobferry_common.errors import BrokerUnreachable, UnknownId
from jobferry_common.ledger.ledger import Ledger
from jobferry_common.messages import COLLECT, STACK_CLIENT, client_key, is_moving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from jobferry.stack.home import Home
    from jobferry_common.names import RunId
    from jobferry_common.settings import Settings

logger: Final = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 5.0
_PATIENCE: Final = timedelta(seconds=5)
#: since the end of a run, in which its results are worth a stack that nobody else needs
_TRIED_SECONDS: Final = 24 * 3600.0


class Idle:
    """How long nobody has needed the stack."""

    def __init__(self, settings: Settings, home: Home) -> None:
        self._settings = settings
        self._limit = settings.stack.idle_minutes * 60
        self._look_seconds = min(_LOOK_SECONDS, self._limit / 4)
        self._home = home
        self._url = home.url()
        self._shown = str(home.socket)
        self._redis: Redis | None = None
        self._needed = self._looked = time.monotonic()

    def is_over(self) -> bool:
        """Return True when the stack may end; asks the broker every few seconds at most."""
        now = time.monotonic()
        if now - self._looked >= self._look_seconds or now - self._needed > self._limit:
            self._looked = now
            if self._is_needed():
                self._needed = now
        return now - self._needed > self._limit

    def forget_secrets(self) -> None:
        """Remove the secrets of machines that nobody needs any more."""
        try:
            with guarded(self._shown):
                forget_unused(self._home, self._connected(), self._settings.prefix)
        except (BrokerUnreachable, OSError) as error:
            logger.warning("Secrets that are not needed were not removed: %s", error)

    def _is_needed(self) -> bool:
        try:
            with guarded(self._shown):
                redis = self._connected()
                return bool(
                    redis.exists(f"{self._settings.prefix}open")
                    or redis.getdel(client_key(self._settings))
                    or any(map(_is_foreign, redis.client_list()))
                    or self._has_results(redis)
                )
        except (BrokerUnreachable, UnknownId) as error:  # or a run was cleaned at this moment
            logger.debug("idle or not: %s", error)
            return False

    def _has_results(self, redis: Redis) -> bool:
        """Return True while results of runs that ended are being brought, or are still worth a try."""
        ledger = Ledger(redis, prefix=self._settings.prefix)
        since = time.time() - _TRIED_SECONDS
        for run in _undelivered(ledger):
            if is_moving(redis, self._settings, COLLECT, run):
                return True
            if (ledger.run(run).finished or 0.0) > since:
                return True
        return False

    def _connected(self) -> Redis:
        if self._redis is None:
            redis = connect(self._url, timeout=_PATIENCE, check=False)
            redis.connection_pool.connection_kwargs["client_name"] = STACK_CLIENT
            self._redis = redis
        return self._redis


def _undelivered(ledger: Ledger) -> Iterator[RunId]:
    for cluster in ledger.clusters():
        yield from ledger.collectable(cluster.name)


def _is_foreign(client: dict[str, str]) -> bool:
    return client.get("name") != STACK_CLIENT
