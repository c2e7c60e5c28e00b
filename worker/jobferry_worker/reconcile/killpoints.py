"""The named points of a pass, where a test may end the worker: see `jobferry_common.killpoints`.

JOBFERRY_KILL_AT=after-reserve
"""

from __future__ import annotations

from typing import Final

from jobferry_common.killpoints import PASS, kill_here, trapped

__all__ = ["POINTS", "kill_here", "trapped"]

#: every point of a pass, in the order in which a job meets them
POINTS: Final = PASS
