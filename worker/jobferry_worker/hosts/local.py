"""This machine as a host: commands run as children of the worker, files are written where they belong.

host = LocalHost()
host.run(("squeue", "--me"), limit=timedelta(seconds=30)).checked()
host.write([NewFile(path="/scratch/a/run.sh", content=b"...", mode=0o755)])
"""

from __future__ import annotations

import errno
import logging
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.schedulers.base import Completed
from jobferry_worker.hosts.streams import TIMED_OUT, Reading, feed, unstarted
from jobferry_worker.hosts.telling import staging_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jobferry_common.files import NewFile
    from jobferry_common.schedulers.base import Argv

logger: Final = logging.getLogger(__name__)

_KILLED: Final = 137
#: from SIGTERM to SIGKILL for a command whose time is up
_KILL_AFTER_SECONDS: Final = 2
#: how much later than `timeout` the worker itself gives up waiting
_SLACK_SECONDS: Final = 3.0

#: names of variables that are ours, or that hold the way to the broker; no job inherits them
_PRIVATE: Final = re.compile(
    r"(JOBFERRY|CELERY|FLOWER|REDIS|VALKEY)_|BROKER_|(BROKER|REDIS_URL|REDISCLI_AUTH)\Z"
)
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_REMOVALS: Final = 3

_temporary: Final = count()


