"""JH_UniScheduler: jsub, jjobs, jhist, jctrl, jcluster of Jinghang's scheduler (JH Unischeduler), which is LSF's kin.

Resources of 2 nodes with 4 tasks and a GPU each, in the queue `gpu`, become

    #JSUB -n 8
    #JSUB -R "span[ptile=4]"
    #JSUB -gpgpu 1
    #JSUB -q gpu

followed by the custom_flags as they are, and an array of 100 jobs is

    jsub -rn -J relax.jf.3f2a9c01d5e7-2.…[1-100] -o .jobferry/logs/jf.3f2a….%I < script

Written from its manual (6.0 to 6.6); nobody has tried it on a real one yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobferry_common.schedulers import lsf_scripts
from jobferry_common.schedulers.lsf import LSF
from jobferry_common.schedulers.lsf_header import jh_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobferry_common.models.resources import Resources

_PREPARE: Final = """\
unset JH_JOBID JH_ARRAY_JOBID JH_ARRAY_JOBINDEX
JH_JOB_NO_SUMMARY_OUT=Y; export JH_JOB_NO_SUMMARY_OUT"""


class JHUniScheduler(LSF):
    """The `Scheduler` for JH_UniScheduler."""

    name = "JH_UniScheduler"
    _mark = "#JSUB"
    _command = "jsub"
    _submitting = lsf_scripts.submitting("jsub", _PREPARE)
    _listing = lsf_scripts.listing("jcluster", ("jjobs -a -w",))
    _history = lsf_scripts.history("jcluster", "jhist -n 0 -l")
    _facts = "jcluster"
    _kill = ("jctrl", "kill")

    def header(self, resources: Resources, *, requeue: bool = False) -> Sequence[str]:
        """Return the #JSUB lines."""
        return list(jh_header(resources, requeue=requeue))

    def job_id_expression(self) -> str:
        """Return `12[3]` inside an array, `12` elsewhere; the manual does not say which of it JH_JOBID holds."""
        return (
            '${JH_JOBID%%\\[*}$([ "${JH_ARRAY_JOBINDEX:-0}" = 0 ] || echo "[$JH_ARRAY_JOBINDEX]")'
        )

    def index_expression(self) -> str:
        """Return one less than its own index."""
        return '$([ "${JH_ARRAY_JOBINDEX:-0}" = 0 ] || echo "$((JH_ARRAY_JOBINDEX - 1))")'
