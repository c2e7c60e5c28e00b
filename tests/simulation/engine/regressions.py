"""Seeds that found something: they are lived through first, for ever.

A seed decides the same only as long as the simulation draws the same, so each says what it found.
"""

from __future__ import annotations

from typing import Final

REGRESSIONS: Final[dict[int, str]] = {
    240: "a user died while giving up the last cluster of a run: what went back to the pool was offered to nobody",
    3158: "success marks were read while the root was not mounted, and the proof a moment after it was back",
    3198: "a broker that forgets after all faults are over: the producer has to present its run again",
}
