"""The far side of a stream: its script, what it answers, and what its errors mean.

    far = Far(host, root="/scratch/alice")
    answer = far.ask("list", "/scratch/alice/5e7-1", each=[b"d./t0/out"])

`common.sh` tells at its top what it can be asked for.
"""

from __future__ import annotations

import errno
import os
import re
from datetime import timedelta
from importlib import resources as package
from typing import TYPE_CHECKING, Final

from jobferry_common.scripts.layout import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from jobferry_common.schedulers.base import Argv, Completed
    from jobferry_worker.hosts.base import Host, Output

_PARTS: Final = ("common.sh", "coming.sh", "going.sh")
_SCRIPT: Final = "".join(
    (*(package.files(__package__).joinpath(part).read_text("utf-8") for part in _PARTS), '"$@"\n')
)
#: nothing moves for this long: the far side, or the way to it, is gone
SILENCE: Final = timedelta(minutes=5)
_LIMIT: Final = timedelta(minutes=10)
#: verbs that take what they are asked about as words, too; so many bytes of them need no process that feeds them
_FROM_WORDS: Final = frozenset({"ask", "list"})
_FEW_BYTES: Final = 32 << 10
#: to read more than this on the far side is left to a channel of its own: commands do not wait for it
_MUCH_BYTES: Final = 64 << 20
_TIMED_OUT: Final = 124

_WORDS: Final = {
    os.strerror(number): number
    for number in (
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
        *(errno.ESTALE, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EMFILE),
        *(errno.ENOENT, errno.EMLINK, errno.EINVAL),
    )
}
_QUOTED: Final = re.compile(r"['\u2018](/[^'\u2019]*)['\u2019]")
_AFTER_PROGRAM: Final = re.compile(r"[a-z0-9-]+: (.+?): ")


class Far:
    """One account's directory on a host."""

    def __init__(self, host: Host, root: str) -> None:
        self.host = host
        self.root = root
        self.cache = f"{root}/{HIDDEN}/cache"

    def ask(
        self, verb: str, *words: str, each: Sequence[bytes] = (), end: bytes = b"\0", reads: int = 0
    ) -> bytes:
        """Return what a verb of the script prints.

        Args:
            verb: of the script.
            *words: what follows it.
            each: what it is asked about: further words as long as they are few, else its stdin.
            end: what ends each of them there.
            reads: how many bytes it has to read, about.

        Raises:
            OSError: it failed.
        """
        stdin = b"".join(one + end for one in each)
        if verb in _FROM_WORDS and len(stdin) < _FEW_BYTES:
            words, stdin = (*words, *map(os.fsdecode, each)), b""
        if reads > _MUCH_BYTES:
            with self.output(verb, *words, stdin=stdin) as output:
                answer = output.read()
                raise_failure(output.end(), self.root)
                return answer
        done = self.host.run(_argv(verb, *words), limit=_LIMIT, stdin=stdin)
        raise_failure(done, self.root)
        return done.raw

    def feed(self, verb: str, *words: str, chunks: Iterable[bytes]) -> None:
        """Stream to a verb of the script.

        Raises:
            OSError: it failed.
        """
        done = self.host.feed(_argv(verb, *words), chunks, silence=SILENCE)
        raise_failure(done, self.root)
        if not done.stdout.endswith("done\n"):
            raise OSError(errno.EIO, "the stream was cut", self.root)

    def output(self, verb: str, *words: str, stdin: bytes) -> AbstractContextManager[Output]:
        """Read what a verb of the script writes, as a stream."""
        return self.host.output(_argv(verb, *words), silence=SILENCE, stdin=stdin)


def _argv(*words: str) -> Argv:
    return ("bash", "-c", _SCRIPT, "jobferry", *words)


def raise_failure(done: Completed, where: str) -> None:
    """Say in the words of the operating system what went wrong on the far side, and with which path.

    Raises:
        OSError: something did.
    """
    if done.exit_code == 0:
        return
    if done.exit_code == _TIMED_OUT:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), where)
    for number, path in failures(done.stderr):
        raise OSError(number, os.strerror(number), os.path.join(where, path))  # noqa: PTH118
    words = " / ".join(done.stderr.split("\n")[:5]).strip(" /") or f"exit code {done.exit_code}"
    raise OSError(errno.EIO, words, where)


def failures(stderr: str) -> Iterator[tuple[int, str]]:
    """Find error numbers and paths in what tar, tee and others said in the C locale.

    >>> list(failures("tee: /scratch/pack: No space left on device"))
    [(28, '/scratch/pack')]
    """
    for line in stderr.split("\n"):
        number = _WORDS.get(line.rpartition(": ")[2].rstrip())
        if number is not None:
            found = _QUOTED.search(line) or _AFTER_PROGRAM.match(line)
            yield number, found[1] if found else ""
