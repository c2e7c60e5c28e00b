"""The way to a broker: Redis ≥ 6.2 or Valkey ≥ 8, over TCP, TLS, a unix socket or Sentinel.

    redis = connect("redis+socket:///run/user/7/broker.sock")
    for finding in check_server(redis):
        print(finding.what, finding.next_step)

`guarded` is the one place where an error of the Redis client becomes an error of jobferry.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import redis.exceptions as broken
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.connection import ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry
from redis.sentinel import Sentinel

from jobferry_common.broker_url import BrokerUrl
from jobferry_common.errors import BrokerUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

_LOG = logging.getLogger(__name__)

#: how long one answer may take; a blocking read waits for less
SOCKET_SECONDS: Final = 15.0
_CONNECT_SECONDS: Final = 3.0
_HEALTH_SECONDS: Final = 30
#: the client tries that many times more to connect, and each command as well: four connects at worst
_RETRIES: Final = 1
#: the first version of each kind of server that serves
_OLDEST: Final[Mapping[str, tuple[int, int]]] = {"redis": (6, 2), "valkey": (8, 0)}
_SWITCHES: Final[Mapping[str, bool]] = {"true": True, "false": False}
_NO_ANSWER: Final = (broken.ConnectionError, broken.TimeoutError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a server that a user should know."""

    grave: bool  #: True when work can be lost or refused
    what: str
    next_step: str


def connect(url: str, *, timeout: timedelta | None = None, check: bool = True) -> Redis:
    """Return a client of the broker at `url`; its answers are text.

    Args:
        url: an address, see `jobferry_common.broker_url`.
        timeout: how long to wait for a connection and for an answer.
        check: ask the server at once, so that a wrong address is told here.

    Raises:
        BadInput: the address cannot be read.
        BrokerUnreachable: the server does not answer, or is too old.
    """
    address = BrokerUrl.parse(url)
    seconds = SOCKET_SECONDS if timeout is None else timeout.total_seconds()
    with guarded(address.shown):
        client = _client(address, seconds)
        if check:
            _check_version(client, address.shown)
    return client


@contextmanager
def guarded(shown: str) -> Iterator[None]:
    """Turn what the Redis client raises into `BrokerUnreachable` with what to check."""
    try:
        yield
    except (broken.AuthenticationError, broken.NoPermissionError) as error:
        raise _refused(shown, error) from error
    except (broken.OutOfMemoryError, broken.ReadOnlyError) as error:
        raise _cannot_write(shown, error) from error
    except broken.MaxConnectionsError as error:
        msg = f"The broker {shown} has no connection left: {error}. Raise its maxclients."
        raise BrokerUnreachable(msg) from error
    except broken.BusyLoadingError as error:
        msg = f"The broker {shown} is still loading its data: try again in a moment."
        raise BrokerUnreachable(msg) from error
    except _NO_ANSWER as error:
        raise _silent(shown, error) from error
    except broken.ResponseError as error:
        meant = _translated(shown, error)
        if meant is None:
            raise
        raise meant from error


def is_too_old(kind: str, version: str) -> bool:
    """True for a version of "redis" or "valkey", such as "6.0.16", that lacks what the ledger needs."""
    major, minor, *_ = (*(int(part) for part in version.split(".") if part.isdigit()), 0, 0)
    return (major, minor) < _OLDEST[kind]


def is_silence(error: BrokerUnreachable) -> bool:
    """True where the server gave no answer at all, rather than one that does not help."""
    return isinstance(error.__cause__, _NO_ANSWER)


def describe(client: Redis) -> str:
    """Return the address of a client's server for messages, without its password."""
    known = client.connection_pool.connection_kwargs
    if "path" in known:
        return f"redis+socket://{known['path']}"
    host, port = known.get("host", "localhost"), known.get("port", "")
    return f"redis://{host}:{port}/{known.get('db') or 0}"


def send(client: Any, *command: object, **options: object) -> Any:  # noqa: ANN401 - untyped there
    """Send one command over a client or a pipeline; its answer has the command's shape."""
    return client.execute_command(*command, **options)


def check_server(client: Redis) -> list[Finding]:
    """Return what is wrong with the server for work that must not be lost; [] if nothing is.

    Raises:
        BrokerUnreachable: the server does not answer.
    """
    with guarded(describe(client)):
        info: dict[str, Any] = send(client, "INFO")
        settings = server_settings(client)
    checks = (_find_version(info), _find_appends(info, settings), _find_eviction(info, settings))
    return [finding for finding in checks if finding is not None]


def server_settings(client: Redis) -> dict[str, str]:
    """Return the server's settings that decide what it can forget; {} where they are a secret."""
    names = ("appendonly", "appendfsync", "maxmemory-policy")
    try:
        return {
            name: str(value)
            for key in names
            for name, value in send(client, "CONFIG GET", key).items()
        }
    except broken.ResponseError as error:
        _LOG.debug("the broker keeps its settings to itself: %s", error)
        return {}


