"""What a cluster keeps of a run, so that a ledger that was lost can be made again from it.

<root>/.jobferry/runs/<cluster>/<run>           its trace, one small file
<root>/.jobferry/runs/<cluster>/<run>.cancel    somebody wants it to end
<root>/.jobferry/runs/<cluster>/<run>.gone      its files were removed; kept for some days in place of the trace
<control>/document/                             its document, in the pieces that the ledger has it in

>>> trace = Trace(run=RunId("5e7-1"), ledger="1f", nonce="a", destination="d", accepted=0.0, control="/c", pieces=2)
>>> Trace.unpack(trace.pack()) == trace
True
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import UnreadableOutput
from jobferry_common.names import RunId
from jobferry_common.states import ResultsState, RunState
from jobferry_common.versions import VERSION, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: of the marks beside a trace
CANCEL: Final = ".cancel"
GONE: Final = ".gone"
_NAME: Final = re.compile(r"([^/.]+-\d+)(\.cancel|\.gone|)\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a cluster knows of a run beside its files."""

    run: RunId
    ledger: str  #: id of the ledger that has it
    nonce: str  #: of its acceptance: another one means another run of the same name
    destination: str  #: stands for submission, owner and directory
    accepted: float  #: Unix time in seconds
    control: str  #: directory of its document, claims and records
    pieces: int  #: of its document
    resumes: str = ""  #: the run whose work it took over
    shared: bool = False  #: with other clusters
    staged: bool = False  #: its files are there
    end: RunState | None = None  #: set once its results were delivered
    results: ResultsState = ResultsState.REMOTE
    reason: str = ""  #: why it ended so
    rest: Mapping[int, str] = field(default_factory=dict)  #: records of jobs that did not finish
    version: int = VERSION

    @property
    def number(self) -> int:
        """Which run of its submission it is."""
        return int(self.run.rpartition("-")[2])

    @property
    def is_over(self) -> bool:
        """True once nothing of it has to be done any more: it ended and its results are where they belong."""
        return self.end is not None

    def pack(self) -> bytes:
        """Return it as it is stored."""
        return (json.dumps(asdict(self), sort_keys=True) + "\n").encode()

    @classmethod
    def unpack(cls, content: bytes) -> Trace:
        """Read what `pack` wrote.

        Raises:
            UnreadableOutput: it is no trace.
            NewerVersion: a newer jobferry wrote it.
        """
        try:
            fields = dict(json.loads(content))
            known(f"the trace of run {fields['run']}", fields["version"])
            rest = {int(job): str(text) for job, text in fields.pop("rest").items()}
            end, results = fields.pop("end"), ResultsState(fields.pop("results"))
            return cls(**fields, rest=rest, end=RunState(end) if end else None, results=results)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            msg = f"trace of a run: {error!r} in {content[:80]!r}"
            raise UnreadableOutput(msg) from error


def runs_in(names: Iterable[str]) -> dict[RunId, str]:
    """Return the runs of which a directory of traces tells, each with the name of its file."""
    found: dict[RunId, str] = {}
    for name in sorted(names):
        match = _NAME.match(name)
        if match and match[2] != CANCEL:
            found.setdefault(
                RunId(match[1]), name
            )  # the trace sorts before what says that it is gone
    return found
