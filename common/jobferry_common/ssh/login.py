"""Logging in: keys, then keyboard-interactive, then the password, as the server asks for them.

    authenticate(transport, login, Codes())         LoginRefused, or silence

A server may want several things one after the other, such as a key and then a code.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

import paramiko

from jobferry_common.errors import HostUnreachable, LoginRefused
from jobferry_common.ssh import secrets
from jobferry_common.ssh.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobferry_common.ssh.config import Login
    from jobferry_common.ssh.totp import Codes

    #: asks a server once; returns what it wants besides, [] once it is content
    Ask = Callable[[], list[str]]

logger: Final = logging.getLogger(__name__)

_PUBLICKEY: Final = "publickey"
_INTERACTIVE: Final = "keyboard-interactive"
_PASSWORD: Final = "password"  # noqa: S105 - the name of a method
#: a server that goes on asking is not one that lets in
_MOST_STEPS: Final = 5
_MOST_QUESTIONS: Final = 10
_CODE: Final = re.compile(
    r"\b(one.?time|otp|totp|verification|authenticat\w+|token|code|passcode|2fa|mfa|second|duo|dynamic)\b"
    r"|验证码|动态码|动态口令|动态密码",
    re.IGNORECASE,
)
_PASSWORD_WORDS: Final = re.compile(r"password|密码|口令", re.IGNORECASE)


def authenticate(transport: paramiko.Transport, login: Login, codes: Codes) -> None:
    """Log in.

    Raises:
        LoginRefused: the server does not let the user in, or what it wants cannot be given.
        HostUnreachable: it stopped answering.
    """
    with Keys(login.credentials, login.user) as keys:
        _Attempt(transport, login, codes, keys).run()


class _Attempt:
    """One attempt, on one connection."""

    def __init__(
        self, transport: paramiko.Transport, login: Login, codes: Codes, keys: Keys
    ) -> None:
        self._transport = transport
        self._login = login
        self._codes = codes
        self._keys = keys
        self._tried: list[str] = []
        self._passed: list[str] = []
        self._failure: LoginRefused | None = None
        #: or something else was; a second try would only count as another failure
        self._password_is_wrong = False

    def run(self) -> None:
        wanted = self._ask(lambda: self._transport.auth_none(self._login.user))
        for _ in range(_MOST_STEPS):
            if self._transport.is_authenticated():
                return
            following = self._step(wanted)
            if following is None:
                break
            wanted = following
        raise self._failure or LoginRefused(self._refusal(wanted))

    def _step(self, wanted: Sequence[str]) -> list[str] | None:
        """Give one of the things that are wanted; return what is wanted then, None if nothing was taken."""
        methods: dict[str, Callable[[], list[str] | None]] = {
            _PUBLICKEY: self._by_key,
            _INTERACTIVE: self._by_answers,
            _PASSWORD: self._by_password,
        }
        for name, method in methods.items():
            if name not in wanted or name in self._passed:
                continue
            following = method()
            if following is not None:
                self._passed.append(name)
                return following
        return None

    def _by_key(self) -> list[str] | None:
        for offer in self._keys.offers():
            self._tried.append(offer.name)
            ask = lambda: self._transport.auth_publickey(self._login.user, offer.key)  # noqa: B023, E731
            if (following := self._taken(ask)) is not None:
                return following
        return None

    def _by_password(self) -> list[str] | None:
        given = self._login.credentials.password
        if given is None or self._password_is_wrong:
            return None
        password = secrets.read(given, "password")
        self._tried.append("the password")
        user = self._login.user
        return self._taken(lambda: self._transport.auth_password(user, password, fallback=False))

    def _by_answers(self) -> list[str] | None:
        answers = _Answers(self._login, self._codes)
        if not answers.any():
            return None
        self._tried.append("answers to its questions")
        following = self._taken(
            lambda: self._transport.auth_interactive(self._login.user, answers.give)
        )
        if following is None:
            self._failure = answers.failure
            self._password_is_wrong = answers.gave_password and answers.failure is None
        return following

    def _taken(self, ask: Ask) -> list[str] | None:
        """Return what is wanted besides, None if the server did not take what it was given."""
        try:
            return self._ask(ask, refused=None)
        except _NotTaken:
            return None

    def _ask(self, ask: Ask, refused: object = ()) -> list[str]:
        """Ask the server; what it wants besides, [] if nothing."""
        try:
            return list(ask() or [])
        except paramiko.BadAuthenticationType as error:
            if refused is None:
                raise _NotTaken from None
            return list(error.allowed_types)
        except paramiko.AuthenticationException:
            self._still_there()
            raise _NotTaken from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            self._still_there()
            logger.debug("%s: %s", self._login.name, type(error).__name__)
            raise _NotTaken from None

    def _still_there(self) -> None:
        """Raise unless the server still listens."""
        if self._transport.is_active():
            return
        if self._tried:
            msg = (
                f"{self._login.name} ended the connection after {len(self._tried)} attempts to log in "
                f"({', '.join(self._tried)}): too many keys? Name the right one with key_filename or IdentityFile"
            )
            raise LoginRefused(msg)
        msg = f"{self._login.name} ended the connection before anybody could log in; it is tried again"
        raise HostUnreachable(msg)

    def _refusal(self, wanted: Sequence[str]) -> str:
        passed = f" after {' and '.join(self._passed)}" if self._passed else ""
        tried = ", ".join(self._tried) or "nothing, as there was nothing to try"
        notes = "".join(f"; {note}" for note in self._keys.notes)
        return (
            f"{self._login.name} does not let the worker's user in: it wants {' or '.join(wanted)}{passed}; "
            f"tried: {tried}{notes}. Try by hand: {self._login.by_hand}"
        )


class _NotTaken(Exception):  # noqa: N818 - never leaves this module
    """The server did not take what it was given."""


class _Answers:
    """Answers to the questions of keyboard-interactive; called from the connection's own thread."""

    def __init__(self, login: Login, codes: Codes) -> None:
        self._login = login
        self._codes = codes
        self._asked = 0
        self.gave_password = False
        self.failure: LoginRefused | None = None

    def any(self) -> bool:
        """Return whether there is anything to answer with."""
        given = self._login.credentials
        return given.password is not None or given.totp_secret is not None

    def give(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        """Return an answer to each question; "" where there is none, and `failure` says why."""
        del title
        self._asked += len(prompts)
        return [self._answer(prompt, instructions) for prompt, _ in prompts]

    def _answer(self, prompt: str, instructions: str) -> str:
        if self.failure is not None or self._asked > _MOST_QUESTIONS:
            return ""
        try:
            return self._answered(prompt, instructions)
        except LoginRefused as error:
            self.failure = error
        return ""

    def _answered(self, prompt: str, instructions: str) -> str:
        given = self._login.credentials
        asks_password = _PASSWORD_WORDS.search(prompt) and not _CODE.search(prompt)
        wants_code = _CODE.search(prompt) or (not asks_password and _CODE.search(instructions))
        if given.totp_secret is not None and (wants_code or given.password is None):
            return self._codes.next(secrets.read(given.totp_secret, "totp_secret"))
        if given.password is not None and not wants_code:
            self.gave_password = True
            return secrets.read(given.password, "password")
        asked = secrets.hidden(prompt.strip(), self._login)
        msg = (
            f"{self._login.name} asks {asked!r}, and nothing is set to answer it: "
            "expected totp_secret for a code, password for a password"
        )
        raise LoginRefused(msg)
