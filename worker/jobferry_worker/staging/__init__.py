"""How files get to where jobs run and back: one module per context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_worker.staging.in_place import InPlace
from jobferry_worker.staging.local import Local

if TYPE_CHECKING:
    from jobferry_common.document import Header
    from jobferry_common.models.cluster import ClusterProfile
    from jobferry_worker.staging.base import Staging


def staging_of(header: Header, profile: ClusterProfile) -> Staging:
    """Return how the files of a run travel.

    A producer that does not know that a cluster runs in place hands over what is to be staged: that works too,
    with links below the cluster's local_root.
    """
    if header.in_place:
        return InPlace()
    return Local(symlink=profile.symlink or profile.in_place)
