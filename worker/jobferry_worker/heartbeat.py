"""Signs of life of a worker process, and its end when it does no work any more.

Every few seconds the process says at the broker which queues it serves. It ends itself, so that its supervisor
starts it afresh, when a pass does not go on, or when messages wait while none arrives here: both have been seen after
a broken connection or on a hung file system, while the worker still answered a ping. A host that does not answer is
no reason: the pass that waits for it ends by itself, and says so.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from jobferry_common import messages
from jobferry_common.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobferry_worker.service import Service

logger: Final = logging.getLogger(__name__)

#: exit code of a worker that ended itself: "temporary failure" of sysexits.h, start me again
STUCK: Final = 75
_SECONDS: Final = 5.0


class Heartbeat:
    """The thread that proves a worker alive, or ends it."""

    def __init__(self, service: Service, *, end: Callable[[int], None] = os._exit) -> None:
        self._service = service
        self._end = end
        self._stopped = threading.Event()
        self._queues: Sequence[str] = ()
        #: pid of an embedded stack's supervisor: without it a worker has no purpose
        self._parent = os.environ.get(messages.PARENT_VARIABLE)
        #: queue → `time.monotonic()` since when messages wait in it
        self._ignored: dict[str, float] = {}
        self._limit = 3 * max(
            service.settings.timings.lease_seconds, service.settings.timings.command_seconds
        )

    def start(self, queues: Sequence[str]) -> None:
        """Serve these queues from now on, and say so every few seconds."""
        self.serve(queues)
        self._beat()
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def serve(self, queues: Sequence[str]) -> None:
        """Take these queues for one's own."""
        self._queues = queues

    def stop(self) -> None:
        """Say that nobody serves the queues any more."""
        self._stopped.set()
        service = self._service
        try:
            for queue in self._queues:
                key = messages.worker_key(service.settings, queue)
                if service.redis.get(key) == service.who:
                    service.redis.delete(key)
        except RedisError as error:
            logger.debug("no farewell at the broker: %s", error)

    def _run(self) -> None:
        while not self._stopped.wait(_SECONDS):
            self._beat()
            if self._orphaned():
                logger.warning("The supervisor of this worker is gone: it stops.")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if reason := self.stuck(time.monotonic()):
                logger.critical(
                    "This worker ends itself: %s", reason, extra={"action": "worker-stuck"}
                )
                self._end(STUCK)

    def _orphaned(self) -> bool:
        return self._parent is not None and os.getppid() != int(self._parent)

    def _beat(self) -> None:
        service = self._service
        try:
            for queue in self._queues:
                key = messages.worker_key(service.settings, queue)
                messages.mark_alive(service.redis, key, service.who)
            service.moves.renew()
        except (RedisError, Unreachable) as error:
            logger.warning("The broker does not answer: %s", error, extra={"action": "heartbeat"})

    def stuck(self, now: float) -> str | None:
        """Return why this worker is of no use any more."""
        serving = self._service.served()
        for served in serving:
            since = served.stalled_since()
            if since is not None and now - since > self._limit + served.silence_seconds:
                return f"a pass over {served.name} has not gone on for {now - since:.0f} s"
        # threads that wait for a silent host take no messages meanwhile
        limit = self._limit + max((served.silence_seconds for served in serving), default=0.0)
        return next(filter(None, (self._deaf(queue, now, limit) for queue in self._queues)), None)

    def _deaf(self, queue: str, now: float, limit: float) -> str | None:
        service = self._service
        try:
            waiting = messages.waiting(service.redis, service.settings, queue)
        except RedisError:
            waiting = 0
        if not waiting:
            self._ignored.pop(queue, None)
            return None
        since = max(self._ignored.setdefault(queue, now), service.taken.get(queue, 0.0))
        if now - since <= limit:
            return None
        return f"messages wait in {queue}, and none has arrived here for {now - since:.0f} s"
