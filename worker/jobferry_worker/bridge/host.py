"""This machine as the host of a cluster behind a bridge: a bridge's commands are answered in this very process.

host = BridgeHost(lambda: bridge)
host.run(("jobferry-bridge", "list"), limit=timedelta(seconds=60)).checked()

All else is what a `LocalHost` does: the cluster's root is a directory of this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.schedulers.bridged import COMMAND
from jobferry_worker.hosts.local import LocalHost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from jobferry_common.schedulers.base import Argv, Completed
    from jobferry_worker.bridge.bridge import Bridge


class BridgeHost(LocalHost):
    """The machine on which the worker runs, with a bridge."""

    def __init__(self, bridge: Callable[[], Bridge]) -> None:
        super().__init__()
        self._make = bridge
        self._bridge: Bridge | None = None

    def run(
        self,
        argv: Argv,
        *,
        limit: timedelta,
        stdin: bytes = b"",
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run one command, or have the bridge answer it."""
        if argv[0] != COMMAND:
            return super().run(
                argv, limit=limit, stdin=stdin, directory=directory, environment=environment
            )
        if self._bridge is None:
            self._bridge = self._make()
        return self._bridge.run(argv, limit=limit)
