"""What the ledger knows of a depot: who needs which object, and which parts of a run's results it holds.

    busy = books.hold(holder, digests)        # before anybody asks whether they are there
    books.keep(holder, run)                   # an offer that no run takes up is void after a day
    books.release([holder])                   # what nobody else needs is garbage now
    for digests in books.garbage(): ...       # to be removed

An object that two holders need stays until both released it. The keys are listed in `jobferry_common.ledger`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnknownId
from jobferry_common.names import ClusterName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from jobferry_common.ledger.store import Store
    from jobferry_common.names import RunId
    from jobferry_common.states import ResultsState

_AT_ONCE: Final = 1000
_OFFER_SECONDS: Final = 86400
#: who removes objects for longer is dead
_REMOVAL_SECONDS: Final = 120
_SWEPT_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the files of a run stand with the depot; of a shared one, at one of its clusters, or at all of them."""

    via: str = ""  #: "paths" where the worker sees the producer's, "depot" where not, "" while it is not known
    inputs: str = ""  #: digest of the manifest of what was brought later
    wanted: bool = False  #: True while the worker waits for the inputs
    parts: int = 0  #: of results that were put into the depot, whoever put them
    own: int = 0  #: of them, up to the last that this cluster put
    fetched: int = 0  #: of them, by the producer
    lost: float = 0.0  #: since when all results have to be put again, by the ledger's clock; 0 if they need not
    losses: int = 0  #: how often that was so since all of them were last fetched

    @property
    def is_all_fetched(self) -> bool:
        """True while nothing of this cluster is in the depot, or has to be put there again."""
        return self.fetched >= self.own and not self.lost


class Books:
    """The books of one depot."""

    def __init__(self, ledger: Store, depot: str) -> None:
        self._ledger = ledger
        self._depot = depot

    def hold(self, holder: str, digests: Collection[str]) -> set[str]:
        """Note that a holder needs objects; return those that somebody removes at this very moment."""
        until = f"{self._ledger.clock() + _OFFER_SECONDS:.3f}"
        busy: set[str] = set()
        for some in _slices(list(digests)):
            busy |= set(self._ledger.call("depot_hold", self._depot, holder, until, *some))
        return busy

    def keep(self, holder: str, run: RunId) -> bool:
        """Make an offer a run's; False if it is void."""
        return bool(self._ledger.call("depot_keep", self._depot, holder, run))

    def knows(self, holder: str) -> bool:
        """Tell whether a holder needs anything."""
        return bool(self._ledger.ask("HEXISTS", self._key("holders"), holder))

    def release(self, holders: Iterable[str]) -> None:
        """Note that holders need nothing any more."""
        for some in _slices(list(holders)):
            self._ledger.call("depot_release", self._depot, *some)

    def release_void(self) -> None:
        """Release offers that nobody took up."""
        now = f"{self._ledger.clock():.3f}"
        self.release(self._ledger.ask("ZRANGEBYSCORE", self._key("offers"), "-inf", now))

    def release_gone(self) -> None:
        """Release what runs hold that the ledger knows no more: it looks at every holder there is."""
        owners = {holder: run for holder, run in self._holders().items() if run}
        runs = sorted(set(owners.values()))
        there = self._ledger.batch([("EXISTS", self._ledger.key("run", run)) for run in runs])
        gone = {run for run, answer in zip(runs, there, strict=True) if not answer}
        self.release(holder for holder, run in owners.items() if run in gone)

    def meet(self, host: str, address: str) -> None:
        """Note that a machine found the depot at an address of its own."""
        self._ledger.ask("SADD", self._ledger.key("depot:met"), f"{host} {self._depot} {address}")

    def was_met(self, host: str, address: str, depot: str) -> bool:
        """Tell whether it found another one there before: that was removed, and this one made in its place."""
        met = self._ledger.key("depot:met")
        return bool(self._ledger.ask("SISMEMBER", met, f"{host} {depot} {address}"))

    def garbage(self) -> Iterator[list[str]]:
        """Yield objects that nobody needs, some at a time; what was yielded has to be removed at once."""
        while taken := self._taken():
            yield taken
            self._ledger.ask("ZREM", self._key("removing"), *taken)

    def busy(self, digests: Collection[str]) -> set[str]:
        """Return those that somebody removes at this very moment."""
        wanted = list(digests)
        answers = self._ledger.batch([("ZSCORE", self._key("removing"), one) for one in wanted])
        return {one for one, score in zip(wanted, answers, strict=True) if score is not None}

    def _taken(self) -> list[str]:
        now = f"{self._ledger.clock():.3f}"
        limits = (now, _REMOVAL_SECONDS, _SWEPT_AT_ONCE)
        return list(self._ledger.call("depot_sweep", self._depot, *limits))

    def _holders(self) -> dict[str, str]:
        return dict(self._ledger.ask("HGETALL", self._key("holders")))

    def _key(self, name: str) -> str:
        return self._ledger.key("depot", self._depot, name)


