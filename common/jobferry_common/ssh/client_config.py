"""The user's ssh configuration, read as OpenSSH reads it: ~/.ssh/config, then /etc/ssh/ssh_config.

    options = options_of("hpc1", {"port": "2222"})
    options["hostname"], options["port"]            'login.hpc1.example', '2222'

paramiko evaluates Host and Match; `Include` is resolved here, because paramiko does not know it.
"""

from __future__ import annotations

import glob
import logging
import os
import re
import shlex
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import paramiko

from jobferry_common.errors import HostUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Options = Mapping[str, str | list[str] | None]

logger: Final = logging.getLogger(__name__)

#: OpenSSH's own limit of nested files
_DEEPEST: Final = 16
_EXEC_SECONDS: Final = 10.0
_KEYWORD: Final = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.*?)\s*\Z")
#: of these all of the line counts
_COMMANDS: Final = frozenset(("proxycommand", "knownhostscommand", "localcommand", "remotecommand"))
#: words, quoted or not, before a comment
_COMMENT: Final = re.compile(r'^((?:"[^"]*"|[^"#]|(?<=\S)#)*?)\s+#.*')
_EVERY_HOST: Final = "Host *"
_NO_HOST: Final = "Host !*"
#: an option of our own, by which it is seen whether a line counts
_PROBE: Final = "jobferryprobe"
_CERTIFICATE: Final = "certificatefile"
#: what a Match may ask for here; OpenSSH takes them in any case, and an equals sign behind them
_CRITERIA: Final = frozenset(
    ("all", "canonical", "final", "exec", "host", "originalhost", "user", "localuser")
)
_CRITERION: Final = re.compile(r'(!?[A-Za-z]+)(?:=("[^"]*"|\S*))?(?=\s|\Z)|"[^"]*"|\S+')


class _Config(paramiko.SSHConfig):
    """paramiko replaces `~` and % signs wherever they stand, and knows no %%; all but HostName is done by us."""

    TOKENS_BY_CONFIG_KEY = {"hostname": ["%h"], "match-exec": ["%h", "%n", "%p", "%r", "%u"]}  # noqa: RUF012

    def _tokenize(self, config: Any, target_hostname: str, key: str, value: str) -> str:  # noqa: ANN401
        """Do what paramiko does, but know %% in HostName."""
        if key == "hostname":
            known = {"%": "%", "h": target_hostname}
            return re.sub("%([%h])", lambda found: known[found[1]], value)
        return str(super()._tokenize(config, target_hostname, key, value))  # type: ignore[misc]

    def lookup(self, hostname: str) -> Any:  # noqa: ANN401
        """Do what paramiko does, but make canonical what HostName says, and only where OpenSSH would."""
        options = self._lookup(hostname)  # type: ignore[attr-defined]
        name = self._tokenize(options, hostname, "hostname", options.get("hostname") or hostname)
        options.setdefault("hostname", hostname)
        if not _is_made_canonical(options, name):
            return self._lookup(hostname, options, canonical=False, final=True)  # type: ignore[attr-defined]
        domains = (options.get("canonicaldomains") or "").split()
        options["hostname"] = self.canonicalize(name, options, domains)
        # patterns of Host are compared with the new name
        return self._lookup(options["hostname"], options, canonical=True, final=True)  # type: ignore[attr-defined]

    def _does_match(
        self,
        match_list: Sequence[Mapping[str, Any]],
        target_hostname: str,
        canonical: bool,
        final: bool,
        options: Any,  # noqa: ANN401
    ) -> bool:
        """Do what paramiko does, but run the commands of `Match exec` ourselves: it would give them our stdin."""
        if not match_list or any(one["type"] not in _CRITERIA for one in match_list):
            return False
        others = [one for one in match_list if one["type"] != "exec"]
        given = (target_hostname, canonical, final, options)
        if others and not super()._does_match(others, *given):  # type: ignore[misc]
            return False
        return all(
            _succeeds(self._tokenize(options, target_hostname, "match-exec", one["param"]))
            is not one["negate"]
            for one in match_list
            if one["type"] == "exec"
        )


def _is_made_canonical(options: Options, name: str) -> bool:
    """Tell whether a name gets a domain of CanonicalDomains, if it is one there.

    Raises:
        HostUnreachable: what follows from it cannot be known here.
    """
    asked = (one(options, "canonicalizehostname") or "no").lower()
    ways = (one(options, key) or "none" for key in ("proxyjump", "proxycommand"))
    by_proxy = any(way.lower() != "none" for way in ways)
    dots = one(options, "canonicalizemaxdots") or "1"
    if asked not in ("yes", "always") or (asked == "yes" and by_proxy) or ":" in name:
        return False
    if (one(options, "canonicalizepermittedcnames") or "none").lower() != "none":
        msg = "CanonicalizePermittedCNAMEs is not known here, and may lead to another host: write its full HostName"
        raise HostUnreachable(msg)
    return name.count(".") <= (int(dots) if dots.isdecimal() else 1)


