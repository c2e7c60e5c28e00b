"""Seeds that found something: they are lived through first, for ever.

A seed decides the same only as long as the simulation draws the same, so each says what it found.
"""

from __future__ import annotations

from typing import Final

REGRESSIONS: Final[dict[int, str]] = {
    1280: "the broker forgot twice that a run has another number: its cluster knew it by that one alone",
    521: "a claim was made where nothing was mounted any more, in a pass that had seen the root",
    240: "a user died while giving up the last cluster of a run: what went back to the pool was offered to nobody",
    3158: "success marks were read while the root was not mounted, and the proof a moment after it was back",
    3198: "a broker that forgets after all faults are over: the producer has to present its run again",
}
