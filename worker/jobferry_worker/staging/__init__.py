"""How files get to where jobs run and back: one module per context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_common.models.profiles import SshProfile
from jobferry_worker.staging.in_place import InPlace
from jobferry_worker.staging.local import Local
from jobferry_worker.staging.streamed import Streamed

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry_common.document import Header
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.staging.base import Staging


def staging_of(header: Header, cluster: Cluster, renew: Callable[[], None]) -> Staging:
    """Return how the files of a run travel; `renew` is called now and then while that takes its time.

    A producer that does not know that a cluster runs in place hands over what is to be staged: that works too,
    with links below the cluster's local_root.
    """
    profile = cluster.profile
    if header.in_place:
        return InPlace()
    if isinstance(profile.remote_profile, SshProfile):
        return Streamed(
            cluster.host,
            cluster.root,
            compress=profile.remote_profile.tar_compress,
            copy_common=profile.remote_profile.common_files == "copy",
            renew=renew,
        )
    return Local(symlink=profile.symlink or profile.in_place, renew=renew)
