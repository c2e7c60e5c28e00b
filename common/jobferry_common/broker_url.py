"""The address of a broker: what a user may write, and what may be shown of it.

    redis://:secret@host:6379/0                         TCP
    rediss://user:secret@host:6380/0?ssl_ca_certs=…     TLS
    redis+socket:///run/user/7/broker.sock?virtual_host=0
    sentinel://:secret@host1:26379,host2:26379/mymaster?db=0&sentinel_password=…

`BrokerUrl.parse(text).shown` hides the password; `.celery_url()` and `.celery_options()` are the same
address as kombu wants it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from jobferry_common.errors import BadInput, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_SOCKET: Final = ("redis+socket", "unix")
_SCHEMES: Final = ("redis", "rediss", *_SOCKET, "sentinel")
_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_MASTER: Final = "mymaster"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerUrl:
    """A parsed address."""

    scheme: str  #: "redis", "rediss", "redis+socket" or "sentinel"
    hosts: tuple[tuple[str, int], ...] = ()  #: one, or the sentinels
    path: str = ""  #: of the unix socket
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    service: str = ""  #: what the sentinels call the master
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str, where: str = "broker") -> BrokerUrl:
        """Read an address; `where` names the setting in messages."""
        scheme = text.partition("://")[0]
        if scheme not in _SCHEMES or "://" not in text:
            what = (
                f"{_hidden(text)!r} is no address of a broker: expected redis://host:6379/0, "
                "rediss://…, redis+socket:///path/to.sock or sentinel://host:26379/mymaster"
            )
            raise BadInput([Problem(where, what)])
        try:
            return _parse_socket(text) if scheme in _SOCKET else _parse_network(scheme, text)
        except ValueError as error:
            raise BadInput([Problem(where, f"{_hidden(text)!r}: {error}")]) from error

    @property
    def shown(self) -> str:
        """The address for messages, without a password."""
        return self._text(password="***" if self.password else "", query={})

    @property
    def tls(self) -> bool:
        """True when the connection is encrypted."""
        return self.scheme == "rediss"

    def celery_url(self) -> str:
        """Return the address as kombu reads it."""
        if self.scheme == "sentinel":
            user = self._user(self.password)
            return ";".join(
                f"sentinel://{user}{host}:{port}/{self.database}" for host, port in self.hosts
            )
        query = dict(self.query)
        if self.tls:
            query.setdefault("ssl_cert_reqs", "required")
        if self.scheme == "redis+socket":
            query = {"virtual_host": str(self.database)}
        return self._text(password=self.password, query=query)

    def celery_options(self) -> dict[str, object]:
        """Return what belongs into Celery's `broker_transport_options`."""
        if self.scheme != "sentinel":
            return {}
        sentinel = {"password": self.query["sentinel_password"]} if self._guarded() else {}
        return {"master_name": self.service, "sentinel_kwargs": sentinel}

    def _guarded(self) -> bool:
        return bool(self.query.get("sentinel_password"))

    def _user(self, password: str) -> str:
        if not (self.username or password):
            return ""
        shown = password if password == "***" else quote(password, safe="")  # noqa: S105
        return f"{quote(self.username, safe='')}{':' + shown if password else ''}@"

    def _text(self, *, password: str, query: Mapping[str, str]) -> str:
        tail = f"?{urlencode(query)}" if query else ""
        if self.scheme == "redis+socket":
            return f"{self.scheme}://{self._user(password)}{self.path}{tail}"
        hosts = ",".join(f"{_bracketed(host)}:{port}" for host, port in self.hosts)
        place = self.service if self.scheme == "sentinel" else str(self.database)
        return f"{self.scheme}://{self._user(password)}{hosts}/{place}{tail}"


def _hidden(text: str) -> str:
    """Return a text that is no address, without what may be its password."""
    head, at, tail = text.rpartition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at else text


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _parse_socket(text: str) -> BrokerUrl:
    parts = urlsplit(text)
    query = dict(parse_qsl(parts.query))
    if not parts.path.startswith("/") or parts.hostname:
        msg = "the path of a socket is absolute: redis+socket:///path/to.sock"
        raise ValueError(msg)
    database = query.pop("virtual_host", query.pop("db", "0"))
    return BrokerUrl(
        scheme="redis+socket",
        path=unquote(parts.path),
        database=_number(database.strip("/"), "database"),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or query.pop("password", "")),
        query=query,
    )


def _parse_network(scheme: str, text: str) -> BrokerUrl:
    """Read `scheme://user:password@host:port,…/place?query`; kombu's `;sentinel://` lists too."""
    rest = text.removeprefix(f"{scheme}://").replace(f";{scheme}://", ",")
    rest, _, tail = rest.partition("?")
    login, _, rest = rest.rpartition("@")
    hosts, _, place = rest.partition("/")
    query = dict(parse_qsl(tail))
    username, _, password = login.partition(":")
    default = _SENTINEL_PORT if scheme == "sentinel" else _REDIS_PORT
    addresses = tuple(_address(host, default) for host in hosts.split(",") if host)
    service, database = _place(scheme, place, query)
    return BrokerUrl(
        scheme=scheme,
        hosts=addresses or (("localhost", default),),
        database=_number(database, "database"),
        username=unquote(username),
        password=unquote(password),
        service=service,
        query=query,
    )


def _place(scheme: str, place: str, query: dict[str, str]) -> tuple[str, str]:
    """Return the sentinels' name of the master, and the database."""
    if scheme != "sentinel":
        return "", place or query.pop("db", "0")
    named = query.pop("master_name", "")
    if place.isdigit():
        return named or _MASTER, place
    return place or named or _MASTER, query.pop("db", "0")


def _address(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default)
    return host.strip("[]") or "localhost", _number(port, "port")


def _number(text: str, what: str) -> int:
    if not text.isdigit():
        msg = f"{text!r} is no {what}: expected a number"
        raise ValueError(msg)
    return int(text)
