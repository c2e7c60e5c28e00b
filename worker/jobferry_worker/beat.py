"""Celery beat's scheduler: ticks `jobferry.advance` for each cluster, fast while it has work.

    celery -A jobferry_worker beat            # the application names this scheduler

A tick is sent only to a queue that is empty: Redis queues know no lifetime, and a worker that comes back after a
month shall find one tick, not millions. Two beats are one beat and its standby: a mark that expires within the
rhythm lets one of them tick.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from celery.beat import Scheduler
from redis.exceptions import RedisError

from jobferry_common import messages
from jobferry_common.errors import Unreachable
from jobferry_common.killpoints import kill_here
from jobferry_worker import service

if TYPE_CHECKING:
    from collections.abc import Callable

logger: Final = logging.getLogger(__name__)

#: seconds between two readings of which clusters there are
_REFRESH_SECONDS: Final = 10.0
#: a tick is due, from whichever beat, after this share of the rhythm: clocks and sleeps are not exact
_SHARE: Final = 0.8


class TickScheduler(Scheduler):
    """Sends ticks; its schedule is what the ledger holds, so it keeps no file."""

    def __init__(
        self,
        app: Any,  # noqa: ANN401 - Celery's own signature
        *args: Any,
        serving: service.Service | None = None,
        clock: Callable[[], float] = time.monotonic,
        **kwargs: Any,
    ) -> None:
        self._serving = serving or service.current()
        self._clock = clock
        self._last: dict[str, float] = {}
        self._clusters: set[str] = set()
        self._inline: set[str] = set()
        self._refresh_at = float("-inf")
        super().__init__(app, *args, **kwargs)

    def setup_schedule(self) -> None:
        """Keep no entries: see `tick`."""

    @property
    def info(self) -> str:
        """What Celery prints of the scheduler when beat starts."""
        timings = self._serving.settings.timings
        return (
            f"    . ticks -> every {timings.tick_busy_seconds:g} s while a cluster has work, "
            f"else every {timings.tick_idle_seconds:g} s"
        )

    def tick(self, *_: object, **__: object) -> float:
        """Send the ticks that are due; return how many seconds may pass until the next call."""
        timings = self._serving.settings.timings
        now = self._clock()
        try:
            self._refresh(now)
            for cluster in self._clusters:
                self._tick(cluster, busy=self._serving.has_work(cluster), now=now)
            if any(map(self._serving.has_work, self._inline)):
                self._tick(messages.INLINE, busy=True, now=now)
            elif any(map(self._serving.has_results, self._inline)):
                # nobody else looks after a run that ended and whose results were not brought in time
                self._tick(messages.INLINE, busy=False, now=now)
        except (RedisError, Unreachable) as error:
            logger.warning("No ticks: %s", error, extra={"action": "tick-failed"})
        return timings.tick_busy_seconds

    def _refresh(self, now: float) -> None:
        if now < self._refresh_at:
            return
        serving = self._serving
        self._refresh_at = now + min(_REFRESH_SECONDS, serving.settings.timings.tick_idle_seconds)
        messages.mark_alive(serving.redis, messages.beat_key(serving.settings), serving.who)
        known = serving.known()
        self._inline = {name for name in known if messages.is_inline(name)}
        self._clusters = {*serving.settings.clusters, *(known - self._inline)}

    def _tick(self, cluster: str, *, busy: bool, now: float) -> None:
        timings = self._serving.settings.timings
        rhythm = timings.tick_busy_seconds if busy else timings.tick_idle_seconds
        if now < self._last.get(cluster, float("-inf")) + rhythm * _SHARE:
            return
        self._last[cluster] = now
        redis, settings = self._serving.redis, self._serving.settings
        queue = messages.queue_of(cluster)
        if messages.waiting(redis, settings, queue):
            return
        # one mark for each rhythm: an idle tick must not keep the next busy ones away
        mark = f"{settings.prefix}tick:{queue}:{'busy' if busy else 'idle'}"
        if redis.set(mark, self._serving.who, nx=True, px=max(1, int(rhythm * _SHARE * 1000))):
            kill_here("after-tick-mark")
            messages.send(redis, settings, messages.ADVANCE, [cluster])
            kill_here("after-tick")
            logger.debug("Tick for %s.", cluster, extra={"action": "tick"})


class CarriedBeat:
    """A beat in a thread of a worker."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401
        self._scheduler = TickScheduler(app)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Tick until it is stopped."""
        threading.Thread(target=self._run, name="beat", daemon=True).start()

    def stop(self) -> None:
        """Tick no more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._scheduler.tick()):
            pass
