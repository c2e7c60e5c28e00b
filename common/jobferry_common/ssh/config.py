"""How an account is reached: what the profile says, over ~/.ssh/config, over what OpenSSH takes for granted.

login = login_of(SshProfile(hostname="hpc1"))
login.name                                      'alice@login.hpc1.example:22'
login.jumps                                     the hosts of ProxyJump, in the order of the way
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import HostUnreachable
from jobferry_common.ssh.client_config import home, many, one, options_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import SecretStr

    from jobferry_common.models.profiles import SshProfile
    from jobferry_common.ssh.client_config import Options

_PORT: Final = 22
_HIGHEST_PORT: Final = 65535
_TIMEOUT_SECONDS: Final = 10.0
_KEEPALIVE_SECONDS: Final = 30.0
_MOST_JUMPS: Final = 10
#: times of OpenSSH's: numbers, each with its unit
_TIME_PART: Final = re.compile(r"([0-9]+)([smhdw]?)")
_TIME: Final = re.compile(r"([0-9]+[smhdw]?)+")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_KNOWN_HOSTS: Final = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_KNOWN_HOSTS: Final = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
#: nothing that a shell or an option could mean something else by
_HOST: Final = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.:%-]*\Z", re.ASCII)
_USER: Final = re.compile(r"[^-\s'\"`$;&<>|()\\{}*?][^\s'\"`$;&<>|(){}*?]*\Z")
_HOP: Final = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>\d+))?/?\Z"
)
_SETTING: Final = 'host_key_policy = "accept-new"'
#: the profile speaks of the last host of a way alone
_GATE_SETTING: Final = "StrictHostKeyChecking accept-new below Host {} of ~/.ssh/config"
#: as `ask` cannot be answered, and a changed key is never taken, these are what is left
_ACCEPTS_NEW: Final = frozenset({"accept-new", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What proves who we are; of each secret only where it is, or what is never shown."""

    keys: tuple[str, ...] = ()  #: files of private keys that were named
    default_keys: bool = True  #: True: ~/.ssh/id_* are tried as well
    certificates: tuple[str, ...] = ()  #: of the user, where they do not lie beside their keys
    agent: str | None = None  #: path of its socket
    named_only: bool = False  #: True: the agent is asked for the named keys only
    password: SecretStr | None = None
    passphrase: SecretStr | None = None
    totp_secret: SecretStr | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Which host keys are believed."""

    name: str  #: under which known_hosts has the host
    port: int
    files: tuple[str, ...]  #: known_hosts of the user; the first takes new keys
    global_files: tuple[str, ...]
    accept_new: bool = False
    setting: str = _SETTING  #: what would make it so, for messages
    hashed: bool = False  #: True: the names of new hosts are hashed
    revoked: tuple[str, ...] = ()  #: files of keys that are refused
    algorithms: str = ""  #: HostKeyAlgorithms: with which keys a host may prove itself; "": with all that are known


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One login, ready to be carried out."""

    host: str
    port: int
    user: str
    by_hand: str  #: the command by which a user does the same, for messages
    timeout_seconds: float
    keepalive_seconds: float
    family: socket.AddressFamily
    credentials: Credentials
    trust: Trust
    proxy_command: str | None = None
    jumps: tuple[Login, ...] = ()

    @property
    def name(self) -> str:
        """For messages: "alice@login.hpc1:22"."""
        return f"{self.user}@{bracketed(self.host)}:{self.port}"

    @property
    def account(self) -> str:
        """Whose jobs these are: "alice@login.hpc1"."""
        port = "" if self.port == _PORT else f":{self.port}"
        return f"{self.user}@{bracketed(self.host) if port else self.host}{port}"


def login_of(profile: SshProfile) -> Login:
    """Return how the account of a profile is reached.

    Raises:
        HostUnreachable: profile and ~/.ssh/config do not say it, or contradict themselves.
    """
    alias, port = split_port(profile.hostname)
    above = {
        "Port": str(profile.port or port or ""),
        "User": profile.username or "",
        "ProxyCommand": profile.proxy_command or "",
    }
    options = options_of(alias, {key: value for key, value in above.items() if value})
    if profile.proxy_command:
        options = {**options, "proxyjump": None}
    return _login(alias, options, profile, ())