def _client(address: BrokerUrl, seconds: float) -> Redis:
    if address.scheme == "sentinel":
        return _sentinel_client(address, seconds)
    # from_pool: closing the client ends its connections
    return Redis.from_pool(ConnectionPool(**_where(address), **_common(address, seconds)))


def _common(address: BrokerUrl, seconds: float) -> dict[str, Any]:
    return {
        "db": address.database,
        "username": address.username or None,
        "password": address.password or None,
        "decode_responses": True,
        # a file name in a reason need not be text
        "encoding_errors": "backslashreplace",
        "socket_timeout": seconds,
        "socket_connect_timeout": min(seconds, _CONNECT_SECONDS),
        "health_check_interval": _HEALTH_SECONDS,
        # every call of the ledger may be repeated: it is a compare-and-set
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES),
        "retry_on_error": [broken.ConnectionError, broken.TimeoutError],
    }


def _where(address: BrokerUrl) -> dict[str, Any]:
    if address.scheme == "redis+socket":
        return {"connection_class": UnixDomainSocketConnection, "path": address.path}
    host, port = address.hosts[0]
    where: dict[str, Any] = {"host": host, "port": port, "socket_keepalive": True}
    if address.tls:
        where["connection_class"] = SSLConnection
        ours = {key: value for key, value in address.query.items() if key.startswith("ssl_")}
        where |= {key: _SWITCHES.get(value, value) for key, value in ours.items()}
    return where


def _sentinel_client(address: BrokerUrl, seconds: float) -> Redis:
    own = {"socket_timeout": _CONNECT_SECONDS, "socket_connect_timeout": _CONNECT_SECONDS}
    secret = address.query.get("sentinel_password")
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        list(address.hosts), sentinel_kwargs={**own, "password": secret} if secret else own
    )
    client: Redis = sentinel.master_for(
        address.service, socket_keepalive=True, **_common(address, seconds)
    )
    return client


def _check_version(client: Redis, shown: str) -> None:
    finding = _find_version(send(client, "INFO", "server"))
    if finding is not None:
        msg = f"The broker {shown}: {finding.what}. {finding.next_step}"
        raise BrokerUnreachable(msg)


def _find_version(info: Mapping[str, Any]) -> Finding | None:
    kind = "valkey" if "valkey_version" in info else "redis"
    text = str(info[f"{kind}_version"])
    if not is_too_old(kind, text):
        return None
    what = f"it is {kind} {text}, which is too old"
    return Finding(grave=True, what=what, next_step="Use Redis 6.2 or Valkey 8, or a newer one.")


def _find_appends(info: Mapping[str, Any], settings: Mapping[str, str]) -> Finding | None:
    on = settings.get("appendonly", "yes" if info.get("aof_enabled") else "no")
    if on != "yes":
        what = "no append-only file is written: a restart forgets what was accepted since the dump"
        return Finding(grave=True, what=what, next_step="Set `appendonly yes`.")
    if settings.get("appendfsync", "always") == "always":
        return None
    what = f"appendfsync is {settings['appendfsync']}: a crash can forget the last second"
    return Finding(grave=False, what=what, next_step="Set `appendfsync always`.")


def _find_eviction(info: Mapping[str, Any], settings: Mapping[str, str]) -> Finding | None:
    policy = str(info.get("maxmemory_policy", settings.get("maxmemory-policy", "noeviction")))
    if policy == "noeviction":
        return None
    what = f"maxmemory-policy is {policy}: a full server throws work away"
    return Finding(grave=True, what=what, next_step="Set `maxmemory-policy noeviction`.")


def _silent(shown: str, error: Exception) -> BrokerUnreachable:
    msg = (
        f"The broker {shown} does not answer: {str(error).rstrip('.')}. Is it running, and is the address right? "
        "It is `broker` in config.toml or JOBFERRY_BROKER; `jobferry doctor` looks closer."
    )
    return BrokerUnreachable(msg)


def _refused(shown: str, error: Exception) -> BrokerUnreachable:
    msg = (
        f"The broker {shown} refuses us: {error}. Check user and password in its address "
        "(`broker` in config.toml or JOBFERRY_BROKER)."
    )
    return BrokerUnreachable(msg)


def _cannot_write(shown: str, error: Exception) -> BrokerUnreachable:
    msg = (
        f"The broker {shown} takes no writes: {error}. It is full (raise maxmemory, or "
        "`jobferry clean` old runs), or it is a replica (use the address of the primary)."
    )
    return BrokerUnreachable(msg)


def _translated(shown: str, error: broken.ResponseError) -> BrokerUnreachable | None:
    """Return what an error of the server means to a user: some reach us as text only."""
    text = str(error)
    if text.startswith(("OOM", "READONLY", "MISCONF")) or "OOM command" in text:
        return _cannot_write(shown, error)
    if text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
        return _refused(shown, error)
    return None
