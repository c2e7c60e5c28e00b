"""The common results of a run that clusters share: each has its own, and none overwrites another's.

    log of hpc1            comes as `log`
    log of hpc2, the same  comes as `log`, too
    log of hpc2, another   comes as `log.hpc2`, and the run says so

They come into a directory beside the marks of jobferry first; only there is it known what a pattern stands for.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.depot.store import pieces_of
from jobferry_common.scripts.layout import HIDDEN
from jobferry_common.states import ResultsState
from jobferry_worker.staging.base import told
from jobferry_worker.staging.local import Local, remove_tree, source_must_exist
from jobferry_worker.transfer.move import say_unless_worse
from jobferry_worker.transfer.resuming import is_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobferry_common.names import ClusterName
    from jobferry_worker.staging.base import Lacking
    from jobferry_worker.transfer.move import Move

logger: Final = logging.getLogger(__name__)

#: of so many the run says how they are called
_SHOWN: Final = 3


def collect_common(move: Move) -> list[Lacking]:
    """Bring the common results that are here; return what lacks.

    Raises:
        StagingError: it is not possible now.
    """
    if move.at is None or move.header.in_place:
        return move.staging.collect_common(move.header, move.layout)
    if move.way.sees_home:
        source_must_exist(move.header)
    aside = Path(move.header.source, HIDDEN, f"common of {move.run} at {move.at}")
    try:
        with told("make", str(aside)):
            remove_tree(str(aside))
            aside.mkdir(parents=True)
        lacking = move.staging.collect_common(replace(move.header, source=str(aside)), move.layout)
        _part_names(move, move.at, aside)
        return [one for one in lacking if one.why or _lacks(move, one)] + _put(move, aside)
    finally:
        remove_tree(str(aside))
        with suppress(OSError):  # other files of jobferry are in it
            aside.parent.rmdir()


def _lacks(move: Move, lacking: Lacking) -> bool:
    """Tell whether no cluster left a result, once the last of them has brought its own."""
    done = ResultsState.REMOTE.value
    places = move.ledger.places(move.run).items()
    is_last = not any(state == done for name, state in places if name != move.at)
    return is_last and not (move.way.sees_home and is_back(move.header, ".", lacking.name))


def _part_names(move: Move, at: ClusterName, aside: Path) -> None:
    """Give a name of its own to what another cluster brought with other content."""
    with told("read", str(aside)):
        digests = {path: _digest(aside / path) for path in _files(aside)}
    owners = move.ledger.note_common(move.run, at, digests)
    parted = []
    for path, owner in sorted(owners.items()):
        name = f"{path}.{at}"
        while (aside / name).exists():
            name = f"{name}.{at}"
        (aside / path).rename(aside / name)
        parted.append(f"{path} is that of {owner}, {name} that of {at}")
    if parted:
        more = f", and {len(parted) - _SHOWN} more" if len(parted) > _SHOWN else ""
        text = f"common results differ between clusters: {'; '.join(parted[:_SHOWN])}{more}"
        logger.warning("%s: %s", move.run, text, extra={"action": "common"})
        say_unless_worse(move.ledger, move.run, text)


def _put(move: Move, aside: Path) -> list[Lacking]:
    names = tuple(glob.escape(name) for name in sorted(os.listdir(aside)))  # noqa: PTH208
    header = replace(move.header, backward_common=names)
    return Local(symlink=False).collect_common(header, replace(move.layout, base=str(aside)))


def _files(directory: Path) -> Iterator[str]:
    for place, _, names in os.walk(directory):
        yield from (os.path.relpath(os.path.join(place, name), directory) for name in names)  # noqa: PTH118


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        for piece in pieces_of(file):
            found.update(piece)
    return found.hexdigest()