def bracketed(host: str) -> str:
    """Return an IPv6 address in brackets, and any other host as it is."""
    return f"[{host}]" if ":" in host else host


def split_port(text: str) -> tuple[str, int | None]:
    """Return host and port of "host", "host:22", "::1", "[::1]" or "[::1]:22"."""
    found = _HOP.match(text)
    if found is None or found["user"] or text.startswith("ssh://"):
        return text.strip("[]"), None
    return found["host"].strip("[]"), int(found["port"]) if found["port"] else None


def _login(alias: str, options: Options, profile: SshProfile | None, way: tuple[str, ...]) -> Login:
    host = (one(options, "hostname") or alias).strip("[]")
    user = one(options, "user") or getpass.getuser()
    port = _number(options, "port", _PORT)
    _check(alias, host, user, port)
    tokens = _tokens(alias, host, user, port)
    command = _command(options, tokens)
    seconds = profile.timeout if profile else None
    return Login(
        host=host,
        port=port,
        user=user,
        by_hand=_by_hand(alias, host, user, port, profile),
        timeout_seconds=seconds or _seconds(options, "connecttimeout") or _TIMEOUT_SECONDS,
        keepalive_seconds=_seconds(options, "serveraliveinterval") or _KEEPALIVE_SECONDS,
        family=_family(options),
        credentials=_credentials(options, tokens, profile),
        trust=_trust(options, tokens, profile),
        proxy_command=command,
        jumps=() if command else _jumps(options, tokens, (*way, alias)),
    )


def _by_hand(alias: str, host: str, user: str, port: int, profile: SshProfile | None) -> str:
    key = f" -i {profile.key_filename}" if profile and profile.key_filename else ""
    if alias != host and (profile is None or not (profile.username or profile.port)):
        return f"ssh{key} {alias}"
    return f"ssh{key}{'' if port == _PORT else f' -p {port}'} {user}@{host}"


def _jumps(options: Options, tokens: Mapping[str, str], way: tuple[str, ...]) -> tuple[Login, ...]:
    """Return the hosts on the way, those through which the first one is reached included."""
    text = one(options, "proxyjump")
    if text is None or text.lower() == "none":
        return ()
    if len(way) > _MOST_JUMPS:
        msg = (
            f"ProxyJump leads in a circle, or over more than {_MOST_JUMPS} hosts: {' → '.join(way)}"
        )
        raise HostUnreachable(msg)
    hops = [_hop(part.strip(), way) for part in _expanded(text, tokens).split(",")]
    first, options_of_first = hops[0]
    nearest = _login(first, options_of_first, None, way)
    # the others are reached through the one before them, whatever the configuration says
    others = [_login(alias, {**found, "proxyjump": None}, None, way) for alias, found in hops[1:]]
    return (*nearest.jumps, nearest, *others)


def _hop(text: str, way: tuple[str, ...]) -> tuple[str, Options]:
    found = _HOP.match(text)
    if found is None:
        msg = f"ProxyJump of {way[-1]} names {text!r}: expected [user@]host[:port]"
        raise HostUnreachable(msg)
    above = {"Port": found["port"], "User": found["user"]}
    alias = found["host"].strip("[]")
    return alias, options_of(alias, {key: value for key, value in above.items() if value})


def _credentials(
    options: Options, tokens: Mapping[str, str], profile: SshProfile | None
) -> Credentials:
    configured = many(options, "identityfile")
    own = [profile.key_filename] if profile and profile.key_filename else []
    return Credentials(
        keys=_paths([*own, *configured], tokens),
        default_keys=not configured and (profile is None or profile.look_for_keys),
        certificates=_paths(many(options, "certificatefile"), tokens),
        agent=_agent(options, tokens),
        named_only=one(options, "identitiesonly") == "yes",
        password=profile.password if profile else None,
        passphrase=profile.passphrase if profile else None,
        totp_secret=profile.totp_secret if profile else None,
    )


