"""Commands of a fake batch system as executables in a directory for PATH.

    install(tmp_path / "bin", "tests.fake.pbs", ["qsub", "qstat", "qdel"], home=tmp_path / "cluster")

Each runs `main(command, home, arguments)` of that module in a bare Python of its own, which exits with what it returns.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ROOT: Final = Path(__file__).parents[2]


def install(directory: Path, module: str, names: Iterable[str], *, home: Path) -> None:
    """Write one executable for each name; `home` is the directory of the engine that they share."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        code = (
            f"import sys; sys.path[0] = {str(_ROOT)!r}; from {module} import main; "
            f"sys.exit(main({name!r}, {str(home)!r}, sys.argv[1:]))"
        )
        # -S and -E: nothing of the site and of the environment is read, which makes it quick
        words = (sys.executable, "-S", "-E", "-c", code)
        file = directory / name
        file.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        file.chmod(0o755)


def env_with(directory: Path) -> Mapping[str, str]:
    """Return the environment of the tests, in which these commands come first."""
    return {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}
