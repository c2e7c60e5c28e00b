"""Amounts as users write them: memory and times, kept in one spelling.

>>> memory("1.5 GB"), memory("512M"), mebibytes("1536MB")
('1536MB', '512MB', 1536)
>>> duration("90m"), duration("2-00:00:00"), seconds("48:00:00")
('01:30:00', '48:00:00', 172800)

Units of memory are powers of 1024, as every batch system counts them. A bare number is refused: what it counts
differs from one batch system to the next.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Final

from pydantic import AfterValidator, StrictStr

_MEMORY: Final = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s*([KMGT])(?:i?B)?\Z", re.I | re.A)
_MEBIBYTES: Final = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}
_CLOCK: Final = re.compile(r"(?:(\d{1,12})-)?(\d{1,12}):([0-5]\d):([0-5]\d)\Z", re.A)
_UNITS: Final = re.compile(r"(\d{1,12})\s*([smhd])\Z", re.I | re.A)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def memory(text: str) -> str:
    """Return an amount of memory in MB of 1024 x 1024 bytes, rounded up.

    Raises:
        ValueError: it is none.
    """
    found = _MEMORY.match(text.strip())
    amount = math.ceil(float(found[1]) * _MEBIBYTES[found[2].upper()]) if found else 0
    if not amount:
        msg = f"{text!r} is no amount of memory; expected one with its unit, such as '16GB' or '800MB'"
        raise ValueError(msg)
    return f"{amount}MB"


def mebibytes(amount: str) -> int:
    """Return what `memory` returned as a number of MiB."""
    return int(amount.removesuffix("MB"))


def duration(text: str) -> str:
    """Return a duration as HH:MM:SS.

    Raises:
        ValueError: it is none.
    """
    amount = _seconds(text.strip())
    if not amount:
        msg = f"{text!r} is no duration; expected '12:00:00', '2-00:00:00', '90m', '12h' or '2d'"
        raise ValueError(msg)
    return f"{amount // 3600:02}:{amount // 60 % 60:02}:{amount % 60:02}"


def seconds(text: str) -> int:
    """Return what `duration` returned in seconds."""
    return _seconds(text)


def _seconds(text: str) -> int:
    if found := _CLOCK.match(text):
        days, hours, minutes, rest = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if found := _UNITS.match(text):
        return int(found[1]) * _SECONDS[found[2].lower()]
    return 0


Memory = Annotated[StrictStr, AfterValidator(memory)]
Duration = Annotated[StrictStr, AfterValidator(duration)]
