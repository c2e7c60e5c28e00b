"""A file that is written whole or not at all.

write_whole(Path("machine.json"), b"{}")
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_whole(file: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Put a file in the place of the one of that name, if there is one; `mode`: of a new one.

    What is there and no file (a pipe, a terminal, /dev/null) is written to: nothing takes its place.

    Raises:
        OSError: it cannot be written; a file that was there is as it was.
    """
    target = Path(os.path.realpath(file))
    if file.exists() and not target.is_file():
        with file.open("wb") as there:
            there.write(content)
        return
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else mode)
        Path(name).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
