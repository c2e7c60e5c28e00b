"""HDFS as a bridge's storage: a directory for each job, spoken to by the `hadoop` command or through pyarrow.

    <remote_root>/<id>/archive  result  claim

    storage = hdfs_of(None, LocalHost(), "/user/ann/jobferry", timedelta(minutes=1))

Containers have the `hadoop` command; jobs deliver with it, whatever the worker uses. A file of HDFS is never replaced
by a rename, so that of two applications for one job exactly one becomes its owner, and runs it.
"""

from __future__ import annotations

import posixpath
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.errors import CommandFailed, HostUnreachable
from jobferry_common.scripts import quoting
from jobferry_worker.hosts.streams import NOT_FOUND, TIMED_OUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobferry_common.errors import JobferryError
    from jobferry_common.schedulers.base import Completed
    from jobferry_worker.bridge.base import Storage
    from jobferry_worker.bridge.books import Job
    from jobferry_worker.hosts.local import LocalHost

_ARCHIVE, _RESULT = "archive", "result"
#: limit of a command that moves an archive; no pass waits for it
_TRANSFER: Final = timedelta(hours=6)
_SHELL: Final = """\
jf_store={directory}
jf_get() {{ rm -f -- "$1" && hadoop fs -get "$jf_store/archive" "$1"; }}
jf_put() {{ # under a name of its own, then by rename: HDFS puts no file in another's place
    hadoop fs -test -e "$jf_store/result" && return 0
    hadoop fs -put -f "$1" "$jf_store/result.$jf_owner" || return 1
    hadoop fs -mv "$jf_store/result.$jf_owner" "$jf_store/result" || hadoop fs -test -e "$jf_store/result"
}}
jf_claim() {{ # the first application to come owns the job, with each of its attempts
    [[ -n $1 ]] || jf_die 'this container does not say which application it belongs to'
    printf '%s\\n' "$1" >"$jf_here/owner"
    if hadoop fs -put -f "$jf_here/owner" "$jf_store/claim.$1"; then
        hadoop fs -mv "$jf_store/claim.$1" "$jf_store/claim" 2>/dev/null
    fi
    local owner
    owner=$(hadoop fs -cat "$jf_store/claim") || jf_die 'the claim of the job cannot be read'
    [[ $owner == "$1" ]]
}}
"""


class _Hdfs:
    """What both have in common."""

    name = "HDFS"

    def __init__(self, root: str) -> None:
        self._root = root

    def shell(self, job: Job) -> str:
        """Return the functions of the bootstrap."""
        return _SHELL.format(directory=quoting.word(self._of(job)))

    def _of(self, job: Job, name: str = "") -> str:
        return posixpath.join(self._root, job.id, name).rstrip("/")


class HdfsByCommand(_Hdfs):
    """The `Storage` where only the `hadoop` command is there."""

    def __init__(self, host: LocalHost, root: str, limit: timedelta) -> None:
        super().__init__(root)
        self._host = host
        self._limit = limit

    def put(self, job: Job, file: Path) -> None:
        """Bring the archive there."""
        self._fs("-mkdir", "-p", self._of(job))
        self._fs("-put", "-f", str(file), self._of(job, _ARCHIVE), limit=_TRANSFER)

    def get(self, job: Job, file: Path) -> bool:
        """Bring the result, if there is one."""
        if not self._exists(self._of(job, _RESULT)):
            return False
        file.unlink(missing_ok=True)
        self._fs("-get", self._of(job, _RESULT), str(file), limit=_TRANSFER)
        return True

    def delete(self, job: Job) -> None:
        """Remove the job's directory, and what its client left in the user's home."""
        self._fs("-rm", "-r", "-f", "-skipTrash", self._of(job), job.label)

    def _exists(self, path: str) -> bool:
        argv = ("hadoop", "fs", "-test", "-e", path)
        done = self._host.run(argv, limit=self._limit)
        # the same code tells of a path that is not there and of a name node that is not
        if done.exit_code not in {0, 1} or "test: " in done.stderr:
            raise _failed(done)
        return done.exit_code == 0

    def _fs(self, *words: str, limit: timedelta | None = None) -> None:
        done = self._host.run(("hadoop", "fs", *words), limit=limit or self._limit)
        if done.exit_code:
            raise _failed(done)


class HdfsByLibrary(_Hdfs):
    """The `Storage` through a file system of fsspec: pyarrow's for HDFS."""

    def __init__(self, filesystem: Any, root: str) -> None:  # noqa: ANN401 - fsspec has no types
        super().__init__(root)
        self._files = filesystem

    def put(self, job: Job, file: Path) -> None:
        """Bring the archive there."""
        with _told(self._of(job)):
            self._files.makedirs(self._of(job), exist_ok=True)
            self._files.put_file(str(file), self._of(job, _ARCHIVE))

    def get(self, job: Job, file: Path) -> bool:
        """Bring the result, if there is one."""
        path = self._of(job, _RESULT)
        with _told(path):
            if not self._files.exists(path):
                return False
            self._files.get_file(path, str(file))
        return True

    def delete(self, job: Job) -> None:
        """Remove the job's directory."""
        path = self._of(job)
        with _told(path):
            if self._files.exists(path):
                self._files.rm(path, recursive=True)


def hdfs_of(client: str | None, host: LocalHost, root: str, limit: timedelta) -> Storage:
    """Return the storage that was asked for, or the one that works here: a library needs no new Java for each call.

    Raises:
        HostUnreachable: it was to be the library, and that is not there.
    """
    if client != "hadoop":
        try:
            import fsspec
            import pyarrow.fs  # noqa: F401 - fsspec needs it

            return HdfsByLibrary(fsspec.filesystem("hdfs"), root)
        except (ImportError, OSError) as error:
            if client == "pyarrow":
                msg = f"HDFS through pyarrow: {error}; expected jobferry[hdfs] and libhdfs (ARROW_LIBHDFS_DIR)"
                raise HostUnreachable(msg) from error
    return HdfsByCommand(host, root, limit)


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        msg = f"HDFS: {path}: {error}"
        raise HostUnreachable(msg) from error


def _failed(done: Completed) -> JobferryError:
    if done.exit_code == TIMED_OUT:
        return HostUnreachable(f"HDFS: no answer to {' '.join(done.argv)}")
    if done.exit_code == NOT_FOUND:
        return HostUnreachable("there is no command `hadoop` on the PATH of this worker")
    return CommandFailed(done.argv, done.exit_code, done.stderr)