class Standings:
    """How runs stand with the depot; kept with the run, whichever depot it is."""

    def __init__(self, ledger: Store) -> None:
        self._ledger = ledger

    def of(self, run: RunId, at: ClusterName | None = None) -> Standing:
        """Return how a run stands; with `at`, as one of several clusters has it."""
        names = ("inputs", "wanted", "parts", "fetched")
        own = [_own(name, at) for name in ("via", "parts", "lost", "losses")]
        found = self._ledger.ask("HMGET", self._key(run), *names, *own)
        inputs, wanted, parts, fetched, via, mine, lost, losses = found
        return Standing(
            via=via or "",
            inputs=inputs or "",
            wanted=wanted == "1",
            parts=int(parts or 0),
            own=int(mine or 0),
            fetched=int(fetched or 0),
            lost=float(lost or 0),
            losses=int(losses or 0),
        )

    def decide(self, run: RunId, via: str, at: ClusterName | None = None) -> str:
        """Note how the files travel, to one of several clusters, unless that was decided; return what was."""
        field = _own("via", at)
        self._ledger.ask("HSETNX", self._key(run), field, via)
        return str(self._ledger.ask("HGET", self._key(run), field))

    def want(self, run: RunId) -> None:
        """Ask the producer to bring the inputs."""
        self._ledger.ask("HSET", self._key(run), "wanted", "1")

    def bring(self, run: RunId, inputs: str) -> None:
        """Say that the inputs are there."""
        self._ledger.ask("HSET", self._key(run), "inputs", inputs, "wanted", "0")

    def add_part(self, run: RunId, number: int, digest: str, at: ClusterName | None = None) -> bool:
        """Note a part of the results, and which of several clusters has it; False if another has its number."""
        now = f"{self._ledger.clock():.3f}"
        return bool(self._ledger.call("depot_part", run, number, digest, now, at or ""))

    def part(self, run: RunId, number: int) -> tuple[str, ClusterName | None]:
        """Return the digest of a part's manifest, and which of several clusters put it; "" if that puts it again.

        Raises:
            UnknownId: there is none of that number.
        """
        fields = (f"part:{number}", f"by:{number}")
        found, at = self._ledger.ask("HMGET", self._key(run), *fields)
        if found is None:
            msg = f"run {run} has no part {number} of its results in the depot"
            raise UnknownId(msg)
        return str(found), ClusterName(at) if at else None

    def lose(self, run: RunId, at: ClusterName | None = None) -> bool:
        """Say that the rest of the results is not in the depot any more: the worker has to put it again.

        With `at`, it is the rest of those of one of several clusters. False if no worker will do that.
        """
        now = f"{self._ledger.clock():.3f}"
        return bool(self._ledger.call("depot_lose", run, now, at or ""))

    def found(self, run: RunId, at: ClusterName | None = None) -> None:
        """Say that they will be."""
        self._ledger.ask("HDEL", self._key(run), _own("lost", at))

    def fetched(self, run: RunId, parts: int) -> None:
        """Note how many parts the producer has."""
        self._ledger.ask("HSET", self._key(run), "fetched", parts)

    def move(
        self, run: RunId, was: ResultsState, to: ResultsState, at: ClusterName | None = None
    ) -> bool:
        """Have the results of a run, or of one of its clusters, go from one place to the next; False if they do not."""
        now = f"{self._ledger.clock():.3f}"
        return bool(self._ledger.call("depot_results", run, was.value, to.value, now, at or ""))

    def sees(self, cluster: str, place: str) -> bool:
        """Tell whether the worker of a cluster saw files of that place the last time."""
        return bool(
            self._ledger.ask("SISMEMBER", self._ledger.key("depot:sees"), f"{cluster} {place}")
        )

    def note_sight(self, cluster: str, place: str, *, seen: bool) -> None:
        """Remember whether the worker of a cluster sees files of that place."""
        what = "SADD" if seen else "SREM"
        self._ledger.ask(what, self._ledger.key("depot:sees"), f"{cluster} {place}")

    def _key(self, run: RunId) -> str:
        return self._ledger.key("run", run, "depot")


def _own(name: str, at: ClusterName | None) -> str:
    """Return the field of one of several clusters."""
    return name if at is None else f"{name}:{at}"


def _slices(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
