"""Every file of DPDispatcher's source distribution, as it is: `python -m tests.seeds.others.sources FOLDER`.

FOLDER is where it was unpacked (`pip download --no-deps --no-binary :all: dpdispatcher`). Those that are refused must
be the ones of which `tests/seeds/forms.py` says so.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jobferry.convert import converted
from jobferry_common.errors import BadInput
from jobferry_common.models.script import read_script
from tests.seeds.forms import REFUSED


def verdict(file: Path) -> str:
    """Return why a file is refused; empty if it is not."""
    try:
        if file.suffix == ".py":
            read_script(file)
        else:
            converted(file)
    except BadInput as error:
        return str(error)
    return ""


def main() -> int:
    """Load them all; 1 if one is refused that should not be, or the other way round."""
    root = Path(sys.argv[1])
    files = [file for part in ("examples", "tests") for file in (root / part).rglob("*.json")]
    files += [root / "examples/dpdisp_run.py", root / "tests/hello_world.py"]
    wrong = 0
    for file in sorted(files):
        why = verdict(file)
        wrong += bool(why) != (file.name in REFUSED)
        sys.stdout.write(f"{file.relative_to(root)}: {why or 'loads'}\n")
    sys.stdout.write(f"{len(files)} files, {wrong} not as they should be\n")
    return 1 if wrong or not files else 0


if __name__ == "__main__":
    sys.exit(main())
