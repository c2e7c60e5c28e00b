"""Torque: qsub, qstat, qdel of Torque 4 to 6. It is read as PBS is; what differs is here.

Resources of 2 nodes with 8 cores and a GPU each, in the queue `gpu`, become

    #PBS -l nodes=2:ppn=8:gpus=1
    #PBS -q gpu
    #PBS -r n

followed by the custom_flags as they are, and an array of 100 is

    qsub -N relax -v JOBFERRY_TOKEN=jf.3f2a9c01d5e7-2.… -S /bin/bash -j oe -o .jobferry/… -t 0-99 …

Torque itself puts `-3` behind the name of the log of element 3. It has no history: a job that ended is listed for as
long as the server's keep_completed says (300 s by default), and qstat knows no JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.schedulers.elements import compact
from jobferry_common.schedulers.pbs import FORM, PBS
from jobferry_common.schedulers.pbs_header import torque_header
from jobferry_common.schedulers.pbs_states import TORQUE_CODES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from jobferry_common.models.resources import Resources
    from jobferry_common.names import SchedulerId
    from jobferry_common.schedulers.base import Argv

#: qdel takes one range of elements for all that it names: so it is called once for each array
_CANCEL: Final = """
failed=0
while [ $# -gt 1 ]; do
    qdel ${1:+-t "$1"} "$2" || failed=$?
    shift 2
done
exit $failed
"""


class Torque(PBS):
    """The `Scheduler` for Torque."""

    name = "Torque"
    _full = ("qstat -t -f",)
    _codes = TORQUE_CODES
    #: it has no limit unless the server's max_job_array_size sets one
    _max_array = 1000

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return the #PBS lines."""
        return list(torque_header(resources, requeue=requeue))

    def index_expression(self) -> str:
        """Return the index that qsub -t gave."""
        return "${PBS_ARRAYID:-}"

    def _array(self, log: str, size: int) -> tuple[str, ...]:
        return ("-o", log, "-t", f"0-{size - 1}")

    def history(self, ids: Collection[SchedulerId], since: datetime) -> Argv:
        """Ask by id what the listing has: there is no other memory."""
        return self.inquiry(ids) or ()

    def cancel(self, ids: Sequence[SchedulerId]) -> Argv:
        """End jobs with qdel; elements of an array are named together: `-t 0-3,7 9[].server`."""
        pairs = ((of or "", job) for job, of in compact(ids, FORM).items())
        return ("sh", "-c", _CANCEL, "sh", *(word for pair in pairs for word in pair))
