"""A host on which even root may enter only what its permissions say."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_worker.hosts import LocalHost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobferry_common.schedulers.base import Argv, Completed

#: root may enter everything, unless it gives that up
PLAIN = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)


class PlainHost(LocalHost):
    """This machine as a user has it who may not enter everything."""

    def run(self, argv: Argv, **more: Any) -> Completed:
        return super().run(as_plain(argv), **more)

    def feed(self, argv: Argv, chunks: Iterable[bytes], **more: Any) -> Completed:
        return super().feed(as_plain(argv), chunks, **more)

    def output(self, argv: Argv, **more: Any) -> Any:
        return super().output(as_plain(argv), **more)


def as_plain(argv: Argv) -> Argv:
    return argv if os.geteuid() else (*PLAIN, *argv)


def skip_without_plain_host() -> None:
    """Skip the test where root cannot give anything up."""
    if not os.geteuid() and not shutil.which("setpriv"):
        pytest.skip("setpriv is not here")
