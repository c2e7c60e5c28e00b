"""The copies that a producer keeps of what it handed over."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from jobferry.kept import Kept
from jobferry_common.ledger import pages
from jobferry_common.ledger.pages import pieces_of
from jobferry_common.ledger.records import Accepted
from jobferry_common.names import RunId
from jobferry_common.settings import Settings
from tests.common.ledger.documents import document

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from jobferry.client import Client

RUN = RunId("000000000001-1")
YEAR = 365 * 86400


def test_a_copy_is_what_was_kept(tmp_path: Path) -> None:
    kept, text = Kept(tmp_path / "kept"), document(tasks=2500, group=7)
    kept.save([(RUN, pieces_of(text))])
    found = kept.load(RUN)
    assert found is not None
    assert found.header == text.header
    assert list(found.tasks) == list(text.tasks)


def test_a_document_is_packed_once_for_the_ledger_and_the_copy(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[bytes] = []
    real = pages._pack

    def pack(value: object) -> bytes:
        packed.append(real(value))
        return packed[-1]

    monkeypatch.setattr(pages, "_pack", pack)
    one = client.accept(document(1, tasks=2500))
    many = client.accept_many([document(2), document(3)])
    assert len(packed) == 4 + 2 + 2
    runs = [one.run, *(answer.run for answer in many if isinstance(answer, Accepted))]
    for run in runs:
        found = client.kept.load(run)
        assert found is not None
        assert found.header == client.ledger.header(run)
        stored = (task for page in client.ledger.task_pages(run) for _, task in page)
        assert list(found.tasks) == list(stored)


def test_only_its_owner_can_look_into_them(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    kept.save([(RUN, pieces_of(document()))])
    assert kept.directory.stat().st_mode & 0o077 == 0


def test_half_a_copy_is_none(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.save([(RUN, pieces_of(document()))])
    whole = (tmp_path / RUN).read_bytes()
    for length in (0, 1, 4, len(whole) // 2, len(whole) - 1):
        (tmp_path / RUN).write_bytes(whole[:length])
        assert kept.load(RUN) is None


def test_what_was_never_kept_is_not_there(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "none")
    kept.forget(RUN)
    kept.forget_old()
    assert kept.load(RUN) is None


def test_old_copies_go(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.save([(RUN, pieces_of(document())), (RunId("000000000002-1"), pieces_of(document(2)))])
    os.utime(tmp_path / RUN, (0, 0))
    kept.forget_old(now=YEAR)
    assert kept.load(RUN) is None
    assert kept.load(RunId("000000000002-1")) is not None


def test_a_machine_that_cannot_keep_copies_goes_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        Kept(tmp_path / "file" / "kept").save([(RUN, pieces_of(document()))])
    assert "No copy" in caplog.text


def test_each_broker_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    one = Kept.of(Settings(broker="redis://:secret@one:6379/0"))
    same = Kept.of(Settings(broker="redis://:changed@one:6379/0"))
    other = Kept.of(Settings(broker="redis://two:6379/0"))
    assert one.directory == same.directory != other.directory
    assert one.directory.is_relative_to(tmp_path)
