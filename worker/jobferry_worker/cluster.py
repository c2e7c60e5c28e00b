"""A cluster as its worker has it: profile, host, scheduler, root, and what is remembered between passes.

cluster = open_cluster(ClusterName("hpc1"), settings.clusters["hpc1"], settings)
cluster.facts.max_array
"""

from __future__ import annotations

import os
import posixpath
import socket
import time
from datetime import timedelta
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.models.profiles import SshProfile
from jobferry_common.schedulers import scheduler_named
from jobferry_common.scripts.layout import HIDDEN, Layout
from jobferry_worker.bridge.host import BridgeHost
from jobferry_worker.bridge.making import bridge_of
from jobferry_worker.hosts.local import LocalHost
from jobferry_worker.hosts.ssh import SshHost
from jobferry_worker.hosts.ssh.connect import connection_of
from jobferry_worker.reconcile.budget import Budget
from jobferry_worker.reconcile.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry_common.document import Header
    from jobferry_common.models.cluster import ClusterProfile
    from jobferry_common.names import ClusterName, RunId
    from jobferry_common.schedulers.base import Facts, Scheduler
    from jobferry_common.settings import Settings, Timings
    from jobferry_worker.hosts.base import Host
    from jobferry_worker.hosts.ssh.connect import Connection

#: nobody else is disturbed by commands to a shell of our own
_SHELL_COMMANDS_PER_SECOND: Final = 100.0


class Cluster:
    """One cluster, in one worker process; its passes are made one at a time."""

    def __init__(  # noqa: PLR0913 - a cluster is all of this
        self,
        *,
        name: ClusterName,
        profile: ClusterProfile,
        account: str,
        host: Host,
        scheduler: Callable[[str], Scheduler],
        root: Callable[[], str],
        settings: Settings,
        budget: Budget,
    ) -> None:
        self.name = name
        self.profile = profile
        #: "user@host": whose connection and command budget it is
        self.account = account
        self.host = host
        self._scheduler_of = scheduler
        self._find_root = root
        self.budget = budget
        self.memory = Memory()
        #: `time.monotonic()` of the last step of a pass: one that takes steps does not hang
        self.stepped = 0.0
        self._settings = settings
        #: through what files travel where producers share no file system with this worker
        self.depot = settings.depot
        self._facts: Facts | None = None

    @cached_property
    def root(self) -> str:
        """The directory under which jobferry keeps its files there; absolute.

        Raises:
            HostUnreachable: the cluster has to be asked where it is.
        """
        return self._find_root()

    @cached_property
    def scheduler(self) -> Scheduler:
        """Its batch system; raises what `root` raises."""
        return self._scheduler_of(self.root)

    @property
    def lease(self) -> str:
        """The name of its lease: the same for every worker of the cluster, on whatever host it runs."""
        return f"cluster/{self.name}"

    @property
    def is_far(self) -> bool:
        """True where it is reached over a link."""
        return self.profile.context_type == "SSH"

    @property
    def login_shell(self) -> bool:
        """True where scripts begin with `bash -l`."""
        return self.profile.login_shell

    @property
    def facts(self) -> Facts:
        """What the scheduler says of itself; asked once, and again after `forget_facts`.

        Raises:
            CommandFailed, UnreadableOutput: it cannot be asked.
            HostUnreachable, StagingError: nor can its machine.
        """
        if self._facts is None:
            self._bring_files()
            limit = self._settings.timings.command
            done = self.host.run(self.scheduler.facts(), limit=limit)
            self._facts = self.scheduler.parse_facts(done)
        return self._facts

    def _bring_files(self) -> None:
        """Write what the scheduler needs there, unless it is there: jobs are looked after on a full disk, too."""
        files = self.scheduler.files()
        there = self.host.read([file.path for file in files]) if files else {}
        if lacking := [file for file in files if there.get(file.path) != file.content]:
            self.host.write(lacking)

    @property
    def knows_facts(self) -> bool:
        """True when `facts` costs no command."""
        return self._facts is not None

    def forget_facts(self) -> None:
        """Have the scheduler asked for its facts again: they may be wrong."""
        self._facts = None

    def layout_of(self, header: Header, run: RunId, ledger_id: str) -> Layout:
        """Return where a run lies here."""
        return Layout.of(header, run, self.root, ledger_id, self.name)


def open_cluster(name: ClusterName, profile: ClusterProfile, settings: Settings) -> Cluster:
    """Return the cluster of a profile; nothing is asked of it yet.

    Raises:
        HostUnreachable: nobody knows how it is reached.
    """
    host, account = host_of(profile, settings.timings)
    return Cluster(
        name=name,
        profile=profile,
        account=account,
        host=host,
        scheduler=partial(_scheduler, profile),
        root=partial(_far_root, profile, host)
        if isinstance(host, SshHost)
        else partial(_local_root, profile),
        settings=settings,
        budget=_budget(account, *_rate(profile)),
    )


def host_of(profile: ClusterProfile, timings: Timings) -> tuple[Host, str]:
    """Return the host of a profile, and the account there: "user@host".

    Raises:
        HostUnreachable: nobody knows how it is reached.
    """
    given = profile.remote_profile
    if isinstance(given, SshProfile):
        connection = connection_of(given)
        return _ssh_host(connection, given.execute_command or ""), connection.account
    host = LocalHost()
    if profile.is_bridged:
        grace = timedelta(seconds=timings.grace_seconds)
        host = BridgeHost(lambda: bridge_of(profile, _local_root(profile), timings.command, grace))
    return host, f"{host.user()}@{socket.gethostname()}"


@cache
def _ssh_host(connection: Connection, opening: str) -> SshHost:
    """Return the host that all clusters of an account share, in this process, with its shells."""
    return SshHost(connection, opening=opening)


def _scheduler(profile: ClusterProfile, root: str) -> Scheduler:
    return scheduler_named(
        profile.batch_type,
        home=f"{root}/{HIDDEN}/shell",
        slots=profile.max_running_jobs,
    )


def _local_root(profile: ClusterProfile) -> str:
    return os.path.realpath(Path(profile.root or Path.home()).expanduser())


def _far_root(profile: ClusterProfile, host: SshHost) -> str:
    """Return the root as the far side knows it; only one below the home directory has to be asked for."""
    root = profile.root or "~"
    if not root.startswith("/"):
        root = posixpath.join(host.home(), root.removeprefix("~").lstrip("/"))
    return posixpath.normpath(root)


def _rate(profile: ClusterProfile) -> tuple[str, float]:
    # a bridge answers by itself, and asks its system rarely
    is_own = profile.batch_type == "Shell" or profile.is_bridged
    if is_own and "commands_per_second" not in profile.model_fields_set:
        return profile.batch_type, _SHELL_COMMANDS_PER_SECOND
    return profile.batch_type, profile.commands_per_second


@cache
def _budget(account: str, batch_type: str, per_second: float) -> Budget:
    """Return the budget that all clusters of an account share, in this process."""
    del account, batch_type
    clock: Callable[[], float] = time.monotonic
    return Budget(per_second, clock)
