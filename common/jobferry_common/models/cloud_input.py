"""What a user says of jobs on a cloud in `input_data`: taken over under the platform's names, or refused by name.

    of_platform({"machine_type": "c8_m32_cpu", "disk_size": 50})      {"scassType": "c8_m32_cpu", "diskSize": 50}

DPDispatcher hands the whole of it to the platform, with the keys in camel case; so does jobferry, but for what it says
itself and for what would break its promises.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: what jobferry says itself → where the user says it
_OURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("command", "cmd"), "the command of each task"),
        **dict.fromkeys(
            ("backward_files", "outFiles", "out_files"), "the backward_files of each task"
        ),
        **dict.fromkeys(("nnode",), "number_node of the resources"),
        **dict.fromkeys(("max_run_time", "maxRunTime"), "time_limit of the resources"),
        **dict.fromkeys(("project_id", "program_id"), "program_id of the remote_profile"),
        **dict.fromkeys(
            ("job_id", "oss_path", "input_file_type", "input_file_method"), "nobody: jobferry does"
        ),
        **dict.fromkeys(("job_group_id",), "grouped"),
    }
)
#: older files leave room for it
_NOTHING: Final[tuple[object, ...]] = (None, "", [])
_RESCHEDULE: Final = ("max_reschedule_times", "maxRescheduleTimes", "rerun")
_VERSIONS: Final = ("api_version", "lebesgue_version")
#: read by jobferry itself, and not by the platform
_SWITCHES: Final = frozenset({*_VERSIONS, "grouped", "output_log"})
#: → the platform's name
_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "machine_type": "scassType",
        "image_address": "imageName",
        "log_file": "logFiles",
        "log_files": "logFiles",
    }
)
_NEXT_WORD: Final = re.compile(r"[-_\s]+([^-_\s])")
_MACHINE: Final = re.compile(r"c(\d+)_m(\d+)_(?:cpu|(\d+) ?\* ?\S.*)\Z")


def faults_of(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find keys that jobferry cannot hand over: pairs of key and what is wrong."""
    for key, value in data.items():
        if key in _OURS and value not in _NOTHING:
            yield key, f"is refused here: it follows from {_OURS[key]}"
        elif key in _RESCHEDULE and value:
            yield (
                key,
                "is refused: the platform would start a job again by itself, where jobferry cannot keep it "
                "from running twice; expected retry_count beside the machine instead",
            )
        elif key in _VERSIONS and value != 2:  # noqa: PLR2004 - the platform's own number
            yield key, f"{value!r} is refused: the platform speaks version 2 alone"
    if isinstance(data.get("job_resources"), str):
        yield "job_resources", "expected a list of addresses"


def of_platform(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job's settings under the platform's own names."""
    said = {key: value for key, value in data.items() if key not in _SWITCHES and not _void(key)}
    return {_NAMES.get(key) or _camel(key): value for key, value in said.items()}


def machine_size(machine: str) -> tuple[int, int, int] | None:
    """Return CPUs, GB of memory and GPUs of a size of machine, None where its name does not tell.

    >>> machine_size("c8_m32_1 * NVIDIA V100")
    (8, 32, 1)
    """
    found = _MACHINE.match(machine)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3] or 0))


def _void(key: str) -> bool:
    return key.startswith("_") or key in _RESCHEDULE or key in _OURS


def _camel(key: str) -> str:
    return _NEXT_WORD.sub(lambda found: found[1].upper(), key)
