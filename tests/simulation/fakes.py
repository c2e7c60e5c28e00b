"""Host and scheduler of a simulated world: the interfaces are the real ones, what is behind them is not.

cluster = cluster_of(world, settings)
advance(ledger, cluster, settings, world.clock)
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jobferry_common.errors import (
    CommandFailed,
    HostUnreachable,
    SubmitBusy,
    SubmitRefused,
    SubmitUnknown,
    UnreadableOutput,
    command_failed,
)
from jobferry_common.models.amounts import mebibytes, seconds
from jobferry_common.models.cluster import ClusterProfile
from jobferry_common.names import ClusterName, SchedulerId, Token
from jobferry_common.schedulers.base import Argv, Completed, Facts, Listing, Phase, Seen
from jobferry_common.schedulers.elements import Joined
from jobferry_common.states import Outcome
from jobferry_worker.cluster import Cluster
from jobferry_worker.reconcile.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from jobferry_common.files import NewFile
    from jobferry_common.models.resources import Resources
    from jobferry_common.schedulers.base import Submit
    from jobferry_common.settings import Settings
    from jobferry_worker.hosts.base import Output
    from tests.simulation.world import Element, World

ALPHA = ClusterName("alpha")
ROOT = "/far/root"


_FORM = Joined("_")


class FakeScheduler:
    """The `Scheduler` of a world."""

    name = "Fake"

    def __init__(self, world: World) -> None:
        self._world = world

    def files(self) -> Sequence[NewFile]:
        return ()

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return what is asked for beyond the number of cores; most runs ask for nothing."""
        asked = {
            "memory": resources.memory_per_node and str(mebibytes(resources.memory_per_node)),
            "time": resources.time_limit and str(seconds(resources.time_limit)),
            "exclude": ",".join(resources.exclude_nodes),
        }
        return [f"#FAKE {name} {value}" for name, value in asked.items() if value]

    def job_id_expression(self) -> str:
        return "$FAKE_ID"

    def index_expression(self) -> str:
        return "$FAKE_INDEX"

    def submit(self, submit: Submit) -> Argv:
        size = "" if submit.size is None else str(submit.size)
        return ("fake", "submit", submit.token, submit.script, size)

    def parse_submit(self, done: Completed) -> SchedulerId:
        match done.exit_code:
            case 0:
                return SchedulerId(done.stdout)
            case 75:
                raise SubmitBusy(done.stderr)
            case 64:
                raise SubmitRefused(done.stderr)
            case 127:
                raise command_failed(done.argv, done.exit_code, done.stderr)
            case _:
                raise SubmitUnknown(done.stderr)

    def element(self, array: SchedulerId, index: int) -> SchedulerId:
        return _FORM.element(array, index)

    def split(self, key: SchedulerId) -> tuple[SchedulerId, int | None]:
        return _FORM.split(key)

    def listing(self, user: str) -> Argv:
        return ("fake", "list", user)

    def parse_listing(self, done: Completed, cluster: str) -> Listing:
        told = _read(done)
        if told["cluster"] != cluster:
            raise CommandFailed(done.argv, 1, f"this is {told['cluster']}")
        return _listing(told["jobs"])

    def history(self, ids: Collection[SchedulerId], since: datetime) -> Argv:
        return ("fake", "history", *ids)

    def parse_history(self, done: Completed, cluster: str) -> Listing:
        return _listing(_read(done)["jobs"])

    def inquiry(self, ids: Collection[SchedulerId]) -> Argv | None:
        return ("fake", "inquire", *ids) if self._world.has_inquiry else None

    def parse_inquiry(self, done: Completed, cluster: str, ids: Collection[SchedulerId]) -> Listing:
        told = _listing(_read(done)["jobs"])
        arrays = {key.partition("_")[0] for key in told.jobs}
        lacking = {key for key in ids if key not in told.jobs and key.partition("_")[0] in arrays}
        return replace(told, removed=frozenset(lacking))

    def cancel(self, ids: Sequence[SchedulerId]) -> Argv:
        return ("fake", "cancel", *ids)

    def forget(self, ids: Sequence[SchedulerId]) -> Argv | None:
        return ("fake", "forget", *ids)

    def facts(self) -> Argv:
        return ("fake", "facts")

    def parse_facts(self, done: Completed) -> Facts:
        done.checked()
        world = self._world
        return Facts(
            cluster=world.cluster_name,
            version="1",
            max_array=world.max_array,
            history=world.has_history,
        )


def _read(done: Completed) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(done.checked())
    except ValueError as error:
        raise UnreadableOutput(str(error)) from error
    return found


def _listing(rows: Iterable[Sequence[str | int | None]]) -> Listing:
    jobs: dict[SchedulerId, Seen] = {}
    tokens: dict[Token, list[SchedulerId]] = {}
    for id_, token, state, outcome, code, node in rows:
        key, mark = SchedulerId(str(id_)), Token(str(token))
        jobs[key] = Seen(
            id=key,
            phase=Phase(str(state)),
            token=mark,
            outcome=Outcome(str(outcome)) if outcome else None,
            code=None if code is None else int(code),
            nodes=str(node) if state == "ended" else "",
        )
        array = SchedulerId(key.partition("_")[0])
        if array not in tokens.setdefault(mark, []):
            tokens[mark].append(array)
    return Listing(jobs=jobs, tokens=tokens)


