"""Codes of the second factor that change every half minute (RFC 6238, as authenticator apps make them).

Codes().next("JBSWY3DPEHPK3PXP")                '492039'
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import LoginRefused

if TYPE_CHECKING:
    from collections.abc import Callable

STEP_SECONDS: Final = 30
_DIGITS: Final = 6


class CodeUsed(LoginRefused):
    """The code of this half minute was sent already; servers take each only once."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "the TOTP code of this half minute was used already; the next one is waited for"
        )
        #: until the next code
        self.seconds = seconds


class Codes:
    """The codes of one account: none is given twice."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._used = -1

    def check(self) -> None:
        """Raise `CodeUsed` if the code of now was given already: who needed one needs one again."""
        now = self._clock()
        if now // STEP_SECONDS == self._used:
            raise CodeUsed((self._used + 1) * STEP_SECONDS - now)

    def next(self, secret: str) -> str:
        """Return the code of now.

        Raises:
            CodeUsed: it was given already.
            LoginRefused: the secret is no base32.
        """
        self.check()
        step = int(self._clock() // STEP_SECONDS)
        code = code_of(_key(secret), step)
        self._used = step
        return code


def code_of(key: bytes, counter: int) -> str:
    """Return the code of a counter (RFC 4226)."""
    digest = hmac.digest(key, counter.to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}d}"


def _key(secret: str) -> bytes:
    text = "".join(secret.split()).replace("-", "").upper().rstrip("=")
    try:
        return base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        msg = "totp_secret is no base32 text: expected what the site shows beside its QR code"
        raise LoginRefused(msg) from None
