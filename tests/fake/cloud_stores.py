"""The stores of objects of a fake cloud: OSS by a signature, the platform's own by a token, results by an address."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any, Final

from tests.fake.cloud_jobs import Platform, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

BUCKET: Final = "dpcloudserver"
_KEY_ID: Final = "STS.lent"
_SECRET: Final = "sts-geheim-secret"
_STS: Final = "sts-geheim-token"


class DeniedError(Exception):
    """Who asks is not who may."""


class Stores:
    """All three."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def lent(self) -> dict[str, str]:
        """Return a key for a while."""
        return {"AccessKeyId": _KEY_ID, "AccessKeySecret": _SECRET, "SecurityToken": _STS}

    def has(self, method: str, path: str) -> bool:
        """Tell whether a request is for a store."""
        return method == "PUT" or path.startswith(("/results/", "/api/upload/"))

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Message, body: bytes
    ) -> Any:
        """Carry out a request."""
        if method == "PUT":
            return self._put(path, headers, body)
        if path.startswith("/results/"):
            if query.get("token") != "url-geheim":
                raise DeniedError
            return self._platform.objects[path.lstrip("/")]
        return self._upload(path.removeprefix("/api/upload/"), headers, body)

    def _put(self, path: str, headers: Message, body: bytes) -> bytes:
        """Keep an object of OSS, if its signature and its digest are right."""
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        if headers.get("Content-MD5") != md5:
            raise RefusedError(400, "InvalidDigest")
        lines = ("PUT", md5, headers["Content-Type"], headers["Date"])
        text = "\n".join((*lines, f"x-oss-security-token:{_STS}", path))
        digest = hmac.new(_SECRET.encode(), text.encode(), hashlib.sha1).digest()
        wanted = f"OSS {_KEY_ID}:{base64.b64encode(digest).decode()}"
        if headers.get("Authorization") != wanted or headers.get("x-oss-security-token") != _STS:
            raise DeniedError
        self._platform.objects[path.removeprefix(f"/{BUCKET}/")] = body
        return b""

    def _upload(self, verb: str, headers: Message, body: bytes) -> dict[str, Any]:
        token = (headers.get("Authorization") or "").removeprefix("Bearer store-geheim-")
        place = self._platform.created.get(int(token or 0))
        coded = headers.get("X-Storage-Param")
        what = json.loads(base64.b64decode(coded) if coded else body)
        key = what.get("path") or what.get("objectKey") or ""
        if place is None or not key.startswith(place):
            raise DeniedError
        if verb == "binary":
            self._platform.objects[key] = body
            return {}
        return self._multipart(verb.removeprefix("multipart/"), key, what, body)

    def _multipart(
        self, verb: str, key: str, what: Mapping[str, Any], body: bytes
    ) -> dict[str, Any]:
        parts = self._platform.parts
        if verb == "init":
            parts[key] = {}
            return {"initialKey": f"init-{key}"}
        if what["initialKey"] != f"init-{key}":
            raise RefusedError(400, "no such upload")
        if verb == "upload":
            if len(body) != what["partSize"]:
                raise RefusedError(400, "bad part")
            parts[key][what["number"]] = body
            return {"partString": f"part-{what['number']}"}
        numbers = sorted(parts[key])
        if what["partString"] != [f"part-{number}" for number in numbers]:
            raise RefusedError(400, "parts lack")
        self._platform.objects[key] = b"".join(parts[key][number] for number in numbers)
        return {}
