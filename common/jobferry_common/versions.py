"""The versions of what is stored and sent, and the refusal of what a newer jobferry made.

    known("the ledger", found, VERSION)      # nothing, or NewerVersion

One number stands for all of it: the ledger's keys, its records, the messages, and the traces on clusters. It goes up
when an older jobferry would misread what a newer one writes. Who meets a number that is too high leaves it alone.
"""

from __future__ import annotations

from typing import Final

from jobferry_common.errors import NewerVersion

#: of what this jobferry writes
VERSION: Final = 1
#: what was written before there were numbers
FIRST: Final = 1


def known(what: str, found: object) -> None:
    """Accept the version of a thing, or refuse to touch it.

    Args:
        what: what it is called in the message.
        found: its number; None or an empty text where it bears none.

    Raises:
        NewerVersion: a newer jobferry made it, or it is no number.
    """
    text = str(found) if found not in (None, "") else str(FIRST)
    if text.isdecimal() and FIRST <= int(text) <= VERSION:
        return
    msg = (
        f"{what} has version {text}, and this jobferry knows versions up to {VERSION}: it is left untouched. "
        "Install a newer jobferry here"
    )
    raise NewerVersion(msg)
