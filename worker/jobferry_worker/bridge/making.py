"""Which bridge a cluster has: one line for each system that shares no directory with the worker.

bridge = bridge_of(profile, "/home/ann/.jobferry/bridges/1f…", timedelta(seconds=60))
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import HostUnreachable
from jobferry_common.models.profiles import BohriumProfile, HdfsProfile, OpenApiProfile
from jobferry_common.scripts.layout import HIDDEN
from jobferry_worker.bridge.books import Books
from jobferry_worker.bridge.bridge import GRACE, Bridge
from jobferry_worker.bridge.hdfs import hdfs_of
from jobferry_worker.bridge.yarn import Yarn
from jobferry_worker.hosts.local import LocalHost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from jobferry_common.models.cluster import ClusterProfile
    from jobferry_worker.bridge.base import Storage, System

    #: takes the profile, the bridge's home, and the limit of one command or request
    Maker = Callable[[ClusterProfile, Path, timedelta], tuple[Storage, System]]


def bridge_of(
    profile: ClusterProfile, root: str, limit: timedelta, grace: timedelta = GRACE
) -> Bridge:
    """Return the bridge of a cluster whose files are under `root` on this machine; `grace` as `Bridge` has it.

    Raises:
        HostUnreachable: what it needs is not here.
    """
    home = Path(root, HIDDEN, "bridge")
    storage, system = MAKERS[profile.batch_type](profile, home, limit)
    return Bridge(Books(home), storage, system, grace=grace)


def _yarn(profile: ClusterProfile, home: Path, limit: timedelta) -> tuple[Storage, System]:
    del home
    given = profile.remote_profile
    client = given.client if isinstance(given, HdfsProfile) else None
    host = LocalHost()
    return hdfs_of(client, host, profile.remote_root or "", limit), Yarn(host, limit)


def _cloud(profile: ClusterProfile, home: Path, limit: timedelta) -> tuple[Storage, System]:
    del limit  # each request has its own
    given = profile.remote_profile
    if not isinstance(given, BohriumProfile | OpenApiProfile):
        msg = f"{profile.batch_type} is reached through the context {profile.batch_type} alone"
        raise HostUnreachable(msg)
    try:
        from jobferry_worker.cloud.side import CloudSide
    except ImportError:
        msg = f"{profile.batch_type} needs the package urllib3; do: pip install 'jobferry[cloud]'"
        raise HostUnreachable(msg) from None
    side = CloudSide(given, profile.batch_type, home)
    return side, side


#: batch type → maker
MAKERS: Final[Mapping[str, Maker]] = MappingProxyType(
    {"DistributedShell": _yarn, "Bohrium": _cloud, "OpenAPI": _cloud}
)
