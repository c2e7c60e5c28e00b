"""A fake JH_UniScheduler: its commands in front of the fake LSF's, whose answers have the same form.

What its manual (6.0 to 6.6) names and what it does not is told apart: jjobs knows -a -w, jhist -n 0 -l, jctrl kill.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fake import lsf
from tests.fake.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = ("jsub", "jjobs", "jhist", "jctrl", "jcluster")


def main(command: str, home: str, arguments: Sequence[str]) -> int:
    """Run one command."""
    given = list(arguments)
    match command, given[:2]:
        case "jsub", _:
            return lsf.main("bsub", home, given)
        case "jjobs", ["-a", "-w"]:
            return lsf.main("bjobs", home, given)
        case "jhist", ["-n", "0"]:
            return lsf.main("bhist", home, ["-n", "10", *given[2:]])
        case "jctrl", ["kill", _]:
            return lsf.main("bkill", home, given[1:])
        case "jcluster", []:
            name = Engine(Path(home)).config.get("cluster", "jhcluster")
            print(f"My cluster name is {name}\nMy master name is jhhost")
            return 0
        case _:
            pass
    print(f"usage: this fake does not know {command} {' '.join(given)}", file=sys.stderr)
    return 2
