"""What one question to the far side is about: some thousand files, sorted by how they travel.

    small files of tasks        in groups, each as one archive, a pack
    large ones, repeated ones   each once, as an object of the cache; tasks get copies
    common files                each once, as an object of the cache; hard links to it

A group is known by the names in it, so a later submission finds it however the contents changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jobferry_worker.staging.streamed import reading
from jobferry_worker.staging.streamed.reading import NO_STAMP
from jobferry_worker.staging.streamed.sources import Directory, File, directory, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobferry_common.document import Header, TaskSpec

#: from here on a file is an object of the cache, sent by itself
LARGE_BYTES: Final = 4 << 20
#: of a group
_GROUP_BYTES: Final = 8 << 20
_GROUP_FILES: Final = 4096
#: of a batch
_BATCH_FILES: Final = 20_000
#: it does not pay to find out whether smaller ones are equal
_REPEATED_BYTES: Final = 32 << 10


@dataclass(slots=True)
class Group:
    """Directories and small files that make one pack."""

    directories: list[str] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Tell whether the next file begins another group."""
        many = len(self.files) + len(self.directories) >= _GROUP_FILES
        return many or self.size >= _GROUP_BYTES

    def key(self, header: Header) -> str:
        """Return what groups of the same names from the same place have in common."""
        names = "\0".join([*self.directories, "", *(file.path for file in self.files)])
        return key_of("group", header.owner, header.source, names)

    def stamps(self) -> list[str]:
        """Return of each file what stays equal as long as nobody touches it."""
        return [reading.stamp(file) for file in self.files]


@dataclass(slots=True)
class Batch:
    """Files that are asked about together."""

    common_directories: list[str] = field(default_factory=list)
    common: list[File] = field(default_factory=list)  #: to be linked
    own: list[File] = field(default_factory=list)  #: of tasks, to be copied from objects
    groups: list[Group] = field(default_factory=list)

    @property
    def objects(self) -> list[File]:
        """All files that are objects of the cache."""
        return [*self.common, *self.own]

    @property
    def is_bare(self) -> bool:
        """Tell whether there is nothing but directories of tasks."""
        others = self.objects or self.common_directories
        return not others and not any(group.files for group in self.groups)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.objects) + sum(group.size for group in self.groups)


def whole_stamp(stamps: Sequence[str]) -> str:
    """Return what stays equal as long as nobody touches any of some files."""
    return NO_STAMP if NO_STAMP in stamps else key_of("stamp", *stamps)


def key_of(*parts: str) -> str:
    """Return a name for the far side's cache."""
    return hashlib.sha256("\0\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:40]


def batches(header: Header, pages: Iterable[Sequence[tuple[int, TaskSpec]]]) -> Iterator[Batch]:
    """Return all that a submission's tasks read, common files first.

    Raises:
        OSError: a file cannot be found.
    """
    batch = Batch()
    for one in walk(header.source, "", header.forward_common):
        if isinstance(one, Directory):
            batch.common_directories.append(one.path)
        else:
            batch.common.append(one)
    files: list[File | Directory] = []
    made: set[str] = set()
    for page in pages:
        for _, task in page:
            files += _of_task(header, task, made)
        if len(files) > _BATCH_FILES:
            _sort(batch, files)
            yield batch
            batch, files = Batch(), []
    _sort(batch, files)
    yield batch


def _of_task(header: Header, task: TaskSpec, made: set[str]) -> Iterator[File | Directory]:
    home = directory(header.source, task.path)
    if home and home.path not in made:
        made.add(home.path)
        yield home
    yield from walk(header.source, task.path, task.forward)


def _sort(batch: Batch, found: list[File | Directory]) -> None:
    own = [one for one in found if isinstance(one, File)]
    objects = {file.path for file in own if file.size >= LARGE_BYTES} | _repeated(own)
    batch.own = [file for file in own if file.path in objects]
    batch.groups = list(_groups([one for one in found if one.path not in objects]))
    # a task may write to what is its own, whatever else it is
    paths = {file.path for file in own}
    batch.common = [file for file in batch.common if file.path not in paths]


def _repeated(files: Sequence[File]) -> set[str]:
    """Return the paths of files that look as if their content was there before."""
    by_size = _alike([file for file in files if _REPEATED_BYTES <= file.size < LARGE_BYTES])
    return {file.path for files in by_size for file in files}


def _alike(files: Sequence[File]) -> list[list[File]]:
    sizes: dict[int, list[File]] = defaultdict(list)
    for file in files:
        sizes[file.size].append(file)
    found: dict[tuple[int, bytes, bytes], list[File]] = defaultdict(list)
    for same in sizes.values():
        if len(same) > 1:
            for file in same:
                found[reading.edges(file)].append(file)
    return [same for same in found.values() if len(same) > 1]


def _groups(found: Sequence[File | Directory]) -> Iterator[Group]:
    group = Group()
    for one in found:
        if group.is_full:
            yield group
            group = Group()
        if isinstance(one, Directory):
            group.directories.append(one.path)
        else:
            group.files.append(one)
            group.size += one.size
    if group.files or group.directories:
        yield group
