"""A service that answers what no service should: every answer ends in words of ours, and no secret is in them."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_worker.cloud.api import Api
from jobferry_worker.cloud.bohrium import Account, Bohrium
from jobferry_worker.cloud.download import download
from jobferry_worker.cloud.errors import CloudError, Refused
from jobferry_worker.cloud.http import Http, checked, shown
from jobferry_worker.cloud.jobs import NewJob, job_of
from jobferry_worker.cloud.openapi import AccessKey, OpenApi
from jobferry_worker.cloud.oss import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KEY = "ak-" + "s3cr3t/'\\" * 60
TOKEN = "lent-tok3n"
JOB = NewJob(name="jf.1", command="true", image="i", machine="c1_m1_cpu", results=("out",))


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """Serve one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(url: str, key: str = KEY) -> CloudError:
    api = Api(Http(), url, AccessKey(key=key), pause_seconds=0.001)
    with pytest.raises(CloudError) as caught:
        api.get("/x")
    return caught.value


@pytest.mark.parametrize("status", [200, 302, 400, 401, 500])
@pytest.mark.parametrize(
    "echo", [KEY, json.dumps({"code": 1, "message": f"no such key: {KEY}"}), f"{'a ' * 140}{KEY}"]
)
def test_a_key_that_is_repeated_is_not_shown_nor_a_piece_of_it(status: int, echo: str) -> None:
    with answering(status, echo.encode(), Location="http://other.example/") as url:
        words = str(asked(url))
    assert "s3cr" not in words


@pytest.mark.parametrize("key", ["k3y\r\nX-More: 1", "k3y\n", "\u4e2d"])
def test_a_key_that_no_header_can_carry_is_told_and_not_shown(key: str) -> None:
    with answering(200, b"{}") as url:
        error = asked(url, key)
    assert isinstance(error, Refused)
    assert "header" in str(error)
    assert key.strip() not in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    "body", [b"", b"[" * 100_000, b'{"code": NaN}', b"\xff\xfe", b'"x"', b'{"code": [[]]}']
)
def test_an_answer_that_is_none_is_told(body: bytes) -> None:
    with answering(200, body) as url:
        asked(url)


@pytest.mark.parametrize("number", ["Infinity", "-1e999", '"x"', "[]"])
def test_a_job_that_cannot_be_read_is_told(number: str) -> None:
    item = json.loads(f'{{"id": 1, "status": 2, "exitCode": {number}}}')
    with pytest.raises(CloudError, match="cannot be read"):
        job_of(item)


@pytest.mark.parametrize("url", ["https://[x", "https://a:b@[::1", "https://h:port"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        checked(url)
    shown(url)


def test_a_length_that_is_no_number_counts_as_none(tmp_path: Path) -> None:
    with answering(200, b"whole", Content_Length="many", Connection="close") as url:
        download(Http(), url, tmp_path / "file", pause_seconds=0.001)
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_what_a_store_repeats_of_a_lent_token_is_not_shown(tmp_path: Path) -> None:
    archive = tmp_path / "job.zip"
    archive.write_bytes(b"zip")
    lent: Mapping[str, Any] = {"AccessKeyId": "i", "AccessKeySecret": "s", "SecurityToken": TOKEN}
    made = {"jobId": 1, "storePath": "a", "token": TOKEN}
    with (
        answering(403, f"StringToSign: x-oss-security-token:{TOKEN}".encode()) as store,
        answering(200, json.dumps({"code": 0, "data": {**lent, **made}}).encode()) as url,
    ):
        account = Account(http=Http(), base=url, ticket="t1cket", pause_seconds=0.001)
        api = Api(Http(), url, AccessKey(key=KEY), pause_seconds=0.001)
        bucket = Bucket(endpoint=store, name="b")
        for cloud in (
            Bohrium(account, bucket=bucket, objects=store, project=1),
            OpenApi(api, project=1, store=store),
        ):
            with pytest.raises(CloudError) as caught:
                cloud.put(JOB, archive)
            assert "403" in str(caught.value)
            assert TOKEN not in str(caught.value)
