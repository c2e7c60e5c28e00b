"""What a worker remembers, between passes, of the runs that its cluster shares with others, and of those others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobferry_worker.reconcile.peers import Peers

if TYPE_CHECKING:
    from jobferry_common.names import RunId


class MemoryOfOthers:
    """The part of `Memory` that shared runs need."""

    def __init__(self) -> None:
        #: other clusters, and what was last seen of them
        self.peers = Peers()
        #: since when shared runs are asked about, under which broker; the next try
        self.asked_since: dict[str, float] = {}
        self.answer_at = 0.0
        #: runs that were given up here: since when this worker knows; when the scheduler is asked about them next
        self.strays_since: dict[RunId, float] = {}
        self.strays_at = 0.0
        #: open runs that any cluster may join, and that were looked at
        self.joined: set[RunId] = set()
        #: since when work of a shared run is left to a better liked cluster
        self.offered: dict[RunId, float] = {}
        #: shared runs whose common files were brought here
        self.commons: set[RunId] = set()
        #: shared runs whose files cannot be brought here now: how often in a row, and until when they rest
        self.unstageable: dict[RunId, tuple[int, float]] = {}
