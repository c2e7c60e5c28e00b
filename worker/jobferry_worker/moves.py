"""Which moves of bulk data are asked for, and which are under way, over all workers of a broker.

    jobferry:asked:<task>:<run>     a message for it waits in the data queue
    jobferry:moving:<task>:<run>    somebody is at it (see `lease.holder`), renewed while that process lives;
                                    or "resting": the last try failed, and the next one is not due
    jobferry:hindered:<task>:<run>  why it failed

(`<run>@<cluster>` where clusters share the run: each moves files of its own.)

All go away by themselves: a lost message or a dead worker costs a minute, never the move.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from jobferry_common import messages
from jobferry_common.killpoints import kill_here
from jobferry_worker.reconcile.lease import is_dead

if TYPE_CHECKING:
    from redis import Redis

    from jobferry_common.names import RunId
    from jobferry_common.settings import Settings

_SECONDS: Final = 60
_WHY_CHARACTERS: Final = 1000


class Moves:
    """The marks of one worker process."""

    def __init__(self, redis: Redis, settings: Settings, who: str) -> None:
        self._redis = redis
        self._settings = settings
        self._who = who
        self._guard = threading.Lock()
        self._mine: set[str] = set()

    def ask(self, task: str, cluster: str, run: RunId, *, at: str = "") -> bool:
        """Send a message for a move, unless one waits or somebody is at it."""
        holder = self._redis.get(messages.moving_key(self._settings, task, _mark(run, at)))
        if holder and not is_dead(str(holder)):
            return False
        asked = self._asked(task, _mark(run, at))
        if not self._redis.set(asked, self._who, nx=True, ex=_SECONDS):
            return False
        kill_here("after-asked")
        messages.send(self._redis, self._settings, task, [cluster, run])
        return True

    def begin(self, task: str, run: RunId, *, at: str = "") -> bool:
        """Take a move; False when somebody is at it. `at`: the cluster, where several share the run."""
        key = messages.moving_key(self._settings, task, _mark(run, at))
        self._redis.delete(self._asked(task, _mark(run, at)))
        if not self._take(key):
            return False
        with self._guard:
            self._mine.add(key)
        return True

    def _take(self, key: str) -> bool:
        """Set a mark, also over that of a process of this machine that is dead."""
        if self._redis.set(key, self._who, nx=True, ex=_SECONDS):
            return True
        holder = self._redis.get(key)
        if not holder or not is_dead(str(holder)):
            return False
        self._redis.delete(key)
        return bool(self._redis.set(key, self._who, nx=True, ex=_SECONDS))

    def end(
        self, task: str, run: RunId, *, rest_seconds: float = 0.0, why: str = "", at: str = ""
    ) -> None:
        """Give a move back; nobody takes it again before `rest_seconds` have passed. `why`: it failed."""
        mark = _mark(run, at)
        key = messages.moving_key(self._settings, task, mark)
        hindered = messages.hindered_key(self._settings, task, mark)
        with self._guard:
            self._mine.discard(key)
        if why:
            self._redis.set(hindered, why[:_WHY_CHARACTERS], ex=_SECONDS)
        if rest_seconds:
            self._redis.set(key, messages.RESTING, px=int(rest_seconds * 1000))
        else:
            self._redis.delete(key, hindered)

    def renew(self) -> None:
        """Keep the marks of what is under way here."""
        with self._guard:
            keys = list(self._mine)
        for key in keys:
            self._redis.expire(key, _SECONDS)

    def _asked(self, task: str, run: str) -> str:
        return f"{self._settings.prefix}asked:{task}:{run}"


def _mark(run: RunId, at: str) -> str:
    return f"{run}@{at}" if at else run
