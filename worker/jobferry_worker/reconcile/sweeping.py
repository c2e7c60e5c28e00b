"""Hints that were read leave the spool: over a link many of them with one command, which is a process there.

    leave(p, ["5e7-1.0.1"])     # read; nothing is removed yet where the cluster is far
    sweep(p, out=0)             # removed now: nothing is out any more

What lies there until then is known, and does not count as something new. A worker that dies forgets it; the next one
finds those hints, sees that nobody needs them, and removes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.scripts.layout import parse_hint
from jobferry_worker.reconcile.actions import Try

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobferry_worker.reconcile.passes import Pass

#: between two removals while jobs are out, and how many hints may lie there meanwhile
_REST_SECONDS: Final = 15.0
_MOST: Final = 1000


def leave(p: Pass, names: Iterable[str]) -> None:
    """Have hints removed that nobody needs any more, at once or with others."""
    lying = {name for name in names if p.cluster.is_far and not _may_come_again(p, name)}
    if at_once := [name for name in names if name not in lying]:
        p.remove([f"{p.spool}/{name}" for name in at_once])
    if lying and not p.memory.lying:
        p.memory.swept = p.steady()
    p.memory.lying |= lying


def sweep(p: Pass, *, out: int) -> None:
    """Remove what lies there, once nothing is `out`, or when it is much or old."""
    lying = p.memory.lying
    rests = p.steady() - p.memory.swept < _REST_SECONDS
    if not lying or (out and rests and len(lying) < _MOST):
        return
    p.remove([f"{p.spool}/{name}" for name in sorted(lying)])
    p.memory.lying = frozenset()


def _may_come_again(p: Pass, name: str) -> bool:
    """Tell whether the job may leave this very hint once more: after a record that was for the time being."""
    hint = parse_hint(name)
    return hint is None or Try(*hint) in p.memory.provisional
