"""The broker of a simulation: a real Valkey whose leases end by the simulated clock, and that may be started anew.

    broker = SimBroker(redis, clock)
    broker.keep()          # what it would come back with
    broker.forget()        # it comes back with that, as another process

Scripts run as they are, but for one line: the run id of the server's process is a key here, because a restart of the
real process takes longer than the whole simulation.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from redis.exceptions import NoScriptError

from jobferry_common.broker import send
from jobferry_common.errors import BrokerUnreachable, LeaseLost
from jobferry_common.ledger import Ledger
from jobferry_common.ledger.script import source_of
from tests.simulation.engine.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis

    from jobferry_common.ledger.records import Change, Fence
    from jobferry_common.ledger.store import Argument, Command
    from jobferry_common.names import RunId
    from tests.simulation.engine.fate import Fate

#: what is replaced, and by what
_REAL: Final = "string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')"
_OURS: Final = "redis.call('GET', 'sim:process')"
_FOR_EVER_MS: Final = 10**9
#: scripts that a pass calls under its lease
_FENCED: Final = frozenset({"change", "reserve", "claim"})
#: scripts that change nothing worth telling
_QUIET: Final = frozenset({"due", "pool", "change", "set_cluster"})


@cache
def scripted(name: str) -> tuple[str, str]:
    """Return a script as the simulation runs it, and its digest."""
    source = source_of(name)
    if source.count(_REAL) != 1:
        msg = f"{name}.lua asks for the server's run id in another way than the simulation knows"
        raise AssertionError(msg)
    source = source.replace(_REAL, _OURS)
    return source, hashlib.sha1(source.encode()).hexdigest()


class SimBroker:
    """One Valkey, as if it were restarted now and then."""

    def __init__(self, redis: Redis, clock: Callable[[], float]) -> None:
        self.redis = redis
        self.wire = Wire(redis)
        self.clock = clock
        self.down = False
        #: lease → when it ends
        self.leases: dict[str, float] = {}
        self.process = 0
        self._kept: dict[str, bytes] = {}
        self.start()

    def start(self) -> None:
        """Come up as another process."""
        self.process += 1
        self.redis.set("sim:process", f"{self.process:040x}")

    @property
    def run_id(self) -> str:
        return f"{self.process:040x}"

    def keep(self) -> None:
        """Remember what there is now."""
        names: Any = sorted(self.redis.keys("*"))
        pipe = self.redis.pipeline(transaction=False)
        for name in names:
            pipe.dump(name)
        self._kept = dict(zip(names, pipe.execute(), strict=True))

    @property
    def may_forget(self) -> bool:
        return bool(self._kept)

    def forget(self) -> None:
        """Come back, as another process, with what was kept."""
        pipe = self.redis.pipeline(transaction=False)
        pipe.flushdb()
        for name, value in self._kept.items():
            pipe.restore(name, 0, value)
        pipe.execute()
        self._kept = {}
        self.start()

    def expire(self) -> None:
        """End the leases whose time is over."""
        for name, end in list(self.leases.items()):
            if end <= self.clock():
                del self.leases[name]
                self.wire.execute_command("DEL", f"jobferry:lease:{name}")


class SimLedger(Ledger):
    """The ledger of one process; each question to the broker is a moment at which things may go wrong."""

    def __init__(self, broker: SimBroker, fate: Fate, clock: Callable[[], float]) -> None:
        super().__init__(broker.redis, clock=clock)
        self.redis = cast("Redis", broker.wire)
        self.sim = broker
        self._fate = fate

    def settle(self) -> bool:
        return True

    def broker(self) -> str:
        return self.sim.run_id

    def ask(self, *command: Argument) -> Any:
        return self._through(str(command[0]), lambda: Ledger.ask(self, *command))

    def batch(self, commands: Sequence[Command], *, keep_errors: bool = False) -> list[Any]:
        if not commands:
            return []
        found: list[Any] = self._through(
            "batch", lambda: Ledger.batch(self, commands, keep_errors=keep_errors)
        )
        return found

    def call(self, script: str, *arguments: Argument) -> Any:
        if script in ("acquire", "renew"):
            return self._lease(script, arguments)
        if script in _FENCED:
            self._fate.strike_fenced(f"before {script}")
        answer = self._through(script, lambda: Ledger.call(self, script, *arguments))
        if script not in _QUIET or "paused_by" in arguments:
            self._fate.tell(
                f"{script} {' '.join(map(str, arguments[: 8 if script == 'set_cluster' else 1]))}: {answer}"
            )
        return answer

    def _lease(self, script: str, arguments: Sequence[Argument]) -> Any:
        """Leases end by the simulated clock: for the server they have no end."""
        name, where = str(arguments[0]), 2 if script == "acquire" else 3
        milliseconds = int(arguments[where])
        given = [*arguments[:where], milliseconds and _FOR_EVER_MS, *arguments[where + 1 :]]

        def ask() -> Any:
            if answer := Ledger.call(self, script, *given):
                self.sim.leases[name] = self.sim.clock() + milliseconds / 1000
            return answer

        answer = self._through(script, ask)
        if script == "renew" and milliseconds and not answer:
            self._fate.count("lease lost")
        if script == "acquire" and answer and (len(given) > 4 and given[4]):
            self._fate.count("lease taken over")
        return answer

    def _evaluate(self, script: str, arguments: Sequence[Argument]) -> Any:
        source, digest = scripted(script)
        try:
            return send(self.redis, "EVALSHA", digest, 1, self.prefix, *arguments)
        except NoScriptError:
            return send(self.redis, "EVAL", source, 1, self.prefix, *arguments)

    def _through(self, what: str, work: Callable[[], Any]) -> Any:
        if self._fate.current is None:  # whoever checks is no part of it
            return work()
        self._fate.strike(f"before {what}")
        if self.sim.down:
            msg = "the broker is down"
            raise BrokerUnreachable(msg)
        self.sim.expire()
        try:
            answer = work()
        except LeaseLost:
            self._fate.count("refused by its fence")
            raise
        if self._fate.happens("broker answer lost, asked again"):
            # the client repeats what it got no answer to
            answer = work()
        if self._fate.happens("broker answer lost"):
            msg = "no answer"
            raise BrokerUnreachable(msg)
        self._fate.strike(f"after {what}")
        return answer

    def change(self, run: RunId, changes: Sequence[Change], *, fence: Fence | None) -> list[bool]:
        answers = super().change(run, changes, fence=fence)
        done = [change for change, answer in zip(changes, answers, strict=True) if answer]
        self._fate.note_changes(run, done)
        return answers
