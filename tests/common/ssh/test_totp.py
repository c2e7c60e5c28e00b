"""Codes of RFC 6238, and that none is given twice."""

from __future__ import annotations

import base64

import pytest

from jobferry_common.errors import LoginRefused
from jobferry_common.ssh.totp import Codes, CodeUsed, code_of

KEY = b"12345678901234567890"
#: of RFC 6238, appendix B, cut to six digits
VECTORS = {
    59: "287082",
    1111111109: "081804",
    1111111111: "050471",
    1234567890: "005924",
    2000000000: "279037",
    20000000000: "353130",
}


@pytest.mark.parametrize(("time", "code"), VECTORS.items())
def test_codes_are_those_of_the_rfc(time: int, code: str) -> None:
    secret = base64.b32encode(KEY).decode()
    assert Codes(lambda: time).next(secret) == code
    spaced = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4)).lower()
    assert Codes(lambda: time).next(spaced) == code


def test_short_secrets_need_no_padding() -> None:
    assert Codes(lambda: 0).next("MFRGG") == code_of(b"abc", 0)


def test_no_code_is_given_twice() -> None:
    now = [100.0]
    codes = Codes(lambda: now[0])
    codes.next("MFRGG")
    with pytest.raises(CodeUsed) as caught:
        codes.next("MFRGG")
    assert caught.value.seconds == 20
    now[0] = 120.0
    codes.next("MFRGG")


def test_what_is_no_base32_is_refused_without_being_shown() -> None:
    with pytest.raises(LoginRefused) as caught:
        Codes().next("geheim!1")
    assert "geheim" not in str(caught.value)
