"""What both directions of a run's files need to know.

trip = Trip(far=far, header=header, layout=layout, squeezing=squeezing, renew=renew)
Sending(trip).send(pages)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobferry_common.document import Header
    from jobferry_common.scripts.layout import Layout
    from jobferry_worker.staging.streamed.far import Far
    from jobferry_worker.staging.streamed.squeezing import Squeezing


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """The files of one run, in one direction."""

    far: Far
    header: Header
    layout: Layout
    squeezing: Squeezing  #: what is known of this direction of the link
    copy_common: bool = (
        False  #: True: common files are copies of the cache's content, not links to it
    )
    renew: Callable[[], None]  #: holds the lease, called now and then while a stream takes its time