def _agent(options: Options, tokens: Mapping[str, str]) -> str | None:
    text = one(options, "identityagent") or "SSH_AUTH_SOCK"
    if text.lower() == "none":
        return None
    if text == "SSH_AUTH_SOCK" or text.startswith("$"):
        return os.environ.get(text.strip("${}")) or None
    return _path(text, tokens)


def _trust(options: Options, tokens: Mapping[str, str], profile: SshProfile | None) -> Trust:
    configured = (one(options, "stricthostkeychecking") or "").lower()
    policy = (profile and profile.host_key_policy) or configured
    return Trust(
        name=(one(options, "hostkeyalias") or tokens["h"]).lower(),
        port=_PORT if one(options, "hostkeyalias") else int(tokens["p"]),
        files=_paths(many(options, "userknownhostsfile") or _KNOWN_HOSTS, tokens),
        global_files=_paths(many(options, "globalknownhostsfile") or _GLOBAL_KNOWN_HOSTS, tokens),
        accept_new=policy in _ACCEPTS_NEW,
        setting=_SETTING if profile else _GATE_SETTING.format(tokens["n"]),
        hashed=one(options, "hashknownhosts") == "yes",
        revoked=_paths(many(options, "revokedhostkeys"), tokens),
        algorithms=one(options, "hostkeyalgorithms") or "",
    )


def _command(options: Options, tokens: Mapping[str, str]) -> str | None:
    text = one(options, "proxycommand")
    if text is None or text.lower() == "none":
        return None
    if (one(options, "proxyusefdpass") or "no").lower() == "yes":
        msg = f"~/.ssh/config has ProxyUseFdpass for {tokens['n']}: expected a ProxyCommand that stays"
        raise HostUnreachable(msg)
    return _expanded(text, tokens)


def _paths(texts: Sequence[str], tokens: Mapping[str, str]) -> tuple[str, ...]:
    known = [_path(text, tokens) for text in texts if text.lower() != "none"]
    return tuple(dict.fromkeys(known))


def _path(text: str, tokens: Mapping[str, str]) -> str:
    expanded = re.sub(
        r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), _expanded(text, tokens)
    )
    return os.path.abspath(os.path.expanduser(expanded))  # noqa: PTH100, PTH111


def _tokens(alias: str, host: str, user: str, port: int) -> Mapping[str, str]:
    machine = socket.gethostname()
    return {
        "%": "%",
        "h": host,
        "n": alias,
        "p": str(port),
        "r": user,
        "d": home(),
        "u": getpass.getuser(),
        "l": machine,
        "L": machine.partition(".")[0],
    }


def _expanded(text: str, tokens: Mapping[str, str]) -> str:
    return re.sub(r"%(.)", lambda found: tokens.get(found[1], found[0]), text)


def _number(options: Options, key: str, default: int) -> int:
    text = one(options, key) or "none"
    if text.lower() == "none":
        return default
    if not text.isascii() or not text.isdigit():
        msg = f"~/.ssh/config: {key} is {text!r}: expected a number"
        raise HostUnreachable(msg)
    return int(text)


def _seconds(options: Options, key: str) -> int:
    """Return a time as OpenSSH has it: "90", "90s" or "1m30s"; 0 if it is not given."""
    text = (one(options, key) or "").lower()
    if not _TIME.fullmatch(text):
        return _number(options, key, 0)
    return sum(int(count) * _UNITS[unit] for count, unit in _TIME_PART.findall(text))


def _family(options: Options) -> socket.AddressFamily:
    families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
    return families.get((one(options, "addressfamily") or "").lower(), socket.AF_UNSPEC)


def _check(alias: str, host: str, user: str, port: int) -> None:
    """Refuse what a proxy command could take for an option or for more than one word."""
    if not _HOST.match(host):
        msg = f"{host!r} (of {alias!r}) is no name or address of a host"
    elif not _USER.match(user):
        msg = f"{user!r} is no name of a user on {host}"
    elif not 0 < port <= _HIGHEST_PORT:
        msg = f"{port} is no port of {host}: expected 1 to {_HIGHEST_PORT}"
    else:
        return
    raise HostUnreachable(msg)
