"""One module per batch system.

Add a scheduler in three touches: write its module here (with the script it generates in the docstring), add its line
to `SCHEDULERS`, and add its folder of golden files under tests/common/schedulers/golden/. The tests that hold for
every scheduler find it by themselves.

>>> scheduler_named("slurm", home="/scratch/alice/.jobferry/shell").name
'Slurm'
"""

from __future__ import annotations

import difflib
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem
from jobferry_common.schedulers.bridged import Bridged
from jobferry_common.schedulers.cloud import cloud_header
from jobferry_common.schedulers.distributed_shell import distributed_shell_header
from jobferry_common.schedulers.fugaku import Fugaku
from jobferry_common.schedulers.jh_unischeduler import JHUniScheduler
from jobferry_common.schedulers.lsf import LSF
from jobferry_common.schedulers.pbs import PBS
from jobferry_common.schedulers.sge import SGE
from jobferry_common.schedulers.shell import Shell
from jobferry_common.schedulers.slurm import Slurm
from jobferry_common.schedulers.torque import Torque

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jobferry_common.models.resources import Resources
    from jobferry_common.schedulers.base import Scheduler

#: batch_type → maker; it is given a directory of its own on the cluster, and the most jobs that may run at once
SCHEDULERS: Final[Mapping[str, Callable[[str, int | None], Scheduler]]] = MappingProxyType(
    {
        "Shell": lambda home, slots: Shell(home=home, slots=slots),
        "Slurm": lambda _home, _slots: Slurm(),
        "PBS": lambda _home, _slots: PBS(),
        "Torque": lambda _home, _slots: Torque(),
        "SGE": lambda _home, _slots: SGE(),
        "LSF": lambda _home, _slots: LSF(),
        "JH_UniScheduler": lambda _home, _slots: JHUniScheduler(),
        "Fugaku": lambda _home, _slots: Fugaku(),
        "DistributedShell": lambda _home, _slots: Bridged(
            name="DistributedShell", lines=distributed_shell_header
        ),
        "Bohrium": lambda _home, _slots: Bridged(
            name="Bohrium", lines=partial(cloud_header, "Bohrium")
        ),
        "OpenAPI": lambda _home, _slots: Bridged(
            name="OpenAPI", lines=partial(cloud_header, "OpenAPI")
        ),
    }
)

#: batch types that differ in name only: Slurm makes arrays of equal jobs anyway
_SAME: Final[Mapping[str, str]] = MappingProxyType({"slurmjobarray": "Slurm"})


def scheduler_named(text: str, *, home: str, slots: int | None = None) -> Scheduler:
    """Return the scheduler of that name.

    Args:
        text: the batch_type, in any case.
        home: absolute directory on the cluster that is the scheduler's own, `<root>/.jobferry/shell`.
        slots: most jobs that may run at once, where jobferry itself decides that; None for its default.

    Raises:
        BadInput: there is none of that name; near matches are offered.
    """
    names = {name.lower(): name for name in SCHEDULERS} | dict(_SAME)
    if name := names.get(text.lower()):
        return SCHEDULERS[name](home, slots)
    near = [names[match] for match in difflib.get_close_matches(text.lower(), names, cutoff=0.55)]
    offer = (
        f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(SCHEDULERS)}"
    )
    raise BadInput(
        [Problem("batch_type", f"{text!r} is no batch system that jobferry knows; {offer}")]
    )


def refusals(batch_type: str | None, resources: Resources) -> Sequence[Problem]:
    """Return what the batch system cannot express of `resources`; nothing where it is not known which one it is."""
    if batch_type is None:
        return ()
    try:
        scheduler_named(batch_type, home="/").header(resources)
    except BadInput as error:
        return error.problems
    return ()
