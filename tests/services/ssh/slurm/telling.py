"""What the tests of a cluster behind ssh look at: why it is paused, why a run waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobferry_common.names import ClusterName
from tests.testbed.processes import wait_until
from tests.testbed.work import COPY, PATIENCE, Work

if TYPE_CHECKING:
    from pathlib import Path

    from jobferry import Handle
    from tests.testbed.fleet import Fleet


def submit(fleet: Fleet, work: Work, **keywords: Any) -> Handle:
    return fleet.submit(work.submission(cluster="far", **keywords))


def paused(fleet: Fleet) -> str:
    """Return why the cluster is paused; empty if it is not."""
    return fleet.client.ledger.cluster(ClusterName("far")).paused


def tell(fleet: Fleet, words: str) -> None:
    """Wait until the cluster is paused with such words."""
    wait_until(lambda: words in paused(fleet), f"paused: …{words}…", limit=PATIENCE)
    assert "Traceback" not in paused(fleet)


def told(fleet: Fleet, handle: Handle) -> str:
    """Return why a run waits; empty if it does not."""
    return fleet.ledger().run(handle.id).reason


def waiting(go: Path) -> str:
    """Return a command that copies once `go` exists."""
    return f"while ! [ -e {go} ]; do sleep 0.1; done; {COPY}"
