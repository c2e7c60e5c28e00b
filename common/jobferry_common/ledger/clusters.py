"""Clusters as everybody may know them: announced by their workers, without secrets.

ledger.announce("hpc1", account="alice@hpc1", batch_type="Slurm", context_type="Local", worker="login1:77")
ledger.cluster("hpc1").paused
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.errors import Conflict, UnknownId
from jobferry_common.ledger.records import ClusterRecord
from jobferry_common.ledger.store import Store
from jobferry_common.names import ClusterName
from jobferry_common.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXTS: Final = ("account", "batch_type", "context_type", "paused", "paused_by", "worker")
_NUMBERS: Final = ("probe_at", "last_pass", "last_look")
#: counted for whoever wants to know what crashes there were; never decided by
_COUNTERS: Final = ("adopted", "recalled", "refused", "restored")
_FIELDS: Final = frozenset((*_TEXTS, *_NUMBERS, "failures", "draining", "tags"))
#: of each cluster
_QUESTIONS: Final = 4


class ClustersPart(Store):
    """What is known of clusters."""

    def announce(
        self,
        name: str,
        *,
        account: str,
        batch_type: str,
        context_type: str,
        worker: str,
        tags: Sequence[str] = (),
    ) -> None:
        """Tell everybody who serves a cluster; a worker does so when it starts."""
        told = {"batch_type": batch_type, "context_type": context_type, "worker": worker}
        self.set_cluster(name, account=account, tags=json.dumps(tags), **told)

    def set_cluster(self, name: str, **fields: str | float) -> None:
        """Set fields of a cluster's record; a pause, a drain or their end is an event.

        Raises:
            TypeError: `ClusterRecord` has no such field, or it is counted by the ledger itself.
        """
        if wrong := sorted(set(fields) - _FIELDS):
            msg = f"no field of a cluster that can be set: {', '.join(wrong)}"
            raise TypeError(msg)
        pairs = [part for item in fields.items() for part in item]
        self.call("set_cluster", name, self.clock(), *pairs)

    def count(self, name: str, **numbers: int) -> None:
        """Add to counters of a cluster's record.

        Raises:
            TypeError: `ClusterRecord` has no such counter.
        """
        if wrong := sorted(set(numbers) - set(_COUNTERS)):
            msg = f"no counter of a cluster: {', '.join(wrong)}"
            raise TypeError(msg)
        record = self.key("cluster", name)
        self.batch([("HINCRBY", record, field, more) for field, more in numbers.items() if more])

    def cluster(self, name: str) -> ClusterRecord:
        """Return what is known of a cluster.

        Raises:
            UnknownId: no worker has announced it.
        """
        found = self._clusters([name])
        if not found:
            msg = (
                f"no worker has announced a cluster {name!r}. Known: "
                f"{', '.join(self._cluster_names()) or 'none'}. Is its worker running?"
            )
            raise UnknownId(msg)
        return found[0]

    def clusters(self) -> list[ClusterRecord]:
        """Return all that were announced, by name."""
        return self._clusters(self._cluster_names())

    def forget_cluster(self, name: str) -> None:
        """Remove a cluster that nobody serves any more: it is not listed or ticked again unless a worker announces it.

        Raises:
            Conflict: runs that have not ended may go there; nothing was removed.
        """
        if left := self.call("forget_cluster", name):
            first = self.ask("ZRANGE", self.key("open", name), 0, 0)
            msg = (
                f"{name} has {counted(left, 'open run')}, such as {' '.join(first)}: wait for the end, or end what is "
                "open (`jobferry cancel ID`, `jobferry clean ID --force` where nobody serves it), then forget it"
            )
            raise Conflict(msg)

    def profile(self, name: str) -> dict[str, Any] | None:
        """Return the profile of an inline machine's cluster; None for any other."""
        text = self.ask("GET", self.key("profile", name))
        return None if text is None else dict(json.loads(text))

    def _cluster_names(self) -> list[str]:
        return sorted(self.ask("SMEMBERS", self.key("clusters")))

    def _clusters(self, names: list[str]) -> list[ClusterRecord]:
        commands: list[tuple[str, ...]] = []
        for name in names:
            commands += [
                ("HGETALL", self.key("cluster", name)),
                ("SCARD", self.key("flight", name)),
                ("HGET", self.key("waiting"), name),
                ("SCARD", self.key("collect", name)),
            ]
        answers = self.batch(commands)
        rows = [answers[start : start + _QUESTIONS] for start in range(0, len(answers), _QUESTIONS)]
        return [_record(name, *row) for name, row in zip(names, rows, strict=True) if row[0]]


def _record(
    name: str, row: Mapping[str, str], in_flight: int, waiting: str | None, to_bring: int
) -> ClusterRecord:
    known: dict[str, Any] = {field: row.get(field, "") for field in _TEXTS}
    known |= {field: float(row.get(field, 0)) for field in _NUMBERS}
    known |= {field: int(row.get(field, 0)) for field in _COUNTERS}
    return ClusterRecord(
        name=ClusterName(name),
        failures=int(float(row.get("failures", 0))),
        in_flight=in_flight,
        waiting=int(waiting or 0),
        to_bring=to_bring,
        draining=bool(row.get("draining")),
        since=float(row.get("since", 0)),
        tags=tuple(json.loads(row.get("tags") or "[]")),
        **known,
    )
