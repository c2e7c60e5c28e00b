"""A cloud over HTTP, on this machine: both services of the platform, and both of its stores of objects.

with Cloud(tmp_path).running() as cloud:
    cloud.environment            # what leads a worker there
    cloud.fault("/brm/v2/job/add", after=True)         # the next one is carried out, and its answer is lost

Paths, fields and answers are those of the platform's public clients. It checks what they send: token, ticket or key,
the signature and the digest of an object, the fields of a job.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fake.cloud_jobs import PROJECT, Platform, RefusedError
from tests.fake.cloud_stores import BUCKET, DeniedError, Stores

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from email.message import Message
    from pathlib import Path

EMAIL: Final = "alice@example.org"
PASSWORD: Final = "pass-geheim-word"
TICKET: Final = "ticket-geheim-4711"
ACCESS_KEY: Final = "ak-geheim-0815"
APP_KEY: Final = "app-geheim-99"


@dataclass
class Fault:
    """What goes wrong with some requests to come."""

    path: str  #: the path of the request begins so
    status: int = 0  #: 0: the connection is closed without an answer
    after: bool = False  #: the request is carried out before
    times: int = 1
    body: str = '{"code": 2400, "message": "internal error"}'
    slow: threading.Event | None = None  #: it is carried out once this is set


class Cloud:
    """The server; one for each test."""

    def __init__(
        self, home: Path, *, slots: int = 8, context: ssl.SSLContext | None = None
    ) -> None:
        self.platform = Platform(home, slots=slots)
        self.requests: list[tuple[str, str]] = []  #: method and path with query, as they came
        self.headers: list[Mapping[str, str]] = []
        self.token_seconds = 3600.0
        self.longest_page = 50  #: whatever is asked for
        self._tokens: dict[str, float] = {}
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._stores = Stores(self.platform)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.cloud = self
        self._scheme = "http" if context is None else "https"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @contextmanager
    def running(self) -> Iterator[Cloud]:
        """Answer until the end of the block; then end its jobs, too."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
            self.platform.stop()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead a worker here."""
        return {
            "DPDISPATCHER_LEBESGUE_API_HOST": self.url,
            "DPDISPATCHER_LEBESGUE_ALI_STS_ENDPOINT": self.url,
            "DPDISPATCHER_LEBESGUE_ALI_STS_BUCKET_NAME": BUCKET,
            "BOHRIUM_BASE_URL": self.url,
            "TIEFBLUE_BASE_URL": self.url,
            "BOHRIUM_PROJECT_ID": str(PROJECT),
        }

    def fault(self, path: str, **known: Any) -> None:
        """Let requests to come go wrong; the fields are those of `Fault`."""
        with self._lock:
            self._faults.append(Fault(path, **known))

    def asked(self, path: str) -> int:
        """Return how many requests began with a path."""
        return sum(urlsplit(target).path.startswith(path) for _, target in self.requests)

    def expire(self) -> None:
        """Make every token of a login void."""
        self._tokens.clear()

    def next_fault(self, path: str) -> Fault | None:
        """Return what goes wrong with a request, if anything does."""
        with self._lock:
            for fault in self._faults:
                if path.startswith(fault.path) and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def log_in(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a token."""
        if (given.get("email"), given.get("password")) != (EMAIL, PASSWORD):
            raise RefusedError(2104, f"wrong password {given.get('password')!r}")
        token = f"jwt-geheim-{secrets.token_hex(8)}"
        self._tokens[token] = time.monotonic() + self.token_seconds
        return {"token": token, "user_id": 1}

    def check_account(self, headers: Message) -> None:
        """Refuse who has neither a ticket nor a token."""
        if headers.get("Brm-Ticket") == TICKET:
            return
        token = headers.get("Authorization", "").removeprefix("jwt ")
        if self._tokens.get(token, 0) < time.monotonic():
            raise DeniedError

    def answer(self, method: str, target: str, headers: Message, body: bytes) -> Any:
        """Carry out a request; return the data of its answer, or bytes."""
        parts = urlsplit(target)
        path = unquote(parts.path)
        query = {key: one[-1] for key, one in parse_qs(parts.query).items()}
        if self._stores.has(method, path):
            return self._stores.answer(method, path, query, headers, body)
        payload = json.loads(body) if body else {}
        if path == "/account/login":
            return self.log_in(payload)
        if path.startswith("/openapi/"):
            if headers.get("accessKey") != ACCESS_KEY:
                raise DeniedError
        else:
            self.check_account(headers)
        if path == "/data/get_sts_token":
            return self._stores.lent()
        _, _, version, rest = path.split("/", 3)
        return self._api(rest, query, payload, v=version)

    def _api(
        self, path: str, query: Mapping[str, str], payload: Mapping[str, Any], *, v: str
    ) -> Any:
        match v, path.split("/"):
            case "v1", ["job", "create"]:
                made = self.platform.create(payload)
                return {**made, "storeHost": self.url, "token": f"store-geheim-{made['jobId']}"}
            case "v2", ["job", "add"]:
                return self.platform.add(payload)
            case "v1", ["job", "list"]:
                return self._page(query)
            case "v1", ["job", "kill", key]:
                self.platform.kill(int(key))
                return {}
            case "v1", ["job", key]:
                item = self.platform.item(int(key))
                if item["resultUrl"]:
                    item["resultUrl"] = f"{self.url}/{item['resultUrl']}?token=url-geheim"
                return item
            case _:
                raise RefusedError(404, "no such path")

    def _page(self, query: Mapping[str, str]) -> dict[str, Any]:
        items = self.platform.items()
        if (group := int(query.get("groupId", "-1"))) > 0:
            items = [item for item in items if item["jobGroupId"] == group]
        size = min(int(query.get("pageSize", "10")), self.longest_page)
        page = max(int(query.get("page", "1")), 1)
        return {
            "items": items[(page - 1) * size : page * size],
            "total": len(items),
            "page": page,
            "pageSize": size,
        }


class _Server(ThreadingHTTPServer):
    cloud: Cloud


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def do_PUT(self) -> None:
        self._do()

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.cloud.requests.append((self.command, self.path))
        self.server.cloud.headers.append(dict(self.headers))
        fault = self.server.cloud.next_fault(self.path)
        if fault is None:
            self._send(*self._carried_out(body))
            return
        if fault.slow is not None:
            fault.slow.wait(30)
            self._send(*self._carried_out(body))
            return
        if fault.after:
            self._carried_out(body)
        self._fail(fault)

    def _carried_out(self, body: bytes) -> tuple[int, bytes]:
        try:
            data = self.server.cloud.answer(self.command, self.path, self.headers, body)
        except DeniedError:
            return 401, b'{"code": 2100, "message": "AccessKey Invalid"}'
        except RefusedError as error:
            if error.code < 1000:
                return error.code, json.dumps({"message": error.words}).encode()
            return 200, json.dumps({"code": error.code, "message": error.words}).encode()
        if isinstance(data, bytes):
            return 200, data
        return 200, json.dumps({"code": 0, "data": data}).encode()

    def _fail(self, fault: Fault) -> None:
        if fault.status:
            self._send(fault.status, fault.body.encode())
            return
        self.close_connection = True
        self.connection.close()

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