class LocalHost:
    """The machine on which the worker runs."""

    name = "this machine"
    #: a call here either returns or hangs for good, as on a dead file system
    silence_seconds = 0.0

    def __init__(self) -> None:
        self._timeout = shutil.which("timeout")

    def run(
        self,
        argv: Argv,
        *,
        limit: timedelta,
        stdin: bytes = b"",
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run one command in a session of its own; it ends in time even when the worker is killed."""
        child_environment = inherited(os.environ) | dict(environment or {})
        logger.debug("Run %s.", argv, extra={"action": "run", "argv": argv})
        started = time.monotonic()
        try:
            child = subprocess.Popen(
                self._limited(argv, limit, child_environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=directory,
                env=child_environment,
                start_new_session=True,
            )
        except OSError as error:
            return unstarted(argv, error)
        done = _await(child, stdin, limit.total_seconds() + _KILL_AFTER_SECONDS + _SLACK_SECONDS)
        over = time.monotonic() - started >= limit.total_seconds()
        code = TIMED_OUT if over and done[0] in {_KILLED, -signal.SIGKILL} else done[0]
        return Completed(
            argv=argv,
            exit_code=code,
            stdout=done[1].decode("utf-8", "replace"),
            stderr=done[2].decode("utf-8", "replace"),
            raw=done[1],
        )

    def feed(self, argv: Argv, chunks: Iterable[bytes], *, silence: timedelta) -> Completed:
        """Run a command and stream to its stdin; a worker that is killed closes it."""
        logger.debug("Feed %s.", argv, extra={"action": "feed", "argv": argv})
        return feed(argv, chunks, silence=silence, environment=inherited(os.environ))

    def output(self, argv: Argv, *, silence: timedelta, stdin: bytes = b"") -> Reading:
        """Run a command and read its stdout as a stream."""
        logger.debug("Read from %s.", argv, extra={"action": "output", "argv": argv})
        return Reading(argv, silence=silence, stdin=stdin, environment=inherited(os.environ))

    def user(self) -> str:
        """Return the name of the worker's user, or its number where it has no name."""
        uid = os.geteuid()
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return str(uid)

    def write(self, files: Iterable[NewFile]) -> None:
        """Write each file beside its place and rename it."""
        known: set[str] = set()
        for file in files:
            with _staging("write", file.path):
                temporary = _written(file, known)
                _renamed(temporary, file.path)

    def read(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Return the contents of those that exist."""
        contents = {}
        for path in paths:
            with _staging("read", path), suppress(FileNotFoundError, NotADirectoryError):
                contents[path] = Path(path).read_bytes()
        return contents

    def create(self, files: Sequence[NewFile]) -> Sequence[bool]:
        """Create each file exclusively, and with all of its content at once."""
        known: set[str] = set()
        created = []
        for file in files:
            with _staging("create", file.path):
                created.append(_created(file, known))
        return created

    def names(self, directory: str) -> Sequence[str]:
        """Return the sorted names in a directory, [] if it does not exist."""
        with _staging("list", directory), suppress(FileNotFoundError, NotADirectoryError):
            return sorted(os.listdir(directory))  # noqa: PTH208
        return []

    def make_directories(self, paths: Iterable[str]) -> None:
        """Make directories with their parents."""
        for path in paths:
            with _staging("make directory", path):
                Path(path).mkdir(parents=True, exist_ok=True)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; those that are gone already are left alone."""
        for path in paths:
            with _staging("remove", path), suppress(FileNotFoundError, NotADirectoryError):
                Path(path).unlink()

    def remove_tree(self, path: str) -> None:
        """Remove a directory with all that is in it; links are not followed."""
        with _staging("remove", path), suppress(FileNotFoundError):
            if Path(path).is_symlink() or not Path(path).is_dir():
                Path(path).unlink()
            else:
                _remove_all(path)

    def _limited(
        self, argv: Argv, limit: timedelta, environment: Mapping[str, str]
    ) -> Sequence[str]:
        """Put `timeout` in front, which outlives a worker that is killed."""
        if self._timeout is None or shutil.which(argv[0], path=environment.get("PATH")) is None:
            return argv
        seconds = f"{max(limit.total_seconds(), 0.01):.3f}"
        return (self._timeout, f"--kill-after={_KILL_AFTER_SECONDS}", seconds, *argv)


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a command, and through it a job, may see of the worker's environment."""
    return {name: value for name, value in environment.items() if not _PRIVATE.match(name)}


def _await(
    child: subprocess.Popen[bytes], stdin: bytes, seconds: float
) -> tuple[int, bytes, bytes]:
    """Return exit code, stdout and stderr; end the whole group when the time is up."""
    try:
        stdout, stderr = child.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return TIMED_OUT, late.stdout or b"", late.stderr or b""
    return child.returncode, stdout, stderr


def _written(file: NewFile, known: set[str]) -> str:
    """Write a file under a temporary name in the same directory; return that name."""
    directory = file.path.rpartition("/")[0]
    if directory not in known:
        Path(directory).mkdir(parents=True, exist_ok=True)
        known.add(directory)
    temporary = f"{directory}/.jf-{os.getpid()}-{next(_temporary)}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            _write_all(stream.write, file.content)
    except OSError:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    return temporary


def _renamed(temporary: str, path: str) -> None:
    try:
        os.replace(temporary, path)  # noqa: PTH105 - a Path for each costs more than the rename
    except OSError:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


def _write_all(write: Callable[[memoryview], int | None], content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[write(left) or 0 :]


def _created(file: NewFile, known: set[str]) -> bool:
    temporary = _written(file, known)
    try:
        os.link(temporary, file.path)
    except FileExistsError:
        # over NFS a repeated request may find its own work
        return os.stat(temporary).st_nlink > 1  # noqa: PTH116
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _opened(file)
    finally:
        Path(temporary).unlink()
    return True


def _opened(file: NewFile) -> bool:
    """Create a file where the file system has no hard links: its content may be seen growing."""
    try:
        descriptor = os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        _write_all(stream.write, file.content)
    return True


def _remove_all(path: str) -> None:
    for _ in range(_REMOVALS):
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            # somebody else removes it as well
            if not Path(path).exists():
                return
        except PermissionError:
            # tasks leave directories behind in which nothing may be changed
            _unlock(path)
        else:
            return
    shutil.rmtree(path)


def _unlock(path: str) -> None:
    Path(path).chmod(0o700)
    for directory, names, _ in os.walk(path):
        for name in names:
            inner = Path(directory, name)
            if not inner.is_symlink():
                inner.chmod(0o700)


@contextmanager
def _staging(what: str, path: str) -> Iterator[None]:
    """Turn an OSError into a `StagingError` that names the path and the next step."""
    try:
        yield
    except OSError as error:
        raise staging_error(what, path, error) from error
