"""What is well and what is not, from the producer's side: broker, workers, beat, clusters.

    for finding in examine(load_settings()):
        print(finding)

Nothing is started or changed by looking, but that a new depot gets its id.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common import messages
from jobferry_common.broker import check_server, connect, guarded
from jobferry_common.broker_url import BrokerUrl
from jobferry_common.depot.depot import open_depot
from jobferry_common.errors import JobferryError
from jobferry_common.ledger.ledger import Ledger
from jobferry_common.settings import config_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from jobferry_common.ledger.records import ClusterRecord
    from jobferry_common.settings import Settings

#: leases and due times bear this much between the clocks of producer, broker and worker
_SKEW_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    name: str  #: what was looked at: "broker", "worker of hpc1"
    what: str  #: how it is
    next_step: str = ""  #: what to do about it; empty when it is well
    exit_code: int = 1  #: of a command that ends with it when it is not well

    def __str__(self) -> str:
        """Return one line for people."""
        step = f" {self.next_step}" if self.next_step else ""
        return f"{'ok    ' if self.ok else 'FAILED'}  {self.name}: {self.what}{step}"


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything that can be seen from here, one thing after another."""
    path = config_path()
    where = f"{path} is read" if path.exists() else f"{path} does not exist: the defaults hold"
    yield Finding(ok=True, name="settings", what=f"{where}.")
    url = settings.broker
    if url is None:
        try:
            finding, url = _embedded(settings)
        except JobferryError as error:
            finding, url = _failed("embedded stack", error), None
        yield finding
    if url is not None:
        yield from _broker(settings, url)


def _embedded(settings: Settings) -> tuple[Finding, str | None]:
    from jobferry import stack

    status = stack.status(settings)
    elsewhere = status.host is not None and not status.runs
    step = "Work there, or set `broker`." if elsewhere else _room(status.directory)
    return (
        Finding(ok=not step, name="embedded stack", what=str(status), next_step=step),
        status.url,
    )


def _room(directory: str) -> str:
    """Return what to do about a full disk: a server that cannot write there ends, and looks merely silent."""
    from jobferry.stack.server import LEAST_FREE_BYTES

    free = shutil.disk_usage(directory).free
    if free >= LEAST_FREE_BYTES:
        return ""
    return f"Make room there: {free // 2**20} MB are free, its broker wants {LEAST_FREE_BYTES // 2**20} MB."


def _broker(settings: Settings, url: str) -> Iterator[Finding]:
    shown = BrokerUrl.parse(url).shown
    try:
        with guarded(shown):
            redis = connect(url)
            try:
                yield Finding(ok=True, name="broker", what=f"{shown} answers.")
                yield from _server(redis)
                ledger = Ledger(redis, settings.prefix)
                ledger.check_version()
                yield from _services(settings, redis)
                yield from _set_aside(ledger)
                yield from _depot(settings, redis)
            finally:
                redis.close()
    except JobferryError as error:
        yield _failed("broker", error)


def _failed(name: str, error: JobferryError) -> Finding:
    return Finding(ok=False, name=name, what=str(error), exit_code=error.exit_code)


def _server(redis: Redis) -> Iterator[Finding]:
    found = check_server(redis)
    for finding in found:
        yield Finding(
            ok=not finding.grave,
            name="broker's settings",
            what=f"{finding.what}.",
            next_step=finding.next_step,
        )
    if not found:
        what = "every write is on disk before it is answered, and nothing is evicted."
        yield Finding(ok=True, name="broker's settings", what=what)
    yield _skew(redis)


def _skew(redis: Redis) -> Finding:
    before = time.time()
    seconds, micro = redis.time()
    skew = seconds + micro / 1e6 - (before + time.time()) / 2
    well = abs(skew) < _SKEW_SECONDS
    return Finding(
        ok=well,
        name="clocks",
        what=f"the broker's differs from this machine's by {skew:+.1f} s.",
        next_step="" if well else "Set both by NTP: due times and ages are wrong by as much.",
    )


def _services(settings: Settings, redis: Redis) -> Iterator[Finding]:
    beat = messages.alive(redis, messages.beat_key(settings))
    yield Finding(
        ok=beat is not None,
        name="beat",
        what=f"{beat} ticks." if beat else "none gives a sign of life.",
        next_step="" if beat else "Start one: `jobferry beat`, or `jobferry worker --beat`.",
    )
    records = {str(record.name): record for record in Ledger(redis, settings.prefix).clusters()}
    for name in sorted({*settings.clusters, *records}):
        if not messages.is_inline(name):
            yield _worker(settings, redis, name)
        if name in records:
            yield from _cluster(records[name])


def _set_aside(ledger: Ledger) -> Iterator[Finding]:
    for one in ledger.aside():
        what = f"message of {one.where}" if one.is_message else f"run {one.id}"
        yield Finding(
            ok=False,
            name=f"set aside: {what}",
            what=f"{one.why}.",
            next_step=f"Once that is mended, have it tried again: `jobferry putback {one.id}`.",
        )


def _depot(settings: Settings, redis: Redis) -> Iterator[Finding]:
    if settings.depot.url is None:
        return
    try:
        open_depot(settings.depot, Ledger(redis, settings.prefix))
    except JobferryError as error:
        yield Finding(ok=False, name="depot", what=str(error))
    else:
        yield Finding(ok=True, name="depot", what=f"{settings.depot.shown} answers.")


def _worker(settings: Settings, redis: Redis, name: str) -> Finding:
    worker = messages.worker_of(redis, settings, name)
    waiting = messages.waiting(redis, settings, messages.queue_of(name))
    return Finding(
        ok=worker is not None,
        name=f"worker of {name}",
        what=f"{worker or 'none'} serves it; {waiting} messages wait.",
        next_step="" if worker else f"Start one near it: `jobferry worker --cluster {name}`.",
    )


def _cluster(record: ClusterRecord) -> Iterator[Finding]:
    if not record.paused:
        return
    name = record.name
    step = (
        f"Resume it: `jobferry cluster resume {name}`."
        if record.paused_by == "operator"
        else f"It is tried again by itself; `jobferry cluster test {name}` tells what is wrong."
    )
    yield Finding(ok=False, name=f"cluster {name}", what=record.halt, next_step=step)
