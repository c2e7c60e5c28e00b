"""When nobody needs a stack any more: no run is open, no client is connected, and none came of late."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from jobferry_common.broker import connect, guarded
from jobferry_common.errors import BrokerUnreachable
from jobferry_common.messages import STACK_CLIENT, client_key

if TYPE_CHECKING:
    from redis import Redis

    from jobferry.stack.home import Home
    from jobferry_common.settings import Settings

logger: Final = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 5.0
_PATIENCE: Final = timedelta(seconds=5)


class Idle:
    """How long nobody has needed the stack."""

    def __init__(self, settings: Settings, home: Home) -> None:
        self._settings = settings
        self._limit = settings.stack.idle_minutes * 60
        self._look_seconds = min(_LOOK_SECONDS, self._limit / 4)
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

    def _is_needed(self) -> bool:
        try:
            with guarded(self._shown):
                redis = self._connected()
                return bool(
                    redis.exists(f"{self._settings.prefix}open")
                    or redis.getdel(client_key(self._settings))
                    or any(map(_is_foreign, redis.client_list()))
                )
        except BrokerUnreachable as error:
            logger.debug("idle or not: %s", error)
            return False

    def _connected(self) -> Redis:
        if self._redis is None:
            redis = connect(self._url, timeout=_PATIENCE, check=False)
            redis.connection_pool.connection_kwargs["client_name"] = STACK_CLIENT
            self._redis = redis
        return self._redis


def _is_foreign(client: dict[str, str]) -> bool:
    return client.get("name") != STACK_CLIENT
