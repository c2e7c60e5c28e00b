"""A directory for the front of PATH that counts, and on request replaces, every command of a scheduler.

wrappers = Wrappers(directory, SLURM_COMMANDS)
wrappers.replace("sbatch", 'sleep 60; exec "$REAL" "$@"')
wrappers.calls("sbatch")  # [("--parsable", "job.sh")]
"""

from __future__ import annotations

import shlex
import shutil
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SLURM_COMMANDS: Final = (
    *("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo", "sacctmgr", "srun", "salloc"),
    *("sdiag", "sshare", "sprio", "sstat", "sreport"),
)
_COUNT: Final = """\
#!/bin/bash
export REAL={real}
(IFS=$'\\x1f'; printf '%s\\t%s\\t%s\\0' "$EPOCHREALTIME" {name} "$*" >>{log})
[ ! -e {hook} ] || exec {hook} "$@"
exec "$REAL" "$@"
"""


def _split(arguments: str) -> tuple[str, ...]:
    return tuple(arguments.split("\x1f")) if arguments else ()


class Wrappers:
    """Wrappers around executables; `path` goes to the front of PATH."""

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self.path = path
        self._log = path / ".calls"
        self._hooks = path / ".hooks"
        self._hooks.mkdir(parents=True)
        for name in names:
            if real := shutil.which(name):
                self._write(name, real)

    def _write(self, name: str, real: str) -> None:
        words = {"real": real, "name": name, "log": self._log, "hook": self._hooks / name}
        quoted = {key: shlex.quote(str(word)) for key, word in words.items()}
        self._script(self.path / name, _COUNT.format(**quoted))

    @staticmethod
    def _script(path: Path, text: str) -> None:
        # Renamed into place: a worker may call it at this very moment.
        new = path.with_name(f"{path.name}.{time.monotonic_ns()}")
        new.write_text(text)
        new.chmod(0o755)
        new.rename(path)

    def replace(self, name: str, body: str) -> None:
        """Let `body` (bash) answer for the command from now on; `$REAL` is the true one."""
        self._script(self._hooks / name, f"#!/bin/bash\n{body}\n")

    def restore(self, name: str) -> None:
        """Let the true command answer again."""
        (self._hooks / name).unlink(missing_ok=True)

    def every_call(self) -> list[tuple[float, str, tuple[str, ...]]]:
        """Return (Unix time, command, arguments) of every call so far."""
        if not self._log.exists():
            return []
        lines = [entry.split("\t", 2) for entry in self._log.read_text().split("\0")[:-1]]
        return [(float(at), name, _split(arguments)) for at, name, arguments in lines]

    def calls(self, name: str) -> list[tuple[str, ...]]:
        """Return the arguments of every call of one command."""
        return [arguments for _, called, arguments in self.every_call() if called == name]

    def forget(self) -> None:
        """Start counting anew."""
        self._log.unlink(missing_ok=True)
