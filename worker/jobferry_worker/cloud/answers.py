"""What an answer of the platform means: its data, or an error that tells whether to try again.

    data_of(Answer(200, …, b'{"code": 0, "data": {"jobId": 7}}'), once=True)       {"jobId": 7}

The platform answers {"code": …, "data": …} or {"code": …, "message" or "error": …}, often with status 200. `once` says
that the request makes something: then an error inside the service does not tell whether that was made.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from jobferry_worker.cloud.errors import CloudError, Denied, NoAnswer, NotNow, NotThere, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobferry_worker.cloud.http import Answer

_FINE: Final = frozenset({"0", "0000"})
#: the service could not: database, another service, its data, its disk, unknown
_BROKEN: Final = frozenset({"2000", "2001", "2002", "2003", "2400"})
#: token, user, role, password, verification
_DENIED: Final = frozenset({"2100", "2102", "2103", "2104", "2105"})
_MISSING: Final = frozenset({"2300"})
_LIMITED: Final = re.compile(
    r"quota|limit|balance|arrear|insufficient|too many|frequen|busy|out of stock|try again", re.I
)
_LONGEST: Final = 300
#: stands for a secret
HIDDEN: Final = "***"

#: what a status means, whatever was asked for
_KINDS: Final[Mapping[int, type[CloudError]]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: Denied,
        HTTPStatus.FORBIDDEN: Denied,
        HTTPStatus.NOT_FOUND: NotThere,
        HTTPStatus.GONE: NotThere,
        HTTPStatus.TOO_MANY_REQUESTS: NotNow,
        HTTPStatus.SERVICE_UNAVAILABLE: NotNow,
    }
)


def data_of(answer: Answer, *, once: bool, secrets: Iterable[str] = ()) -> Any:  # noqa: ANN401 - it is JSON
    """Return what the service answered; none of the secrets is in an error.

    Raises:
        CloudError: it did not do it; which one says whether it may be tried again.
    """
    try:
        return _data_of(answer, once=once)
    except CloudError:
        return _data_of(_without(answer, secrets), once=once)


def _data_of(answer: Answer, *, once: bool) -> Any:  # noqa: ANN401 - it is JSON
    if (error := by_status(answer, once=once)) is not None:
        raise error
    found = _read(answer)
    if found is None:
        msg = f"the service answered {_short(answer.body.decode('utf-8', 'replace'))!r}, which is no JSON object"
        raise NoAnswer(msg)
    code = str(found.get("code", "0"))
    if code not in _FINE:
        raise _by_code(code, words(found), once=once)
    return found.get("data", found)


def by_status(
    answer: Answer, *, once: bool = False, secrets: Iterable[str] = ()
) -> CloudError | None:
    """Return the error that the status alone tells, without the secrets; None if it is fine."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    told = _without(answer, secrets)
    return _by_status(told, _read(told), once=once)


def _without(answer: Answer, secrets: Iterable[str]) -> Answer:
    """Return an answer without secrets that it repeats: here, because words are cut, and a secret with them."""
    body = answer.body
    for secret in filter(None, secrets):
        for form in (
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
        ):
            body = body.replace(form.encode(errors="surrogateescape"), HIDDEN.encode())
    return replace(answer, body=body)


def words(found: Mapping[str, Any]) -> str:
    """Return what the service says, wherever it says it."""
    for name in ("message", "msg", "error"):
        value = found.get(name)
        if isinstance(value, dict):
            value = value.get("msg") or value.get("message")
        if value:
            return _short(str(value))
    return "no reason was given"


def _read(answer: Answer) -> dict[str, Any] | None:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _by_status(answer: Answer, found: Mapping[str, Any] | None, *, once: bool) -> CloudError:
    status = answer.status
    said = words(found) if found else _short(answer.body.decode("utf-8", "replace")) or "nothing"
    text = f"status {status}: {said}"
    if found and str(found.get("code", "")) in _DENIED:
        return Denied(text)
    if kind := _KINDS.get(status):
        return kind(text)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return _unclear(text, once=once)
    if _LIMITED.search(said):
        return NotNow(text)
    return Refused(text)


def _by_code(code: str, said: str, *, once: bool) -> CloudError:
    text = f"code {code}: {said}"
    if code in _DENIED:
        return Denied(text)
    if code in _MISSING:
        return NotThere(text)
    if code in _BROKEN:
        return _unclear(text, once=once)
    if _LIMITED.search(said):
        return NotNow(text)
    return Refused(text)


def _unclear(text: str, *, once: bool) -> CloudError:
    """Return what an error inside the service means: what was to be made may have been made."""
    return NoAnswer(text) if once else NotNow(text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
