"""The id file in a cluster's root: it proves that the directory we look into is the one we wrote to.

A file system that is not mounted shows an empty directory: no record, no claim, nothing in the spool. Without the
right id file nothing of that is believed.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from jobferry_common.errors import HostUnreachable, StagingError
from jobferry_common.files import NewFile
from jobferry_common.scripts.layout import id_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobferry_common.ledger import Ledger
    from jobferry_common.names import ClusterName
    from jobferry_worker.cluster import Cluster
    from jobferry_worker.reconcile.passes import Pass


class StrangeRoot(HostUnreachable):
    """The root of the cluster is not the directory that we know."""


def prove_root(p: Pass) -> None:
    """Check the id file; make it for a root that is new.

    Raises:
        StrangeRoot: it is missing or another one, although jobs or files of ours should be there.
    """
    path = id_file(p.cluster.root)
    found = p.read([path]).get(path, b"").decode("utf-8", "replace").strip()
    known = p.ledger.remembered(_key(p.name))
    if found and found == known:
        return
    if known and _is_in_use(p):
        what = f"holds {found!r}, not {known!r}" if found else "is missing"
        msg = (
            f"{path} {what}: is the file system of {p.cluster.root} mounted? Nothing is done there "
            "until it is back; if it is gone for good, cancel the runs of the cluster"
        )
        raise StrangeRoot(msg)
    p.ledger.remember(_key(p.name), broker=found or _make(p, path))


def see_root(ledger: Ledger, cluster: Cluster) -> None:
    """Check that files of a cluster are looked for where passes know them to be; raises what `read_known` does."""
    read_known(ledger, cluster, ())


def read_known(ledger: Ledger, cluster: Cluster, paths: Sequence[str]) -> Mapping[str, bytes]:
    """Read files, and in the same breath the proof that what is not there is not there.

    Raises:
        StagingError: what is seen there is another directory, such as one on which nothing is mounted.
    """
    known = ledger.remembered(_key(cluster.name))
    path = id_file(cluster.root)
    contents = cluster.host.read([*paths, path])
    if known and contents.get(path, b"").decode("utf-8", "replace").strip() != known:
        msg = f"{path} is not what it was: is the file system of {cluster.root} mounted?"
        raise StagingError(msg)
    return {one: contents[one] for one in paths if one in contents}


def share_root(ledger: Ledger, one: ClusterName, other: ClusterName) -> bool:
    """Tell whether two clusters work in the same directory, by whatever paths."""
    mine = ledger.remembered(_key(one))
    return bool(mine) and mine == ledger.remembered(_key(other))


def _make(p: Pass, path: str) -> str:
    mine = secrets.token_hex(8)
    p.create([NewFile(path=path, content=f"{mine}\n".encode())])
    p.cluster.forget_facts()  # what the scheduler keeps there may be gone, too
    return p.read([path])[path].decode().strip()


def _is_in_use(p: Pass) -> bool:
    """Return True when something that is still wanted must be there: jobs that are out, or files of a run."""
    given_up = set(p.ledger.cancel_wishes(p.name))
    if any(job.key.run not in given_up for job in p.ledger.flight(p.name)):
        return True
    return any(
        p.ledger.run(run).staged for run in p.ledger.open_runs(p.name) if run not in given_up
    )


def _key(name: ClusterName) -> str:
    return f"root of {name}"
