"""What one worker process serves: clusters by name, passes over them, and moves of bulk data.

    service.current().look("hpc1")                          # one pass, now
    service.current().of("hpc1").move(messages.STAGE, run)  # bring a run's files there

There is one of them in a process, shared by its threads.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Final

from jobferry_common import messages
from jobferry_common.broker import connect
from jobferry_common.errors import UnknownId
from jobferry_common.ledger.ledger import Ledger
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.names import ClusterName
from jobferry_common.settings import load_settings
from jobferry_worker.heartbeat import Heartbeat
from jobferry_worker.moves import Moves
from jobferry_worker.reconcile.lease import holder
from jobferry_worker.served import Served

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

    from jobferry_common.settings import Settings

logger: Final = logging.getLogger(__name__)


@cache
def current() -> Service:
    """Return this process's service, made from the settings."""
    settings = load_settings()
    redis = connect(settings.broker or "", check=False)
    if name := messages.client_name():
        redis.connection_pool.connection_kwargs["client_name"] = name
    return Service(settings, redis)


class Service:
    """The clusters of one worker process."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self.settings = settings
        self.redis = redis
        self.ledger = Ledger(redis, prefix=settings.prefix)
        self.who = f"{socket.gethostname()}:{os.getpid()}"
        self.moves = Moves(redis, settings, holder())
        #: queue → `time.monotonic()` when this process last took a message from it
        self.taken: dict[str, float] = {}
        self.heartbeat = Heartbeat(self)
        self._guard = threading.Lock()
        self._served: dict[str, Served] = {}

    def start(self, queues: Sequence[str]) -> None:
        """Give signs of life for these queues, and look at their clusters once."""
        self.heartbeat.start(queues)
        for queue in queues:
            self.wake(queue)

    def stop(self) -> None:
        """End the threads between tasks; what runs is left to end."""
        self.heartbeat.stop()
        for served in self.served():
            served.watch.stop()

    def served(self) -> list[Served]:
        """Return the clusters that were looked at so far."""
        with self._guard:
            return list(self._served.values())

    def wake(self, queue: str) -> None:
        """Look soon at every cluster of a queue, each on its own thread."""
        for name in self._names_of(queue):
            self.of(name).watch.wake()

    def of(self, name: str) -> Served:
        """Return what this process knows of a cluster."""
        with self._guard:
            if name not in self._served:
                self._served[name] = Served(ClusterName(name), self)
            return self._served[name]

    def look(self, name: str) -> None:
        """Make one pass over a cluster, or have the one that runs repeated."""
        self.of(name).look()

    def took(self, cluster: str) -> None:
        """Note that a message for a cluster arrived: this worker is not deaf."""
        self.taken[messages.queue_of(cluster)] = time.monotonic()

    def has_work(self, name: str) -> bool:
        """Return True while a run of a cluster is open: one short question to the broker."""
        return bool(self.redis.exists(f"{self.settings.prefix}open:{name}"))

    def has_results(self, name: str) -> bool:
        """Return True while results are to be brought from a cluster, those of runs that ended included."""
        return bool(self.redis.exists(f"{self.settings.prefix}collect:{name}"))

    def known(self) -> set[str]:
        """Return the clusters that were ever served, or that have work for the first time."""
        announced = {str(record.name) for record in self.ledger.clusters()}
        return announced | set(map(str, self.redis.hkeys(f"{self.settings.prefix}waiting")))

    def profile(self, name: str) -> ClusterProfile:
        """Return the profile of a cluster: the settings' own, or an inline machine's if that is allowed.

        Raises:
            UnknownId: this worker does not serve it.
        """
        if name in self.settings.clusters:
            return self.settings.clusters[name]
        if not messages.is_inline(name):
            msg = f"cluster {name!r} is not in this worker's settings: expected a table [clusters.{name}]"
            raise UnknownId(msg)
        found = self.ledger.profile(ClusterName(name)) if self.settings.serve_inline else None
        if found is None:
            msg = (
                f"this worker does not serve inline machines such as {name}: serve_inline allows it"
            )
            raise UnknownId(msg)
        return ClusterProfile.model_validate(found)

    def _names_of(self, queue: str) -> Iterable[str]:
        if queue != messages.INLINE_QUEUE:
            name = messages.cluster_of(queue)
            return [name] if name in self.settings.clusters else []
        return [name for name in self.known() if messages.is_inline(name) and self._is_needed(name)]

    def _is_needed(self, name: str) -> bool:
        return self.has_work(name) or self.has_results(name)
