"""Objects in Alibaba's OSS, with a key that is lent for a while: where Bohrium wants a job's archive.

Oss(http, place, lent).put("program/7/jf.3f2a…/job.zip", path)

The signature is version 1 in the header (HMAC-SHA1 over method, digest, type, date, lent token and object), because
the address alone does not tell the region that version 4 signs. The service compares the MD5 of what arrives.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from email.utils import formatdate
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from jobferry_worker.cloud.answers import by_status
from jobferry_worker.cloud.errors import Refused
from jobferry_worker.cloud.http import Http, Request

if TYPE_CHECKING:
    from pathlib import Path

_TYPE: Final = "application/zip"
#: of one request that puts an object
_LARGEST: Final = 5 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Where objects go."""

    endpoint: str  #: "https://oss-cn-shenzhen.aliyuncs.com"
    name: str

    def url(self, key: str) -> str:
        """Return the address of an object; a host without a name has the bucket in its path."""
        parts = urlsplit(self.endpoint)
        path = quote(key, safe="/~")
        if _has_no_name(parts.hostname or ""):
            return f"{parts.scheme}://{parts.netloc}/{self.name}/{path}"
        return f"{parts.scheme}://{self.name}.{parts.netloc}/{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """A key that runs out by itself."""

    key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)


def put(http: Http, bucket: Bucket, lent: Lent, key: str, file: Path) -> None:
    """Put a file; the same key again replaces it.

    Raises:
        CloudError: it is not there, or nobody knows.
    """
    size = file.stat().st_size
    if size > _LARGEST:
        msg = f"the archive of the job has {size} bytes, and one upload holds {_LARGEST}; make group_size smaller"
        raise Refused(msg)
    headers = _signed(bucket, lent, key, _md5(file)) | {"Content-Length": str(size)}
    request = Request(
        method="PUT", url=bucket.url(key), headers=headers, body=lambda: file.open("rb")
    )
    # a signature that does not fit is answered with the text that was to be signed
    if error := by_status(http.send(request), secrets=(lent.token, lent.secret)):
        raise error


def _signed(bucket: Bucket, lent: Lent, key: str, md5: str) -> dict[str, str]:
    date = formatdate(usegmt=True)
    what = f"PUT\n{md5}\n{_TYPE}\n{date}\nx-oss-security-token:{lent.token}\n/{bucket.name}/{key}"
    digest = hmac.new(lent.secret.encode(), what.encode(), hashlib.sha1).digest()
    return {
        "Content-MD5": md5,
        "Content-Type": _TYPE,
        "Date": date,
        "x-oss-security-token": lent.token,
        "Authorization": f"OSS {lent.key_id}:{base64.b64encode(digest).decode()}",
    }


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()


def _has_no_name(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
