"""The three ways in which the ledger talks to the broker: ask, call a script, send a batch.

    self.ask("HGET", self.key("submissions"), "3f2a9c01d5e7")

Nothing else of the ledger touches the Redis client, so an error of it becomes `BrokerUnreachable` here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError, ResponseError

from jobferry_common.broker import describe, guarded, send
from jobferry_common.errors import IllegalTransition, LeaseLost, UnknownId
from jobferry_common.ledger.script import sha_of, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis

    from jobferry_common.ledger.records import Fence

Argument = str | bytes | int | float
Command = tuple[Argument, ...]

_REFUSALS: dict[str, type[Exception]] = {
    "LEASE": LeaseLost,
    "ILLEGAL": IllegalTransition,
    "UNKNOWN": UnknownId,
}


class Store:
    """A Redis client, a prefix and a clock: the base of every part of the ledger."""

    def __init__(
        self,
        redis: Redis,
        prefix: str = "jobferry:",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.redis = redis
        self.prefix = prefix
        self.clock = clock
        self.shown = describe(redis)

    def key(self, *parts: str) -> str:
        """Return a key under the prefix."""
        return self.prefix + ":".join(parts)

    def ask(self, *command: Argument) -> Any:  # noqa: ANN401 - its shape is the command's
        """Send one command and return its answer."""
        with guarded(self.shown):
            return send(self.redis, *command)

    def ask_bytes(self, *command: Argument) -> Any:  # noqa: ANN401
        """Send one command and return its answer undecoded."""
        with guarded(self.shown):
            return send(self.redis, *command, **{NEVER_DECODE: True})

    def batch(self, commands: Sequence[Command], *, keep_errors: bool = False) -> list[Any]:
        """Send many commands at once, not as a transaction; return their answers."""
        if not commands:
            return []
        with guarded(self.shown), self.redis.pipeline(transaction=False) as pipe:
            for command in commands:
                send(pipe, *command)
            return list(pipe.execute(raise_on_error=not keep_errors))

    def call(self, script: str, *arguments: Argument) -> Any:  # noqa: ANN401
        """Run one of our Lua scripts.

        Raises:
            LeaseLost: a fence is stale; nothing was written.
            IllegalTransition: a change is forbidden; nothing was written.
            UnknownId: the run is not in the ledger.
        """
        with guarded(self.shown):
            try:
                return self._evaluate(script, arguments)
            except ResponseError as error:
                raise refusal(error) from error

    def invocation(self, script: str, *arguments: Argument) -> Command:
        """Return the command that runs a script, for a batch."""
        return ("EVALSHA", sha_of(script), 1, self.prefix, *arguments)

    def _evaluate(self, script: str, arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        try:
            return send(self.redis, *self.invocation(script, *arguments))
        except NoScriptError:
            source = source_of(script)
            return send(self.redis, "EVAL", source, 1, self.prefix, *arguments)


def refusal(error: ResponseError) -> Exception:
    """Return what a script's refusal means; the error itself if it is none of ours."""
    word, _, rest = str(error).removeprefix("ERR ").partition(" ")
    kind = _REFUSALS.get(word)
    return kind(rest) if kind else error


def fence_arguments(fence: Fence | None) -> tuple[str, str, int]:
    """Return account, broker and number for a script; empty ones where nothing is fenced."""
    return (fence.account, fence.broker, fence.number) if fence else ("", "", 0)
