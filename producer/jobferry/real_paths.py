"""Real paths of many directories that lie side by side, without a look at each of their parents every time.

real("work/../run1")      '/data/run1'
"""

from __future__ import annotations

import os
import time
from typing import Final

#: for this long a directory's real path is taken for granted
_SECONDS: Final = 1.0
_MAX_KNOWN: Final = 10_000


class _RealPaths:
    """Real paths of parents, forgotten every second: a user may change a link between two submissions."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}
        self._since = 0.0

    def real(self, path: str) -> str:
        """Return the real path of a directory."""
        if ".." in path:  # beyond a link it means something else than it says
            return os.path.realpath(path)
        parent, name = os.path.split(os.path.abspath(path))  # noqa: PTH100
        joined = os.path.join(self._parent(parent), name)  # noqa: PTH118
        return os.path.realpath(joined) if os.path.islink(joined) else joined  # noqa: PTH114

    def _parent(self, path: str) -> str:
        now = time.monotonic()
        if now - self._since > _SECONDS or len(self._parents) >= _MAX_KNOWN:
            self._parents, self._since = {}, now
        found = self._parents.get(path)
        if found is None:
            found = self._parents[path] = os.path.realpath(path)
        return found


real = _RealPaths().real
