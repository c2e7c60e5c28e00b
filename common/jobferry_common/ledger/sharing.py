"""Runs that several clusters share: nothing is dealt out in advance, each cluster claims what it has room for.

    jobs = ledger.claim(run, "hpc1", 20, fence=fence, now=now)   # 20 of those that nobody has claimed
    ledger.staged(run, "hpc1", jobs)                             # their files are there: due() returns them
    ledger.unclaim(run, "hpc1")                                  # what was not submitted goes back to the pool

A pending job is in the pool (no place in its record), or claimed by one cluster. Only that cluster can submit it.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import JobferryError
from jobferry_common.ledger.records import Fence, Pool
from jobferry_common.ledger.runs import RunsPart
from jobferry_common.ledger.store import fence_arguments
from jobferry_common.names import ClusterName, RunId
from jobferry_common.states import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobferry_common.ledger.store import Command

_WAITS: Final = "waits"
_FREED: Final = 2
#: most characters of why a cluster refuses a run
_WORDS: Final = 600
#: how far the results are at a cluster that the user gave up
GIVEN_UP: Final = "given up"


class ClaimWaits(JobferryError):  # noqa: N818 - reads better than ...Error
    """The broker was restarted, and another cluster has not yet said what it has of the run."""

    def __init__(self, cluster: str) -> None:
        super().__init__(
            f"the broker was restarted, and cluster {cluster} has not yet told what it has of this run"
        )
        self.cluster = cluster

    def advice(self, run: RunId) -> str:
        """Return what a run that waits for this is to say."""
        return (
            f"waits: {self}; start its worker, or give up what it has: "
            f"jobferry abandon {run} --cluster {self.cluster}"
        )


class SharingPart(RunsPart):
    """Claims, and how a shared run is spread."""

    def claim(
        self, run: RunId, cluster: ClusterName, limit: int, *, fence: Fence, now: float
    ) -> list[int]:
        """Claim up to so many jobs that nobody has claimed; return them.

        Raises:
            ClaimWaits: another cluster has to be read back first.
            LeaseLost: the fence is stale; nothing was written.
            UnknownId: the ledger does not hold the run.
        """
        head = (run, *fence_arguments(fence), cluster)
        answer = self.call("claim", *head, limit, f"{now:.2f}")
        if answer and answer[0] == _WAITS:
            raise ClaimWaits(answer[1])
        return sorted(map(int, answer))

    def new_claim(self, run: RunId) -> int:
        """Return the number of a claim that nobody made yet."""
        return int(self.ask("HINCRBY", self.key("run", run), "claims", 1))

    def claimed(self, run: RunId, cluster: ClusterName, limit: int = 1000) -> list[int]:
        """Return jobs that a cluster has claimed and whose files are not there yet, the oldest claims first."""
        found = self.ask("ZRANGE", self.key("run", run, "claims", cluster), 0, limit - 1)
        return sorted(map(int, found))

    def staged(self, run: RunId, cluster: ClusterName, jobs: Iterable[int]) -> int:
        """Note that the files of claimed jobs are there; return how many are still claimed."""
        return int(self.call("staged", run, cluster, *jobs))

    def unclaim(self, run: RunId, cluster: ClusterName, *, staged: bool = True) -> int:
        """Give what a cluster claimed and did not submit back to the pool; return how many jobs.

        Args:
            run: whose jobs.
            cluster: that has claimed them.
            staged: those whose files are there, too.
        """
        return int(self.call("unclaim", run, cluster, int(staged)))

    def refuse(self, run: RunId, cluster: ClusterName, why: str) -> int:
        """Note that a cluster will never take jobs of a run; what it has claimed goes back to the pool.

        Once the last of its clusters did, what is pending of the run fails.

        Raises:
            UnknownId: the ledger does not hold the run.
        """
        return int(self.call("refuse", run, cluster, why[:_WORDS].replace("\n", " ")))

    def refused(self, run: RunId) -> Mapping[ClusterName, str]:
        """Return the clusters that will never take jobs of a shared run, and what they said."""
        found = self.ask("HGETALL", self.key("run", run, "refused"))
        return {ClusterName(name): why for name, why in sorted(found.items())}

    def with_claims(self, cluster: ClusterName) -> list[RunId]:
        """Return the runs of which a cluster has claimed jobs that it did not submit yet."""
        return sorted(map(RunId, self.ask("SMEMBERS", self.key("claimed", cluster))))

    def pool(self, run: RunId, cluster: ClusterName, *, now: float) -> Pool:
        """Return how a shared run is spread."""
        open_, claimed, staged, *rest = self.call("pool", run, cluster, f"{now:.2f}")
        at = _by_cluster(rest)
        return Pool(open=int(open_), claimed=int(claimed), staged=int(staged), at=at)

    def by_cluster(self, run: RunId) -> Mapping[ClusterName, Mapping[JobState, int]]:
        """Return how many jobs of a shared run each cluster has in each state; {} for any other run."""
        found = self.ask("HGETALL", self.key("run", run, "at"))
        return _by_cluster([part for pair in found.items() for part in pair])

    def places(self, run: RunId) -> Mapping[ClusterName, str]:
        """Return where something of a shared run is, and how far its results there are."""
        found = self.ask("HGETALL", self.key("run", run, "places"))
        return {ClusterName(name): state for name, state in found.items()}

    def place_results(self, run: RunId, cluster: ClusterName, state: str) -> None:
        """Note how far the results at one cluster are; the run's own follow the last of them.

        Args:
            run: that several clusters share.
            cluster: one of them.
            state: "delivered", "cleaned" or "given up".
        """
        if self.call("place_results", run, cluster, state, self.clock()) == _FREED:
            self.free_directories(run)

    def follow_places(self, run: RunId) -> None:
        """Have the results of a shared run follow those at its clusters: what waited in the depot was fetched."""
        if self.call("place_results", run, "", "", self.clock()) == _FREED:
            self.free_directories(run)

    def note_common(
        self, run: RunId, cluster: ClusterName, digests: Mapping[str, str]
    ) -> dict[str, ClusterName]:
        """Note which common results a cluster brings; return those that another one brought with other content.

        To be called under the lease of the results.

        Args:
            run: that several clusters share.
            cluster: one of them.
            digests: path → digest of what is in the file.
        """
        key = self.key("run", run, "common")
        fields = {path: hashlib.sha256(os.fsencode(path)).hexdigest() for path in digests}
        answers = self.batch([("HGET", key, field) for field in fields.values()])
        theirs: dict[str, ClusterName] = {}
        ours: list[Command] = []
        for (path, field), known in zip(fields.items(), answers, strict=True):
            owner, _, digest = (known or "").partition(" ")
            if owner in ("", cluster):
                ours.append(("HSET", key, field, f"{cluster} {digests[path]}"))
            elif digest != digests[path]:
                theirs[path] = ClusterName(owner)
        self.batch(ours)
        return theirs

    def unanswered(self, cluster: ClusterName, *, broker: str) -> list[RunId]:
        """Return the open shared runs from before this broker of which the cluster has not yet said what it has."""
        runs = [RunId(run) for run in self.ask("ZRANGE", self.key("open", cluster), 0, -1)]
        asked: list[Command] = []
        for run in runs:
            asked += [
                ("HMGET", self.key("run", run), "targets", "born"),
                ("HGET", self.key("run", run, "read"), cluster),
            ]
        answers = self.batch(asked)
        rows = zip(runs, answers[::2], answers[1::2], strict=True)
        return [
            run for run, (targets, born), read in rows if targets and broker not in (born, read)
        ]

    def unread(self, run: RunId) -> ClaimWaits | None:
        """Return why nobody can say yet which jobs of a run are really pending; None if all is known."""
        silent = self.call("unread", run)
        return ClaimWaits(silent) if silent else None

    def answer(self, run: RunId, cluster: ClusterName, *, broker: str) -> None:
        """Note that a cluster has said, under this broker, what it has of a run."""
        self.ask("HSET", self.key("run", run, "read"), cluster, broker)

    def joinable(self) -> list[RunId]:
        """Return the open runs that any cluster may join."""
        return sorted(map(RunId, self.ask("SMEMBERS", self.key("any"))))

    def join(self, run: RunId, cluster: ClusterName) -> bool:
        """Let a cluster take part in a run that any may join; False if it does so already, or was given up there."""
        return bool(self.call("join", run, cluster))

    def hold(self, run: RunId, *, held: bool = True) -> bool:
        """Submit nothing more of a run, or go on with it; False if that was so before, or it has ended."""
        return bool(self.call("hold", run, int(held), self.clock()))


def _by_cluster(flat: Sequence[str]) -> dict[ClusterName, dict[JobState, int]]:
    """Read `cluster state`, number, … ; what is zero is left out."""
    found: dict[ClusterName, dict[JobState, int]] = {}
    for name, count in zip(flat[::2], flat[1::2], strict=True):
        cluster, _, state = name.partition(" ")
        if int(count):
            found.setdefault(ClusterName(cluster), {})[JobState(state)] = int(count)
    return dict(sorted(found.items()))
