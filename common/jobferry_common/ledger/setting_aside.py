"""What makes workers fail is set aside, told, and can be put back; and what a newer jobferry made is refused.

ledger.check_version()                    # NewerVersion: this ledger is not ours to touch
ledger.blame(run, "hpc1", "KeyError: 3")  # True: that was once too often, the run is set aside
ledger.put_back("3f2a9c01d5e7-2")
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import NewerVersion, UnknownId
from jobferry_common.ledger.garbled import passed_over
from jobferry_common.ledger.store import Store
from jobferry_common.names import RunId
from jobferry_common.versions import VERSION, known

if TYPE_CHECKING:
    from collections.abc import Iterable

#: passes in a row that a run may make fail
TRIES: Final = 3
#: failures further apart than this are not counted together
_BLAMED_SECONDS: Final = 3600
#: of messages that are kept; older ones go
_MESSAGES: Final = 200
_REASON: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """One thing that was set aside."""

    id: str  #: a run's id, or `m-` and eight hex digits for a message
    where: str  #: the cluster, or the queue
    why: str
    at: float  #: Unix time in seconds
    payload: str = ""  #: the message, as it stood in its queue

    @property
    def is_message(self) -> bool:
        """True for a message, False for a run."""
        return bool(self.payload)


class AsidePart(Store):
    """Versions, and what was set aside."""

    def check_version(self) -> None:
        """Refuse a ledger of a newer jobferry; an empty one becomes ours.

        Raises:
            NewerVersion: nothing was written.
        """
        key = self.key("version")
        found = self.ask("GET", key)
        known(f"the ledger at {self.shown}", found)
        if found is None:
            self.ask("SET", key, VERSION, "NX")

    def newer(self, runs: Iterable[RunId]) -> dict[RunId, str]:
        """Return those of some runs that a newer jobferry accepted, with the words of their refusal."""
        names = list(runs)
        answers = self.batch([("HGET", self.key("run", run), "schema") for run in names])
        found = {}
        for run, schema in zip(names, answers, strict=True):
            try:
                known(f"run {run}", schema)
            except NewerVersion as error:
                found[run] = str(error)
        return found

    def blame(self, run: RunId, where: str, why: str) -> bool:
        """Note that a run made a pass fail; True once that was so often that it is set aside."""
        key = self.key("blamed", run)
        times, _ = self.batch([("INCR", key), ("EXPIRE", key, _BLAMED_SECONDS)])
        if int(times) < TRIES:
            return False
        self.set_aside(run, where, why)
        return True

    def set_aside(self, run: RunId, where: str, why: str) -> None:
        """Have no pass and no move touch a run until it is put back."""
        self._keep(Aside(id=run, where=where, why=why[:_REASON], at=self.clock()))

    def keep_message(self, queue: str, payload: str, why: str) -> None:
        """Keep a message that no worker can read, out of its queue."""
        name = f"m-{secrets.token_hex(4)}"
        self._keep(Aside(id=name, where=queue, why=why[:_REASON], at=self.clock(), payload=payload))
        old = [one.id for one in self.aside() if one.is_message][:-_MESSAGES]
        if old:
            self.ask("HDEL", self.key("aside"), *old)

    def aside(self) -> list[Aside]:
        """Return what was set aside, oldest first."""
        found = []
        for name, text in self.ask("HGETALL", self.key("aside")).items():
            with passed_over(self.key("aside"), name):
                found.append(Aside(**json.loads(text)))
        return sorted(found, key=lambda one: one.at)

    def runs_aside(self) -> frozenset[RunId]:
        """Return the runs that are set aside: no pass touches them."""
        return frozenset(RunId(name) for name in self.ask("HKEYS", self.key("aside")))

    def put_back(self, name: str) -> Aside:
        """Have a run looked at again; a message is returned, for its queue.

        Raises:
            UnknownId: nothing of that name was set aside.
        """
        found = {one.id: one for one in self.aside()}
        if name not in found:
            msg = f"nothing called {name!r} was set aside; `jobferry doctor` lists what was"
            raise UnknownId(msg)
        self.batch([("DEL", self.key("blamed", name)), ("HDEL", self.key("aside"), name)])
        return found[name]

    def _keep(self, one: Aside) -> None:
        self.ask("HSET", self.key("aside"), one.id, json.dumps(asdict(one)))
