"""Values of the ledger that cannot be read: passed over with a warning, so that one of them does not hide all others.

for name in names:
with passed_over(ledger.key("flight", cluster), name):
keys.append(_job_key(name))
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import NewerVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG: Final = logging.getLogger(__name__)
#: what reading a value that is not what we wrote may raise
GARBLED: Final = (ValueError, TypeError, LookupError, AttributeError)
_GARBLED_OR_NEWER: Final = (*GARBLED, NewerVersion)
#: places that are remembered, so that each is told of once in a process
_REMEMBERED: Final = 10_000
_told: set[tuple[str, str]] = set()
_guard: Final = threading.Lock()


@contextmanager
def passed_over(key: str, part: object = "", *, newer: bool = False) -> Iterator[None]:
    """Leave the block where a value cannot be read; say so, once for each key and part of it.

    With `newer`, also where a newer jobferry wrote it.
    """
    try:
        yield
    except _GARBLED_OR_NEWER as error:
        if isinstance(error, NewerVersion) and not newer:
            raise
        if _is_new((key, str(part))):
            _LOG.warning(
                "The ledger's key %s%s cannot be read and is passed over (%s: %s). Expected is what jobferry wrote "
                "there: has another program, or another version, written to it?",
                *(key, f" {part}" if part != "" else "", type(error).__name__, error),
                extra={"action": "garbled"},
            )


def _is_new(place: tuple[str, str]) -> bool:
    with _guard:
        if place in _told:
            return False
        if len(_told) >= _REMEMBERED:
            _told.clear()
        _told.add(place)
        return True
