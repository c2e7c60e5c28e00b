"""A producer, who submits and follows, and its users, who change their minds at the worst moment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.document import Document, Policy
from jobferry_common.errors import BrokerUnreachable, Conflict, JobferryError, UnknownId
from jobferry_common.models.failures import OnFailure
from jobferry_common.states import ResultsState, RunState
from tests.common.ledger.documents import document
from tests.simulation.engine.actors import Process
from tests.simulation.engine.broker import SimLedger

if TYPE_CHECKING:
    from jobferry_common.names import ClusterName, RunId
    from tests.simulation.engine.simulation import Simulation


class Producer(Process):
    """Somebody's laptop."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__("producer")
        self.simulation = simulation
        self.ledger = SimLedger(simulation.broker, simulation.fate, self.clock)
        #: what was accepted, as far as we were told: run → its document
        self.accepted: dict[RunId, Document] = {}
        #: what was to be submitted, and no answer came
        self.unanswered: list[tuple[Document, bool]] = []
        self.wished: set[RunId] = set()
        self.removed: set[RunId] = set()

    def clock(self) -> float:
        return self.simulation.now + self.skew

    def submit(self, what: Document, *, reuse: bool = True, again: bool = False) -> None:
        """Hand a document over; without an answer it is handed over again later."""
        try:
            accepted = self.ledger.accept(what, reuse=reuse, again=again)
        except BrokerUnreachable:
            self.unanswered.append((what, again))
            return
        except Conflict as error:
            self.simulation.fate.tell(f"refused: {error}")
            return
        self.simulation.fate.tell(f"accepted as {accepted.run}, attached: {accepted.attached}")
        self.accepted[accepted.run] = what
        self.simulation.send("advance", what.header.clusters[0])

    def follow(self) -> None:
        """Look after what was handed over: what the broker lost is presented again."""
        left, self.unanswered = self.unanswered, []
        for what, again in left:
            self.submit(what, again=again)
        for run, what in list(self.accepted.items()):
            try:
                if not self._has_lost(run):
                    continue
            except BrokerUnreachable:
                return
            self.simulation.fate.count("presented again")
            self.accepted.pop(run, None)  # another look may have done so meanwhile
            self.submit(what, again=True)

    def _has_lost(self, run: RunId) -> bool:
        """Tell whether the broker lost a run; False if somebody removed it."""
        try:
            self.ledger.run(run)
        except UnknownId:
            if new := self.ledger.renamed(run):
                if run in self.accepted:  # nobody noticed it meanwhile
                    self.accepted[new] = self.accepted.pop(run)
                self.simulation.fate.tell(f"{run} is {new} from now on")
                return False
            try:
                return run not in self.removed and not self.ledger.was_removed(run)
            except UnknownId:  # it was put back between the two questions
                return False
        return False

    def change_mind(self) -> None:
        """Do what users do."""
        random = self.simulation.fate.random
        if not self.accepted:
            return
        run = random.choice(list(self.accepted))
        act = random.choice(self.simulation.habits)
        try:
            getattr(self, f"_{act}")(run)
        except JobferryError as error:
            self.simulation.fate.tell(f"{act} {run}: {error}")
        else:
            self.simulation.fate.count(f"user: {act}")

    def _cancel(self, run: RunId) -> None:
        self.wished.add(run)
        self.ledger.wish_cancel(run)

    def _retry(self, run: RunId) -> None:
        if self.ledger.run(run).state in (RunState.FAILED, RunState.CANCELLED):
            tasks = [task for page in self.ledger.task_pages(run) for _, task in page]
            self.submit(Document(header=self.ledger.header(run), tasks=tasks))

    def _resubmit(self, run: RunId) -> None:
        self.submit(self.accepted[run], reuse=self.simulation.fate.random.random() < 0.7)

    def _hold(self, run: RunId) -> None:
        self.ledger.hold(run)

    def _release(self, run: RunId) -> None:
        self.ledger.hold(run, held=False)

    def _abandon(self, run: RunId) -> None:
        cluster = self.simulation.fate.random.choice(self.ledger.run(run).clusters)
        self.simulation.given_up.add((run, cluster))
        self.ledger.abandon(run, cluster)

    def _fetch(self, run: RunId) -> None:
        self.ledger.bring_again(run)

    def _clean(self, run: RunId) -> None:
        record = self.ledger.run(run)
        if record.state.is_final and record.results is ResultsState.DELIVERED:
            for cluster in record.clusters:
                self.simulation.send("clean", cluster, run)
        elif record.results is ResultsState.CLEANED:
            self.removed.add(run)
            self.ledger.forget(run)

    def _pause(self, run: RunId) -> None:
        self._set(run, paused="service", paused_by="operator")

    def _resume(self, run: RunId) -> None:
        # to resume is to say that what is gone is gone: who says so looks first
        if any(site.in_trouble for site in self.simulation.sites.values()):
            return
        self._set(run, paused="", paused_by="operator", failures=0, probe_at=0.0)

    def _set(self, run: RunId, **fields: str | float) -> None:
        cluster: ClusterName = self.simulation.fate.random.choice(self.ledger.run(run).clusters)
        self.ledger.set_cluster(cluster, **fields)


def new_document(simulation: Simulation, number: int) -> Document:
    """Return a submission as the seed wants it."""
    pick = simulation.fate.random.choice
    names = tuple(simulation.sites)
    shared = len(names) > 1 and pick([True, True, False])
    header: dict[str, Any] = {
        "owner": pick(["ann@a", "bob@b"]),
        "priority": pick([0, 0, 5]),
        "cluster": names[0] if shared else pick(names),
        **({"targets": names, "placement": pick(["fair", "order"])} if shared else {}),
    }
    rules, asked = _rules(simulation.seed, number)
    policy = Policy(
        on_failure=rules,
        continue_on_failure=pick([True, True, False]),
        retry_count=pick([0, 3]),
        ratio_unfinished=pick([0.0, 0.0, 0.3]),
        clean=pick(["never", "never", "always"]) if not simulation.forgets else "never",
    )
    group = pick([1, 3])
    given = document(
        number, tasks=simulation.fate.random.randint(1, 12), group=group, policy=policy, **header
    )
    resources = given.header.resources.model_copy(update=asked)
    return replace(given, header=replace(given.header, resources=resources))


#: most that a job of a user with rules may ever ask for
MOST_MEMORY: Final = 5000
MOST_SECONDS: Final = 4 * 3600
#: most tries by the rule for timeouts
MOST_RESTARTS: Final = 4
_RULES: Final = {
    "out_of_memory": {"memory": 1.5, "memory_most": f"{MOST_MEMORY}MB", "counts": False},
    "timeout": {"time": 2, "time_most": f"{MOST_SECONDS}s", "times": MOST_RESTARTS},
    "node_failure": {"counts": False, "exclude_node": True},
    "exit_codes": {"3": {"counts": False, "times": 2}},
}


def _rules(seed: int, number: int) -> tuple[OnFailure | None, dict[str, Any]]:
    """Return the rules of a submission and what it asks for; every second has some. Nothing is drawn for that."""
    if (seed + number) % 2:
        return None, {}
    return OnFailure.load_from_dict(_RULES), {"memory_per_node": "1000MB", "time_limit": "01:00:00"}
