"""Which clusters a submission may go to: known ones, and of several those that fit.

    document = aimed(document, known)      # "any" becomes the names of all that were announced and fit

This is settled when the work is handed over: then it is known which clusters there are. The submission's id says
what the user wrote, so it does not change when a cluster comes or goes.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from jobferry_common.errors import BadInput, Problem, UnknownId
from jobferry_common.messages import is_inline
from jobferry_common.names import ClusterName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from jobferry_common.document import Document, Header
    from jobferry_common.models.placement import Clusters

    #: cluster → its tags
    Tags = Mapping[str, Collection[str]]


def aimed(document: Document, known: Tags) -> Document:
    """Return the document with the clusters that its jobs may go to.

    Args:
        document: as it was prepared.
        known: every cluster that is set here or was announced, with its tags.

    Raises:
        UnknownId: it names a cluster that is not known, with near matches.
        BadInput: none has the tags that it requires.
    """
    header = document.header
    if header.machine is not None:
        return document
    everywhere = sorted(name for name in known if not is_inline(name))
    named = everywhere if header.anywhere else header.clusters
    if unknown := [name for name in named if name not in known]:
        raise UnknownId(unknown_cluster(unknown[0], known))
    fitting = [name for name in named if fits(header.requires, known[name])]
    if not fitting:
        raise BadInput([_nowhere(header, named, known)])
    if not header.is_shared:
        return document
    names = tuple(map(ClusterName, fitting))
    targets = names if header.anywhere or len(names) > 1 else ()
    return replace(document, header=replace(header, cluster=names[0], targets=targets))


def fits(requires: Iterable[str], tags: Collection[str]) -> bool:
    """Tell whether a cluster has every tag that is required."""
    return all(tag in tags for tag in requires)


def _nowhere(header: Header, named: Collection[str], known: Tags) -> Problem:
    if not named:
        return Problem("cluster", "no cluster was announced yet: start a worker, then submit again")
    lacking = "; ".join(f"{name} has {', '.join(sorted(known[name])) or 'none'}" for name in named)
    wanted = ", ".join(header.requires)
    return Problem("requires", f"no cluster has the tags {wanted}: {lacking}")


def unknown_cluster(name: str, known: Iterable[str]) -> str:
    """Return what to say of a cluster that is neither set here nor was ever served."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3)
    if near:
        return f"no cluster {name!r}; did you mean {' or '.join(map(repr, near))}?"
    listed = f"known are {', '.join(names)}" if names else "none is set here, none was ever served"
    return f"no cluster {name!r}; {listed}"


def elsewhere(data: Mapping[str, Any], cluster: Clusters) -> dict[str, Any]:
    """Return a submission's plain values with another target; files stay where they are."""
    machine = data.get("machine") or data.get("batch")
    dropped = ("machine", "batch", "placement")
    rest = {key: value for key, value in data.items() if key not in dropped}
    root = machine.get("local_root") if isinstance(machine, dict) else None
    base = rest.get("work_base")
    if isinstance(root, str) and isinstance(base, str):
        rest["work_base"] = posixpath.join(root, base)
    return {**rest, "cluster": cluster}
