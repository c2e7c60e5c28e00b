"""Waiting until a server cannot forget what it was told.

With `appendfsync everysec` a server answers before its disk has the write, and a crash forgets up to a second.
Where the server has `WAITAOF` (Redis ≥ 7.2, Valkey) or replicas, `settle` waits for them. With
`appendfsync always`, and for servers that write nothing, there is nothing to wait for.

    ledger.accept(document)   # settles by itself
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from jobferry_common.broker import server_settings
from jobferry_common.errors import BrokerUnreachable
from jobferry_common.ledger.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobferry_common.ledger.store import Command

_LOG = logging.getLogger(__name__)
_WAIT_MILLISECONDS: Final = 3000
_ASK_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What a server does with its writes."""

    disk: bool  #: True if we should wait for the disk
    replicas: bool  #: True if we should wait for a replica
    asked: float  #: `time.monotonic()` of the question


def habits_of(info: Mapping[str, Any], settings: Mapping[str, str], *, asked: float) -> Habits:
    """Return what to wait for."""
    appends = settings.get("appendonly", "yes" if info.get("aof_enabled") else "no") == "yes"
    lazy = settings.get("appendfsync", "everysec") != "always"
    return Habits(
        disk=appends and lazy and _has_waitaof(info),
        replicas=int(info.get("connected_slaves", 0)) > 0,
        asked=asked,
    )


class DurabilityPart(Store):
    """Waiting for disk and replicas."""

    _habits: Habits | None

    def settle(self) -> bool:
        """Wait, some seconds at most, until disk and a replica have what was written; warn if they have not."""
        try:
            habits = self._known_habits()
            waits = _waits(habits)
            if not waits:
                return True
            # WAIT counts the writes of its own connection, and ours may have gone over another one. A write
            # on this one comes after all of them.
            answers = self.batch([("SET", self.key("settled"), self.clock()), *waits])
        except (BrokerUnreachable, RedisError) as error:
            _LOG.warning(
                "cannot tell whether the broker kept a write: %s", error, extra={"action": "settle"}
            )
            return False
        kept = all(_reached(answer) for answer in answers[1:])
        if not kept:
            msg = "the broker has not confirmed a write within %s ms: a crash of it may forget work"
            _LOG.warning(msg, _WAIT_MILLISECONDS, extra={"action": "settle"})
        return kept

    def _known_habits(self) -> Habits:
        now = time.monotonic()
        if self._habits is None or now - self._habits.asked > _ASK_SECONDS:
            self._habits = habits_of(self.ask("INFO"), server_settings(self.redis), asked=now)
        return self._habits


def _waits(habits: Habits) -> list[Command]:
    waits: list[Command] = []
    if habits.disk:
        waits.append(("WAITAOF", 1, 0, _WAIT_MILLISECONDS))
    if habits.replicas:
        waits.append(("WAIT", 1, _WAIT_MILLISECONDS))
    return waits


def _reached(answer: int | list[int]) -> bool:
    """Return whether a wait met its number: WAIT says how many, WAITAOF [here, replicas]."""
    return (answer[0] if isinstance(answer, list) else answer) >= 1


def _has_waitaof(info: Mapping[str, Any]) -> bool:
    if "valkey_version" in info:
        return True
    major, minor, *_ = str(info.get("redis_version", "0.0")).split(".")
    return (int(major), int(minor)) >= (7, 2)