class FakeHost:
    """The `Host` of a world."""

    name = "the far side"
    silence_seconds = 0.0

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def files(self) -> dict[str, bytes]:
        """The files as the login node sees them."""
        world = self.world
        return world.files if world.bare is None else world.bare

    def run(
        self,
        argv: Argv,
        *,
        limit: timedelta,
        stdin: bytes = b"",
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        self._reach()
        world = self.world
        if argv[0] != "fake":
            return Completed(argv=argv, exit_code=0)  # of the system; nothing hangs on it
        world.commands.append(argv[1])
        if argv[1] in world.lacking:
            return Completed(argv=argv, exit_code=127, stderr=f"fake-{argv[1]}: not found\n")
        if argv[1] == "submit":
            return self._submit(argv, limit)
        if argv[1] != "facts" and world.chance(world.chances.outage):
            world.asked_in_vain += 1
            world.tally["outage"] += 1
            return Completed(argv=argv, exit_code=1, stderr="slurmctld does not answer")
        done = getattr(self, f"_{argv[1]}")(argv)
        if world.chance(world.chances.answer_lost):
            world.tally["answer lost"] += 1
            raise HostUnreachable(self.name)
        return Completed(argv=argv, exit_code=0, stdout=done)

    def _submit(self, argv: Argv, limit: timedelta) -> Completed:
        world = self.world
        _, _, token, script, size = argv
        count = int(size) if size else None
        out = sum(element.state != "ended" for element in world.elements.values())
        if world.refuses:
            return Completed(argv=argv, exit_code=64, stderr=world.refuses)
        full = world.limit is not None and out + (count or 1) > world.limit
        if full or world.chance(world.chances.turned_away):
            world.tally["submit turned away"] += 1
            return Completed(argv=argv, exit_code=75, stderr="limit of jobs per user")
        if world.strange("submit_lost"):
            world.tally["submit lost"] += 1
            return Completed(argv=argv, exit_code=124)
        if world.chance(world.chances.submit_delayed):
            when = world.now + world.random.uniform(0.0, limit.total_seconds())
            world.tally["submit answered late"] += 1
            world.delayed.append((when, token, script, count))
            return Completed(argv=argv, exit_code=124)
        given = world.submit(token, script, count)
        if world.chance(world.chances.submit_doubled):
            world.tally["submit doubled"] += 1
            world.submit(token, script, count)
        if world.chance(world.chances.answer_lost):
            world.tally["answer lost"] += 1
            raise HostUnreachable(self.name)
        return Completed(argv=argv, exit_code=0, stdout=given)

    def _facts(self, argv: Argv) -> str:
        return "{}"

    def _list(self, argv: Argv) -> str:
        now = self.world.now
        listed = [] if self.world.blind else self.world.elements.values()
        whole = self.world.lists_ended
        jobs = [_row(one) for one in listed if one.shown <= now and (whole or one.state != "ended")]
        return json.dumps({"cluster": self.world.cluster_name, "jobs": jobs})

    def _history(self, argv: Argv) -> str:
        known = self.world.history
        return json.dumps({"jobs": [_row(known[key]) for key in argv[2:] if key in known]})

    def _inquire(self, argv: Argv) -> str:
        arrays = {key.partition("_")[0] for key in argv[2:]}
        known = [one for one in self.world.elements.values() if one.shown <= self.world.now]
        jobs = [_row(element) for element in known if element.id.partition("_")[0] in arrays]
        return json.dumps({"jobs": jobs})

    def _cancel(self, argv: Argv) -> str:
        self.world.cancel(set(argv[2:]))
        return ""

    def _forget(self, argv: Argv) -> str:
        for key in argv[2:]:
            element = self.world.elements.get(key)
            if element and element.state == "ended":
                del self.world.elements[key]
        return ""

    def feed(self, argv: Argv, chunks: Iterable[bytes], *, silence: timedelta) -> Completed:
        raise HostUnreachable(self.name)

    def output(
        self, argv: Argv, *, silence: timedelta, stdin: bytes = b""
    ) -> AbstractContextManager[Output]:
        raise HostUnreachable(self.name)

    def user(self) -> str:
        return "sim"

    def write(self, files: Iterable[NewFile]) -> None:
        self._reach()
        self.files.update({file.path: file.content for file in files})

    def read(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        self._reach()
        files = self.files
        return {path: files[path] for path in paths if path in files}

    def create(self, files: Sequence[NewFile]) -> Sequence[bool]:
        self._reach()
        made = []
        for file in files:
            made.append(file.path not in self.files)
            self.files.setdefault(file.path, file.content)
        return made

    def names(self, directory: str) -> Sequence[str]:
        self._reach()
        start = f"{directory}/"
        inner = (path.removeprefix(start) for path in self.files if path.startswith(start))
        return sorted({name.partition("/")[0] for name in inner})

    def make_directories(self, paths: Iterable[str]) -> None:
        self._reach()

    def remove(self, paths: Iterable[str]) -> None:
        self._reach()
        for path in paths:
            self.files.pop(path, None)

    def remove_tree(self, path: str) -> None:
        self.remove([name for name in self.files if name.startswith(f"{path}/")])

    def _reach(self) -> None:
        if not self.world.reachable:
            raise HostUnreachable(self.name)


def _row(element: Element) -> tuple[str, str, str, str, int | None, str]:
    return (
        *(element.id, element.token, element.state, element.outcome, element.code),
        element.node,
    )


def cluster_of(
    world: World,
    settings: Settings,
    *,
    name: ClusterName = ALPHA,
    account: str = "sim@far",
    **profile: Any,
) -> Cluster:
    """Return the world as a cluster, with nothing remembered."""
    given = ClusterProfile.load_from_dict(
        {"batch_type": "Slurm", "context_type": "Local", "remote_root": ROOT, **profile}
    )
    return Cluster(
        name=name,
        profile=given,
        account=account,
        host=FakeHost(world),
        scheduler=lambda _: FakeScheduler(world),
        root=lambda: ROOT,
        settings=settings,
        budget=Budget(1000.0, world.clock),
    )
