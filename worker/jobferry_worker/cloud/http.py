"""One HTTP request: verified TLS, limits of time, and whether it can have been carried out when no answer came.

http = Http()
http.send(Request(method="GET", url="https://openapi.dp.tech/openapi/v1/job/7", headers={…})).body

Plain HTTP is accepted from this machine only. Redirects are followed for downloads alone, which carry no credentials.
An address is shown without its query: a signed one is a secret.
"""

from __future__ import annotations

import logging
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from jobferry_worker.cloud.errors import NoAnswer, NotNow, Refused

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

# It would write each address with its query, and a signed address opens what it leads to.
logging.getLogger("urllib3").setLevel(logging.WARNING)

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_REDIRECTS: Final = range(5)
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
#: no answer in JSON is longer
_LONGEST: Final = 64 * 2**20
_CHUNK: Final = 2**18
#: that are kept open to one address
_CONNECTIONS: Final = 8

Body = bytes | Callable[[], IO[bytes]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent; a body that is a stream is opened for each attempt."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """A pool of connections."""

    def __init__(self, *, connect_seconds: float = 10.0, silence_seconds: float = 60.0) -> None:
        self._context = ssl.create_default_context()
        self._timeout = urllib3.Timeout(connect=connect_seconds, read=silence_seconds)
        self._pools: dict[str, urllib3.PoolManager] = {}

    def send(self, request: Request) -> Answer:
        """Send a request, and read the answer whole.

        Raises:
            NotNow: it was not sent.
            NoAnswer: it was sent, or may have been, and no answer came.
            Refused: the address may not be used.
        """
        with self._answer(request) as response:
            body = response.read(_LONGEST, decode_content=True)
            if response.read(1):
                msg = f"{shown(request.url)} answered more than {_LONGEST} bytes"
                raise NoAnswer(msg)
            return Answer(status=response.status, headers=_lower(response), body=body)

    @contextmanager
    def stream(self, url: str) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """Get what is at an address, as chunks; a redirect is followed. The answer itself holds no body.

        Raises:
            NotNow, NoAnswer, Refused: as `send`; also while the chunks are read.
        """
        for _ in _REDIRECTS:
            with self._answer(Request(method="GET", url=url)) as response:
                target = response.headers.get("Location")
                if response.status in _MOVED and target:
                    url = _redirected(url, target)
                    continue
                answer = Answer(status=response.status, headers=_lower(response), body=b"")
                yield answer, response.stream(_CHUNK)
                return
        msg = f"{shown(url)} is redirected without an end"
        raise Refused(msg)

    @contextmanager
    def _answer(self, request: Request) -> Iterator[BaseHTTPResponse]:
        checked(request.url)
        body = request.body() if callable(request.body) else request.body
        try:
            with _told(request.url):
                response = self._begun(request, body)
                try:
                    yield response
                finally:
                    response.close()
        finally:
            if body is not None and not isinstance(body, bytes):
                body.close()

    def _begun(self, request: Request, body: bytes | IO[bytes] | None) -> BaseHTTPResponse:
        try:
            return self._pool(request.url).request(
                request.method,
                request.url,
                headers=dict(request.headers),
                body=body,
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=self._timeout,
            )
        except HTTPError:
            raise
        except ValueError:  # its text holds the header, and that may be a secret
            what = "a header cannot be sent. Does a key or a token hold a line break?"
            msg = f"{shown(request.url)} was not asked: {what}"
            raise Refused(msg) from None

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme, "")
        if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
            proxy = ""
        if proxy not in self._pools:
            self._pools[proxy] = self._new(proxy)
        return self._pools[proxy]

    def _new(self, proxy: str) -> urllib3.PoolManager:
        if not proxy:
            return urllib3.PoolManager(maxsize=_CONNECTIONS, ssl_context=self._context)
        auth = urllib3.util.parse_url(proxy).auth
        headers = urllib3.make_headers(proxy_basic_auth=auth) if auth else None
        return urllib3.ProxyManager(
            proxy, maxsize=_CONNECTIONS, proxy_headers=headers, ssl_context=self._context
        )


def shown(url: str) -> str:
    """Return an address without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "what is no address"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def checked(url: str) -> str:
    """Return an address to which credentials may be sent.

    Raises:
        Refused: what is sent there could be read by others, or it is no address.
    """
    with suppress(ValueError):  # brackets that do not match, a port that is none
        parts = urlsplit(url)
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        if safe and parts.hostname and parts.port != 0:
            return url
    msg = f"{shown(url)!r} is no address that may be used; expected one that begins with https://"
    raise Refused(msg)


def _redirected(url: str, target: str) -> str:
    try:
        return urljoin(url, target)
    except ValueError:
        msg = f"{shown(url)} is redirected to what is no address"
        raise Refused(msg) from None


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn errors of the library into ours; its own texts may hold the whole address."""
    try:
        yield
    except SSLError as error:
        msg = f"{shown(url)} cannot be trusted: {_reason(error)}"
        raise NotNow(msg) from None
    except (NewConnectionError, ConnectTimeoutError, ProxyError) as error:
        msg = f"{shown(url)} cannot be reached ({type(error).__name__})"
        raise NotNow(msg) from None
    except (HTTPError, OSError) as error:
        msg = f"{shown(url)} did not answer ({type(error).__name__})"
        raise NoAnswer(msg) from None


def _reason(error: SSLError) -> str:
    inner = error.args[0] if error.args else error
    found = getattr(inner, "verify_message", "") or getattr(inner, "reason", "")
    return str(found or type(inner).__name__)


def _lower(response: BaseHTTPResponse) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
