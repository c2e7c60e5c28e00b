"""Results that the platform offers at an address.

download(http, job.result_url, Path("result.zip"))
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from jobferry_worker.cloud.answers import by_status
from jobferry_worker.cloud.api import patiently
from jobferry_worker.cloud.errors import NoAnswer
from jobferry_worker.cloud.http import Answer, Http, shown

if TYPE_CHECKING:
    from pathlib import Path


def download(http: Http, url: str, file: Path, *, pause_seconds: float = 0.5) -> None:
    """Bring what is at an address into a file, which is there whole or not at all.

    Raises:
        CloudError: it cannot be had; the message does not hold the whole address.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        patiently(lambda: _once(http, url, part), pause_seconds=pause_seconds)
        part.replace(file)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _once(http: Http, url: str, part: Path) -> None:
    with http.stream(url) as (answer, chunks), part.open("wb") as stream:
        if by_status(answer):
            body = next(chunks, b"")
            told = Answer(status=answer.status, headers=answer.headers, body=body)
            if error := by_status(told, secrets=(url.partition("?")[2],)):
                msg = f"{shown(url)}: {error}"
                raise type(error)(msg)
        for chunk in chunks:
            stream.write(chunk)
    wanted = answer.headers.get("content-length", "")
    if wanted.isdecimal() and not answer.headers.get("content-encoding"):
        size = part.stat().st_size
        if size != int(wanted):
            msg = f"{shown(url)} was cut short: {size} of {wanted} bytes"
            raise NoAnswer(msg)
