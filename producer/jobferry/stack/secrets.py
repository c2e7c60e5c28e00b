"""Secrets that a user wrote into a machine, for the embedded stack alone: each in a private file, told by its path.

    keep = Keeper(settings)
    keep("4b1f22aa90-password", "hunter2")      'file:/home/alice/…/secrets/4b1f22aa90-password'

The submission carries that path. The worker of the stack runs as the same user and reads the file when it logs in; so a
password that was wrong can be set right by submitting again, and the run goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from jobferry.stack.home import Home, make_private, write_private
from jobferry_common.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from jobferry_common.settings import Settings

logger: Final = logging.getLogger(__name__)

#: younger files may belong to a submission that is being handed over
_YOUNG_SECONDS: Final = 3600
_GUARD: Final = threading.Lock()


class Keeper:
    """Keeps the secrets of machines where the embedded stack is the broker, and nowhere else."""

    def __init__(self, settings: Settings | None = None, *, write: bool = True) -> None:
        """Take note of settings.

        Args:
            settings: None reads them when the first secret comes.
            write: False for a dry run: a path is returned, and nothing is written.
        """
        self._settings = settings
        self._write = write

    def __call__(self, name: str, secret: str) -> str | None:
        """Return the reference of a secret that is kept; None if it has no place here.

        Raises:
            BrokerUnreachable: it cannot be written.
        """
        settings = self._settings or load_settings()
        home = _home(settings)
        if home is None:
            return None
        path = home.secrets / name
        if self._write:
            with _GUARD:
                make_private(home.secrets)
                if _content(path) != secret:
                    write_private(path, secret)
                path.touch()
        return f"file:{path}"


def forget_unused(home: Home, redis: Redis, prefix: str) -> None:
    """Remove the secrets that no machine of an open run needs any more."""
    if not home.secrets.is_dir():
        return
    profiles = [redis.get(key) or "" for key in redis.scan_iter(match=f"{prefix}profile:*")]
    limit = time.time() - _YOUNG_SECONDS
    for path in home.secrets.iterdir():
        needed = any(path.name in str(profile) for profile in profiles)
        with suppress(FileNotFoundError):
            if not needed and path.stat().st_mtime < limit:
                path.unlink()
                logger.info("A secret is not needed any more: %s.", path.name)


def _home(settings: Settings) -> Home | None:
    """Return the home of the embedded stack if that is the broker."""
    if settings.broker is not None and not settings.broker.startswith("redis+socket:"):
        return None
    home = Home.of(settings)
    return home if settings.broker in (None, home.url()) else None


def _content(path: Path) -> str | None:
    try:
        private = not path.stat().st_mode & 0o077
        return path.read_text(encoding="utf-8") if private else None
    except (OSError, UnicodeDecodeError):
        return None
