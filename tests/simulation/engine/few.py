"""Some seeds in this process, until one fails: `python -m tests.simulation.engine.few 60`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.simulation.engine.living import wrong_in
from tests.testbed.broker import Broker


def main() -> int:
    """Return 1 with a line about the first seed that fails."""
    with (
        tempfile.TemporaryDirectory(prefix="jf-") as directory,
        Broker(Path(directory), appendonly=False) as broker,
    ):
        for seed in range(int(sys.argv[1])):
            wrong = wrong_in(broker.client(), seed)
            if wrong:
                print(f"seed {seed}: {wrong.splitlines()[-1][:120]}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
