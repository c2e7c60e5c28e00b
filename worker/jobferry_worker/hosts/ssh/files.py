r"""Small files over a shell: what is asked of it, and what its answers mean. Nothing here does I/O.

reading(["/a", "/b"])                                       # "jf_read /a /b"
contents(["/a", "/b"], answer)                              # {"/a": b"…"}
unpacking("jf_write", files, ".jf-1f.tmp")                  # "jf_write .jf-1f.tmp 10240 /a", and an archive
"""

from __future__ import annotations

import errno
import io
import os
import re
import tarfile
from typing import TYPE_CHECKING, Final, NoReturn

from jobferry_common.scripts.quoting import word, words
from jobferry_worker.hosts.telling import staging_error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from jobferry_common.files import NewFile
    from jobferry_worker.hosts.ssh.shell import Answer

#: the words of the C locale for each number
_NUMBERS: Final = {os.strerror(number): number for number in errno.errorcode}
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
#: what commands say in words of their own
_OTHER_WORDS: Final = (
    ("cannot overwrite directory", errno.EISDIR),
    ("cannot overwrite non-directory", errno.ENOTDIR),
    ("Wrote only", errno.ENOSPC),
)
#: a shell reads a line a byte at a time: more is left to an archive
_SMALL_BYTES: Final = 4096
_PLAIN_MODE: Final = 0o644
#: what printf and a line of a shell do not take as it is
_UNPRINTED: Final = re.compile(rb"[^ -\[\]-~]")
_QUOTED: Final = re.compile(r"'([^']+)'")
#: the end of a message of bash, tar or a command of coreutils
_SAYS: Final = re.compile(r": ([^:\n]+)$", re.MULTILINE)


def reading(paths: Sequence[str]) -> str:
    """Return the line that reads files."""
    return f"jf_read {words(paths)}"


def contents(paths: Sequence[str], answer: Answer) -> Mapping[str, bytes]:
    """Return the contents of the files that exist; raises `StagingError`."""
    _check_read(paths, answer.stderr)
    found: dict[str, bytes] = {}
    pieces: list[bytes] = []
    data, at, index = answer.stdout, 0, 0
    while at < len(data):
        end = data.index(b"\n", at)
        kind, number = data[at : at + 1], int(data[at + 1 : end])
        at = end + 1
        if kind == b"=":
            index, pieces = number, []
            continue
        pieces.append(data[at : at + number])
        at += number
        if kind == b".":
            found[paths[index]] = b"\0".join(pieces)
    return found


def _check_read(paths: Sequence[str], stderr: bytes) -> None:
    """Raise what is wrong with a file, unless it is that there is none."""
    said = stderr.split(b"\0")
    for text, index in zip(said[::2], said[1::2], strict=False):
        error = os_error(text, paths[int(index)])
        if error.errno not in _GONE:
            _fail("read", error)
    if len(said) % 2 and said[-1]:
        error = os_error(said[-1], paths[0])
        _fail("read", error)


def listing(directory: str) -> str:
    """Return the line that lists a directory."""
    return f"jf_names {word(directory)}"


def listed(directory: str, answer: Answer) -> Sequence[str]:
    """Return the sorted names in it, [] if it does not exist; raises `StagingError`."""
    if answer.stderr:
        error = os_error(answer.stderr, directory)
        if error.errno not in _GONE:
            _fail("list", error)
    return sorted(os.fsdecode(name) for name in answer.stdout.split(b"\0")[:-1])


def unpacking(function: str, files: Iterable[NewFile], mark: str) -> tuple[str, bytes]:
    """Return the line that writes or creates files, and the archive that is its stdin."""
    archive = io.BytesIO()
    directories: dict[str, None] = {}
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file in files:
            directory, _, name = file.path.rpartition("/")
            directories[directory] = None
            member = tarfile.TarInfo(f"{directory}/{mark}/{name}".lstrip("/"))
            member.size, member.mode = len(file.content), file.mode
            tar.addfile(member, io.BytesIO(file.content))
    data = archive.getvalue()
    return f"{function} {mark} {len(data)} {words(directories)}", data


def is_small(files: Collection[NewFile]) -> bool:
    """Tell whether files can be written without an archive: one of them, and little in it."""
    return len(files) == 1 and all(
        file.mode == _PLAIN_MODE and len(file.content) <= _SMALL_BYTES for file in files
    )


def putting(file: NewFile, mark: str) -> str:
    """Return the line that writes one small file."""
    content = _UNPRINTED.sub(lambda found: b"\\%03o" % found[0][0], file.content)
    text = content.replace(b"%", b"%%").decode("ascii")
    return f"jf_put {mark} {word(file.path)} {word(text)}"


def created(files: Sequence[NewFile], answer: Answer) -> Sequence[bool]:
    """Return for each file whether it was created; of two of one name the first was."""
    made = {os.fsdecode(one[1:]) for one in answer.stdout.split(b"\0") if one[:1] == b"1"}
    found = []
    for file in files:
        found.append(file.path in made)
        made.discard(file.path)
    return found


def check(what: str, paths: Sequence[str], answer: Answer, mark: str = "") -> None:
    """Raise `StagingError` if something could not be done with one of these paths, as the far side's message tells."""
    if answer.code:
        text = os.fsdecode(answer.stderr).replace(f"/{mark}" if mark else "\0", "")
        _fail(what, os_error(answer.stderr, _meant(paths, text)))


def _meant(paths: Sequence[str], text: str) -> str:
    """Return the path of which a message speaks; it may name a parent of it, or quote an odd name."""
    found = [path for path in paths if path.lstrip("/") in text]
    if found:
        return max(found, key=len)
    for parent in _QUOTED.findall(text):
        if found := [path for path in paths if path.startswith(f"{parent}/")]:
            return found[0]
    return paths[0]


def _fail(what: str, error: OSError) -> NoReturn:
    raise staging_error(what, error.filename, error) from error


def os_error(stderr: bytes, path: str) -> OSError:
    """Return the error that a command's first words mean; unknown words are passed on, as one that may pass."""
    text = stderr.decode("utf-8", "replace").strip()
    for found in _SAYS.finditer(text):
        if number := _NUMBERS.get(found[1].strip()):
            return OSError(number, found[1].strip(), path)
    for words_, number in _OTHER_WORDS:
        if words_ in text:
            return OSError(number, os.strerror(number), path)
    return OSError(errno.EREMOTEIO, text[:500] or "no reason was told", path)
