"""The producer's way to its broker: settings, ledger, events, hints, and the documents it kept.

    with connect() as client:
        for run in client.ledger.runs(limit=10):
            print(run.id, run.state)

Without a configured broker, `connect` starts the embedded stack, or joins the one that runs.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from jobferry import depot
from jobferry.kept import Kept
from jobferry.places import Places
from jobferry.progress import why_shared_waits, why_waiting, working
from jobferry.targets import aimed, unknown_cluster
from jobferry_common.broker import connect as connect_redis
from jobferry_common.broker import guarded, is_silence
from jobferry_common.broker_url import BrokerUrl
from jobferry_common.errors import BrokerUnreachable, Conflict, UnknownId
from jobferry_common.events import EventStream
from jobferry_common.killpoints import kill_here
from jobferry_common.ledger.ledger import Ledger
from jobferry_common.messages import hint, is_inline, queue_key, send, worker_of
from jobferry_common.names import RunId
from jobferry_common.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from redis import Redis

    from jobferry.handle import Handle
    from jobferry_common.document import Document, Header
    from jobferry_common.errors import JobferryError
    from jobferry_common.events import Event
    from jobferry_common.ledger.records import Accepted, RunRecord
    from jobferry_common.ledger.setting_aside import Aside
    from jobferry_common.settings import Settings

_log = logging.getLogger(__name__)
#: between two looks at whether the embedded stack still lives
_CHECK_SECONDS = 2.0


def connect(
    broker: str | None = None, *, settings: Settings | None = None, start: bool = True
) -> Client:
    """Return a client of the broker that is given, set, or embedded.

    Args:
        broker: its URL; None takes the one of the settings.
        settings: None reads config.toml and the environment.
        start: start the embedded stack when no broker is set and none runs.

    Raises:
        BrokerUnreachable: it does not answer.
        BadInput: the settings or the URL are wrong.
    """
    chosen = load_settings() if settings is None else settings
    if broker is not None:
        chosen = chosen.with_broker(broker)
    return Client(_with_broker(chosen, start=start), embedded=chosen.broker is None)


def default_client() -> Client:
    """Return the client that submissions of this process share; a new one when the settings changed."""
    chosen = load_settings()
    settings = _with_broker(chosen, start=True)
    for client in _shared:
        if client.settings == settings:
            return client
    _shared[:] = [Client(settings, embedded=chosen.broker is None)]
    return _shared[0]


def _with_broker(settings: Settings, *, start: bool) -> Settings:
    if settings.broker is not None:
        return settings
    return settings.with_broker(_embedded(settings, start=start))


def _embedded(settings: Settings, *, start: bool) -> str:
    from jobferry import stack

    if start:
        with working("starting a broker and a worker on this machine, if none run"):
            return stack.ensure_broker(settings)
    running = stack.status(settings)
    if running.url is None:
        msg = "no broker is set, and no embedded stack runs here; start one with: jobferry up"
        raise BrokerUnreachable(msg)
    return running.url


class Client:
    """Ledger, events and hints of one broker; safe to share between threads."""

    def __init__(self, settings: Settings, *, embedded: bool = False) -> None:
        self.settings = settings  #: with the broker's URL in it
        self.embedded = embedded  #: the broker is the embedded stack's
        self._checked_at = time.monotonic()
        self.kept = Kept.of(settings)
        self.shown = BrokerUrl.parse(settings.broker or "").shown  #: the broker, without password
        self._served: set[str] = set()

    @cached_property
    def redis(self) -> Redis:
        """The connection pool."""
        return connect_redis(self.settings.broker or "")

    @cached_property
    def ledger(self) -> Ledger:
        """The state of record.

        Raises:
            NewerVersion: a newer jobferry has it.
        """
        ledger = Ledger(self.redis, prefix=self.settings.prefix)
        ledger.check_version()
        return ledger

    @cached_property
    def _stream(self) -> EventStream:
        return EventStream(self.ledger, patience=timedelta(0))

    def events(self, run: RunId | None, after: str, block: float = 0.0) -> list[Event]:
        """Return the events after a cursor; waits at most `block` seconds for the first."""
        with self.explained():
            return self._stream.read(run, after, timedelta(seconds=block))

    def end(self, run: RunId | None) -> str:
        """Return the cursor behind the last event there is now."""
        return self._stream.end(run)

    def accept(self, document: Document, *, reuse: bool = True, again: bool = False) -> Accepted:
        """Hand a document to the ledger, keep a copy, tell the workers; `again`: the broker had it, and lost it."""
        document, accepted = depot.accept(self, document, reuse=reuse, again=again)
        self.kept.save([(accepted.run, accepted.pieces)])
        kill_here("after-kept")
        self.hint(*document.header.clusters)
        kill_here("after-hint")
        return accepted

    def accept_many(
        self, documents: Sequence[Document], *, reuse: bool = True
    ) -> list[Accepted | JobferryError]:
        """Hand over many documents in few round trips, with one hint for each cluster."""
        documents, answers = depot.accept_many(self, documents, reuse=reuse)
        pairs = [
            (answer, document)
            for answer, document in zip(answers, documents, strict=True)
            if not isinstance(answer, Exception)
        ]
        self.kept.save((answer.run, answer.pieces) for answer, _ in pairs)
        self.hint(*{name for _, document in pairs for name in document.header.clusters})
        return answers

    def hint(self, *clusters: str) -> None:
        """Ask for a look at clusters now; without it their workers look a little later."""
        try:
            with guarded(self.shown):
                hint(self.redis, self.settings, clusters)
        except BrokerUnreachable as error:
            _log.warning("No hint was sent: %s", error, extra={"action": "hint"})

    def send(self, task: str, cluster: str, about: str) -> None:
        """Send a worker one task about a run, or about a ticket."""
        with guarded(self.shown):
            send(self.redis, self.settings, task, [cluster, about])

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Tell who waits what to do about an embedded stack that is gone: its address is in no file of theirs."""
        try:
            yield
        except BrokerUnreachable as error:
            if not self.embedded or not is_silence(error):
                raise
            msg = (
                f"The embedded stack does not answer ({str(error.__cause__).rstrip('.')}). "
                "If it was stopped, `jobferry up` starts it again"
            )
            raise BrokerUnreachable(msg) from error.__cause__

    def keep_up(self) -> None:
        """Start the embedded stack again if it was killed: who waits on it would wait for ever.

        Raises:
            BrokerUnreachable: it cannot be started.
        """
        if not self.embedded or time.monotonic() < self._checked_at + _CHECK_SECONDS:
            return
        from jobferry import stack

        self._checked_at = time.monotonic()
        if stack.revive(self.settings):
            _log.warning("The embedded stack was killed: it was started again.")

    def know(self, cluster: str) -> None:
        """Refuse a cluster that is neither set here nor was ever served.

        Raises:
            UnknownId: with near matches.
        """
        if is_inline(cluster) or cluster in self.settings.clusters or cluster in self._served:
            return
        self._served = {record.name for record in self.ledger.clusters()}
        if cluster not in self._served:
            raise UnknownId(unknown_cluster(cluster, {*self._served, *self.settings.clusters}))

    def aim(self, document: Document) -> Document:
        """Return a document with the clusters that its jobs may go to: see `targets.aimed`.

        Raises:
            UnknownId: it names a cluster that is neither set here nor was ever served.
            BadInput: no cluster has the tags that it requires.
        """
        header = document.header
        if not header.is_shared and not header.requires:
            self.know(header.cluster)
            return document
        known = {name: profile.tags for name, profile in self.settings.clusters.items()}
        announced = {str(one.name): one.tags for one in self.ledger.clusters()}
        return aimed(document, announced if header.anywhere else {**announced, **known})

    def handle(self, prefix: str) -> Handle:
        """Return a handle on the run whose id begins so.

        Raises:
            UnknownId: there is none.
            AmbiguousId: there are several.
        """
        from jobferry.handle import Handle

        new = self.ledger.renamed(RunId(prefix))
        return Handle(self, new or self.ledger.resolve(prefix))

    def worker_of(self, cluster: str) -> str | None:
        """Return "host:pid" of a worker that serves a cluster now; None when nobody does."""
        with guarded(self.shown):
            return worker_of(self.redis, self.settings, cluster)

    def forget_cluster(self, name: str) -> None:
        """Remove all that the ledger says of a cluster that is gone.

        Raises:
            Conflict: a worker serves it, or runs are open there.
        """
        if is_inline(name):
            msg = f"{name} was described in a submission: it goes with its last run (`jobferry clean ID`)"
            raise Conflict(msg)
        if worker := self.worker_of(name):
            msg = f"{worker} serves {name}, and would announce it again: stop that worker first"
            raise Conflict(msg)
        self.ledger.forget_cluster(name)
        self._served = set()

    def put_back(self, name: str) -> Aside:
        """Have what was set aside tried again: a run is looked at, a message goes to its queue.

        Raises:
            UnknownId: nothing of that name was set aside.
        """
        with guarded(self.shown):
            found = self.ledger.put_back(name)
            if found.is_message:
                self.redis.lpush(queue_key(self.settings, found.where), found.payload)
            else:
                for key in self.redis.scan_iter(f"{self.settings.prefix}tried:*:{found.id}"):
                    self.redis.delete(key)
                self.hint(found.where)
        return found

    def why_waiting(self, record: RunRecord) -> str:
        """Return why a run does not go on, if its cluster is the reason."""
        known = {one.name: one for one in self.ledger.clusters()}
        if record.held and not record.state.is_final:
            return f"held: jobferry release {record.id}"
        if not record.targets:
            worker = self.worker_of(record.cluster)
            own = self.embedded and record.cluster in self.settings.clusters
            return why_waiting(record, known.get(record.cluster), worker, embedded=own)
        at = self.ledger.by_cluster(record.id)
        reasons = [
            why_shared_waits(record, name, known.get(name), self.worker_of(name), at.get(name, {}))
            for name in record.clusters
        ]
        return "; ".join(filter(None, reasons))

    def places(self, header: Header, run: RunId) -> Places:
        """Return where the run's files are, as far as this machine sees them."""
        if header.machine is not None:
            known = [header.machine.get("remote_root") or header.machine.get("local_root")]
        else:
            known = [self._root(name) for name in header.clusters]
        roots = [str(Path(root).expanduser()) for root in known if root]
        return Places(header, run, roots[0] if roots else None, self.ledger.id, *roots[1:])

    def _root(self, cluster: str) -> str | None:
        """Return the root of a cluster; None when only its worker knows it."""
        profile = self.settings.clusters.get(cluster)
        return None if profile is None else profile.root

    def close(self) -> None:
        """Give up the connections."""
        if "redis" in self.__dict__:
            self.redis.close()

    def __enter__(self) -> Self:
        """Return the client; leaving the block closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


_shared: list[Client] = []
