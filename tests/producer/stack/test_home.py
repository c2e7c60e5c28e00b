"""The directory of a stack: private, and with a socket whose path is short enough."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobferry.stack.home import Home, make_private, write_private
from jobferry_common.errors import BrokerUnreachable
from jobferry_common.settings import Settings, Stack

if TYPE_CHECKING:
    from pathlib import Path


def home_in(directory: Path) -> Home:
    return Home.of(Settings(stack=Stack(directory=directory)))


def test_it_stands_where_xdg_keeps_state(home: Path) -> None:
    assert Home.of(Settings()).directory == home / ".local" / "state" / "jobferry" / "stack"


def test_only_its_user_can_look_into_it(short_path: Path) -> None:
    directory = short_path / "s"
    directory.mkdir(mode=0o755)
    there = home_in(directory)
    there.password()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "password").stat().st_mode & 0o777 == 0o600
    assert there.socket == directory / "broker.sock"


def test_a_path_too_long_for_a_socket_gets_a_short_private_one(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 30)
    there = home_in(directory)
    assert len(str(there.socket)) <= 100
    assert there.socket.parent.stat().st_mode & 0o777 == 0o700
    assert there.socket == home_in(directory).socket
    assert there.socket != home_in(tmp_path / ("Long" * 30)).socket


def test_a_short_directory_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = home_in(tmp_path / ("long" * 30)).socket.parent
    monkeypatch.setattr(os, "getuid", lambda: short.stat().st_uid + 1)
    with pytest.raises(BrokerUnreachable, match="belongs to another user"):
        make_private(short)


def test_a_link_in_place_of_the_directory_is_not_followed(short_path: Path) -> None:
    (short_path / "real").mkdir()
    (short_path / "link").symlink_to(short_path / "real")
    with pytest.raises(BrokerUnreachable, match="is a link"):
        make_private(short_path / "link")


def test_the_password_is_made_once_and_stays(short_path: Path) -> None:
    assert home_in(short_path / "s").password() == home_in(short_path / "s").password()
    assert home_in(short_path / "s").password() in home_in(short_path / "s").url()


def test_a_full_disk_is_told_with_the_path(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(BrokerUnreachable, match=r"file.*No space left"):
            write_private(short_path / "file", "x")
    assert list(short_path.iterdir()) == []
