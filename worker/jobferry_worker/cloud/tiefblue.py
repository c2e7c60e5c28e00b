"""Objects in the platform's own store, which hands out address, path and token with each job that is created.

Tiefblue(http, host, token).put(f"{path}job.zip", file)

A file of up to 100 MiB goes in one request, a larger one in parts of 50 MiB.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from jobferry_worker.cloud.answers import data_of
from jobferry_worker.cloud.api import patiently
from jobferry_worker.cloud.errors import NoAnswer
from jobferry_worker.cloud.http import Body, Http, Request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PART: Final = 50 * 2**20
_PARAMETER: Final = "X-Storage-Param"


class Tiefblue:
    """The store, with the token of one job."""

    def __init__(
        self, http: Http, host: str, token: str, *, part: int = PART, pause_seconds: float = 0.5
    ) -> None:
        self._http = http
        self._host = host.rstrip("/")
        self._token = token
        self._part = part
        self._pause = pause_seconds

    def put(self, key: str, file: Path) -> None:
        """Put a file; the same key again replaces it.

        Raises:
            CloudError: it is not there, or nobody knows.
        """
        name = key.rpartition("/")[2]
        option = {"contentDisposition": f'attachment; filename="{name}"'}
        size = file.stat().st_size
        if size <= 2 * self._part:
            headers = _parameter({"path": key, "option": option}) | {"Content-Length": str(size)}
            self._post("/api/upload/binary", headers, lambda: file.open("rb"))
            return
        begun = self._json("multipart/init", {"path": key, "option": option})
        first = _told(begun, "initialKey")
        parts = [self._put_part(key, first, at, file) for at in range(0, size, self._part)]
        done = {"path": key, "initialKey": first, "partString": parts}
        self._json("multipart/complete", done)

    def _put_part(self, key: str, first: str, at: int, file: Path) -> str:
        with file.open("rb") as stream:
            stream.seek(at)
            content = stream.read(self._part)
        what = {
            "initialKey": first,
            "number": at // self._part + 1,
            "partSize": len(content),
            "objectKey": key,
        }
        found = self._post("/api/upload/multipart/upload", _parameter(what), content)
        return _told(found, "partString")

    def _json(self, verb: str, payload: Mapping[str, Any]) -> Any:  # noqa: ANN401 - it is JSON
        headers = {"Content-Type": "application/json"}
        body = json.dumps(payload).encode()
        return self._post(f"/api/upload/{verb}", headers, body)

    def _post(self, path: str, headers: Mapping[str, str], body: Body) -> Any:  # noqa: ANN401
        proof = {"Authorization": f"Bearer {self._token}"}
        request = Request(
            method="POST", url=self._host + path, headers={**headers, **proof}, body=body
        )
        return patiently(
            lambda: data_of(self._http.send(request), once=False, secrets=(self._token,)),
            pause_seconds=self._pause,
        )


def _parameter(what: Mapping[str, Any]) -> dict[str, str]:
    return {_PARAMETER: base64.b64encode(json.dumps(what).encode()).decode()}


def _told(found: Any, name: str) -> str:  # noqa: ANN401 - it is JSON
    value = found.get(name) if isinstance(found, dict) else None
    if not value:
        msg = f"the store of objects told no {name!r}"
        raise NoAnswer(msg)
    return str(value)
