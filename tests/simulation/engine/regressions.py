"""Seeds that found something: they are lived through first, for ever.

A seed decides the same only as long as the simulation draws the same, so each says what it found.
"""

from __future__ import annotations

from typing import Final

REGRESSIONS: Final[dict[int, str]] = {}