def _succeeds(command: str) -> bool:
    """Run a command of the user's own configuration, in a shell as OpenSSH does."""
    argv = ("/bin/sh", "-c", command)
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(
            argv, stdin=quiet, stdout=quiet, stderr=quiet, timeout=_EXEC_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def options_of(alias: str, above: Mapping[str, str]) -> Options:
    """Return the options of a host, keys in lower case.

    Args:
        alias: what the user calls the host.
        above: options that come before the files, as those of ssh's command line do.

    Raises:
        HostUnreachable: a file cannot be understood.
    """
    lines = [f"{key} {value}" for key, value in above.items()]
    try:
        for path, base in (("~/.ssh/config", "~/.ssh"), ("/etc/ssh/ssh_config", "/etc/ssh")):
            _read(Path(path).expanduser(), base, _Reading(alias, lines))
            lines.append(_EVERY_HOST)
        found = _Config.from_text("\n".join(lines)).lookup(alias)
        found[_CERTIFICATE] = [found[key] for key in sorted(found) if key.startswith(_CERTIFICATE)]
        return dict(found)
    except (paramiko.ConfigParseError, ValueError, KeyError) as error:
        why = str(error)
    except paramiko.ssh_exception.CouldNotCanonicalize:
        why = "its name cannot be made canonical, and CanonicalizeFallbackLocal forbids to go on"
    msg = f"~/.ssh/config or /etc/ssh/ssh_config does not say how {alias} is reached: {why}"
    raise HostUnreachable(msg)


def one(options: Options, key: str) -> str | None:
    """Return an option that has one value."""
    value = options.get(key)
    return value if isinstance(value, str) else None


def many(options: Options, key: str) -> Sequence[str]:
    """Return an option that has several values, separated by spaces or given in several lines."""
    value = options.get(key)
    if isinstance(value, list):
        return value
    try:
        return shlex.split(value) if value else []
    except ValueError:
        return value.replace('"', " ").split() if value else []


@dataclass(frozen=True, slots=True)
class _Reading:
    """Files that are being read."""

    alias: str  #: whose options are wanted
    lines: list[str]  #: what was read so far, as far as it can concern the host
    depth: int = 0  #: how many files include each other


def _read(path: Path, base: str, reading: _Reading) -> None:
    """Append the lines of a file and of those that it includes, as far as they can concern a host."""
    scope = _EVERY_HOST
    for line in (_understood(path, text) for text in _text(path).split("\n")):
        found = _KEYWORD.match(line)
        keyword = found[1].lower() if found else ""
        if keyword in ("host", "match"):
            scope = line
        if found and keyword == _CERTIFICATE:
            # paramiko would keep the first of them
            reading.lines.append(f"{keyword}{len(reading.lines):09} {found[2]}")
        elif found is None or keyword != "include":
            reading.lines.append(line)
        elif _applies(scope, reading):
            _include(found[2], base, scope, replace(reading, depth=reading.depth + 1))
            reading.lines.append(scope)


def _understood(path: Path, text: str) -> str:
    """Return a line as paramiko reads it; one that it cannot read concerns no host, and is no reason to refuse all."""
    found = _KEYWORD.match(text)
    keyword = found[1].lower() if found else ""
    line = text if keyword in _COMMANDS else _COMMENT.sub(r"\1", text)
    if found and keyword == "match":
        line = f"Match {_criteria(found[2])}"
    try:
        _Config.from_text(line)
    except (paramiko.ConfigParseError, ValueError) as error:
        logger.warning(
            "%s: %r is not understood and passed over: %s",
            *(path, text.strip(), error),
            extra={"action": "ssh-config"},
        )
        return _NO_HOST if keyword in ("host", "match") else ""
    return line


def _criteria(text: str) -> str:
    """Return what a Match asks for with words apart: `host="hpc1"` is `host "hpc1"`."""
    words: list[str] = []
    for found in _CRITERION.finditer(text):
        name = (found[1] or "").lower()
        known = name.removeprefix("!") in _CRITERIA
        words += [name, found[2]] if known and found[2] is not None else [found[0]]
    return " ".join(words)


def _include(patterns: str, base: str, scope: str, reading: _Reading) -> None:
    if reading.depth > _DEEPEST:
        msg = f"~/.ssh/config includes files {_DEEPEST} deep: does one include itself?"
        raise HostUnreachable(msg)
    for pattern in shlex.split(patterns):
        below = Path(base).expanduser() / Path(pattern).expanduser()
        for path in sorted(glob.glob(str(below))):  # noqa: PTH207 - an absolute pattern
            reading.lines.append(scope)
            _read(Path(path), base, reading)


def _applies(scope: str, reading: _Reading) -> bool:
    """Tell whether a host is meant by what stands below a Host or a Match line here."""
    if scope == _EVERY_HOST:
        return True
    probe = (*reading.lines, scope, f"{_PROBE} yes")
    return _PROBE in _Config.from_text("\n".join(probe)).lookup(reading.alias)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; the worker's user needs the permission"
        raise HostUnreachable(msg) from None


def home() -> str:
    """Return the home directory of the worker's user."""
    return os.path.expanduser("~")  # noqa: PTH111 - a text
