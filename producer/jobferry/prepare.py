"""From a submission to its document: every file checked, globs resolved, tasks in job order.

    document = prepare(Submission.load_from_json("submission.json"))
    document.header.submission      '3f2a9c01d5e7'

All faults are reported in one `BadInput`.
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jobferry.inputs import Fault, Inputs, near_name
from jobferry.real_paths import real
from jobferry.rules import hindrances
from jobferry.static import static
from jobferry.templates import faults
from jobferry_common.document import (
    Document,
    Header,
    Policy,
    TaskSpec,
    group_size,
    in_job_order,
    submission_id,
    task_key,
)
from jobferry_common.errors import BadInput, Problem
from jobferry_common.models.cluster import inline_name, profile_of
from jobferry_common.models.paths import inside
from jobferry_common.models.placement import ANY, names_of
from jobferry_common.models.submission import Submission
from jobferry_common.names import ClusterName
from jobferry_common.schedulers import refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jobferry_common.models.cluster import ClusterProfile, Keep
    from jobferry_common.models.machine import Machine
    from jobferry_common.models.resources import Resources
    from jobferry_common.models.task import Task
    from jobferry_common.names import SubmissionId

_MAX_PROBLEMS: Final = 100
_REMEMBERED: Final = 100
_TEMPLATE: Final = "resources.strategy.customized_script_header_template_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where a submission goes."""

    cluster: ClusterName
    identity: str  #: what it is, whatever proves who we are there
    machine: Mapping[str, Any] | None  #: the profile, if it travels with the submission
    targets: tuple[ClusterName, ...] = ()  #: of several; ("any",) until it is known which there are
    local_root: str
    in_place: bool
    retry_count: int
    batch_type: str | None  #: None: only the worker knows, or they differ


def prepare(
    submission: Submission | Mapping[str, Any],
    *,
    owner: str | None = None,
    directory: str | None = None,
    clean: str = "always",
    clusters: Mapping[str, ClusterProfile] | None = None,
    keep: Keep | None = None,
) -> Document:
    """Return the document of a submission.

    Args:
        submission: what the user said.
        owner: "user@host"; None: whoever runs this.
        directory: what relative paths of the machine are relative to; None: the working directory.
        clean: "always", "never" or "on_success".
        clusters: the profiles that are known here, by name: one that runs in place must be.
        keep: takes the secrets of a machine that is described in the submission; None: they are refused.

    Raises:
        BadInput: with every fault.
    """
    if not isinstance(submission, Submission):
        submission = Submission.load_from_dict(submission)
    given = directory or working_directory()
    work = _Work(submission, given, _target(submission, given, clusters or {}, keep))
    return work.document(owner or this_user(), clean)


def identity(
    submission: Submission, *, clusters: Mapping[str, ClusterProfile] | None, keep: Keep
) -> SubmissionId:
    """Return the id that the document of a submission will have; its files need not be there yet."""
    given = working_directory()
    work = _Work(submission, given, _target(submission, given, clusters or {}, keep))
    return work.identity(work.template())


@cache
def this_user() -> str:
    """Return "user@host" of this process."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


class _Work:
    """One submission that is being prepared."""

    def __init__(self, submission: Submission, directory: str, target: _Target) -> None:
        self._submission = submission
        self._directory = directory
        self._target = target
        self._problems: list[Problem] = []
        base = os.path.expanduser(submission.work_base)  # noqa: PTH111
        self._source = real(os.path.join(self._target.local_root, base))  # noqa: PTH118
        self._inputs = _INPUTS

    def document(self, owner: str, clean: str) -> Document:
        """Return the document; raises `BadInput` with every fault."""
        self._check_source()
        common, digest = self._common()
        resources = self._resources()
        tasks = [
            self._task(number, task, digest)
            for number, task in enumerate(self._submission.task_list)
        ]
        template = self._template()
        self._problems += (
            refusals(self._target.batch_type, resources)
            if template is None
            else faults(template, resources)
        )
        self._problems += hindrances(
            self._submission.on_failure,
            resources,
            template=template,
            batch_type=self._target.batch_type,
        )
        self._raise_problems()
        header = self._header(owner, clean, resources, common, template)
        ordered = in_job_order(tasks, group_size=group_size(resources, len(tasks)))
        return Document(header=header, tasks=ordered)

    def identity(self, template: str | None) -> SubmissionId:
        """Return the submission's id; no file but the header's template counts."""
        where = list(self._target.targets) or self._target.identity
        source = self._source if self._target.in_place else None
        return submission_id(static(self._submission, where, source, template))

    def template(self) -> str | None:
        """Return the text of the header's template, if there is one; raises `BadInput` if it cannot be read."""
        text = self._template()
        self._raise_problems()
        return text

    def _check_source(self) -> None:
        if os.path.isdir(self._source):  # noqa: PTH112
            return
        parent, name = os.path.split(self._source)
        what = f"there is no directory {self._source!r}{near_name(parent, name)}"
        if os.path.exists(self._source):  # noqa: PTH110
            what = f"{self._source!r} is no directory; expected the one that holds the tasks'"
        self._problems.append(Problem("work_base", what))
        self._raise_problems()

    def _common(self) -> tuple[tuple[str, ...], str]:
        found = self._inputs.read(self._source, self._submission.forward_common_files)
        self._add("forward_common_files", found.faults)
        pairs = [list(pair) for pair in zip(found.names, found.digests, strict=True)]
        return found.names, task_key("", pairs) if pairs else ""

    def _task(self, number: int, task: Task, common: str) -> TaskSpec:
        path = inside(task.task_work_path)
        directory = f"{self._source}/{path}"
        found = self._inputs.read(directory, task.forward_files)
        if found.faults:
            self._add(f"task_list[{number}].forward_files", found.faults)
        elif self._target.in_place and not found.names:
            self._check_directory(number, directory, path)
        backward = _unique(map(inside, task.backward_files))
        out = task.outlog and inside(task.outlog)
        err = task.errlog and inside(task.errlog)
        return TaskSpec(
            position=number,
            command=task.command,
            path=path,
            forward=found.names,
            backward=backward,
            outlog=out,
            errlog=err,
            name=task.task_name,
            key=task_key(
                common, task.command, path, found.names, found.digests, backward, out, err
            ),
        )

    def _check_directory(self, number: int, directory: str, path: str) -> None:
        if not os.path.isdir(directory):  # noqa: PTH112
            what = f"there is no directory {directory!r}{near_name(self._source, path)}"
            self._problems.append(Problem(f"task_list[{number}].task_work_path", what))

    def _resources(self) -> Resources:
        """Return the resources with the batch type that counts."""
        given, batch_type = self._submission.resources, self._target.batch_type
        if batch_type is None or given.batch_type == batch_type:
            return given
        return given.model_copy(update={"batch_type": batch_type})

    def _template(self) -> str | None:
        name = self._submission.resources.strategy.customized_script_header_template_file
        if name is None:
            return None
        path = os.path.join(self._directory, os.path.expanduser(name))  # noqa: PTH111, PTH118
        try:
            with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123
                return file.read()
        except FileNotFoundError:
            what = f"there is no file {path!r}{near_name(self._directory, name)}"
        except OSError as error:
            what = f"{path!r} cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            what = f"{path!r} is no UTF-8 text"
        self._problems.append(Problem(_TEMPLATE, what))
        return None

    def _header(
        self,
        owner: str,
        clean: str,
        resources: Resources,
        common: tuple[str, ...],
        template: str | None,
    ) -> Header:
        given, target = self._submission, self._target
        return Header(
            submission=self.identity(template),
            owner=owner,
            cluster=target.cluster,
            targets=target.targets,
            anywhere=target.targets == (ANY,),
            placement=given.placement,
            requires=tuple(given.requires),
            priority=given.priority,
            machine=target.machine,
            name=given.name,
            source=self._source,
            work_base=given.work_base,
            in_place=target.in_place,
            resources=resources,
            forward_common=common,
            backward_common=_unique(map(inside, given.backward_common_files)),
            header_template=template,
            policy=_policy(given, target, clean),
            tasks=len(given.task_list),
        )

    def _add(self, where: str, faults: Iterable[Fault]) -> None:
        self._problems += [Problem(where, f"{fault.name!r}: {fault.what}") for fault in faults]
        if len(self._problems) > _MAX_PROBLEMS:
            self._raise_problems()

    def _raise_problems(self) -> None:
        if not self._problems:
            return
        cut = len(self._problems) > _MAX_PROBLEMS
        told = f"… and perhaps more: only {_MAX_PROBLEMS} are shown" if cut else ""
        raise BadInput(self._problems[:_MAX_PROBLEMS], told)


def _target(
    submission: Submission,
    directory: str,
    clusters: Mapping[str, ClusterProfile],
    keep: Keep | None,
) -> _Target:
    if submission.machine is not None:
        return _inline(submission.machine, directory, keep)
    names = [ClusterName(name) for name in names_of(submission.cluster)]
    known = _known(submission, clusters)
    all_known = len(known) == len(names) and names != [ANY]
    root = _local_root(submission, known)
    types = {profile.batch_type for profile in known}
    return _Target(
        cluster=names[0] if names else ClusterName(""),
        identity=names[0] if names else "",
        machine=None,
        targets=tuple(names) if len(names) > 1 or names == [ANY] else (),
        local_root=os.path.join(directory, os.path.expanduser(root)),  # noqa: PTH111, PTH118
        in_place=all_known and all(profile.in_place for profile in known),
        retry_count=max((one.retry_count for one in known), default=Policy().retry_count),
        batch_type=types.pop() if len(types) == 1 and all_known else None,
    )


def working_directory() -> str:
    """Return where this process is; raises `BadInput` where that directory was removed."""
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError as error:
        what = f"it cannot be told: {error.strerror}; was it removed? Change into one that exists"
        raise BadInput([Problem("the working directory", what)]) from None


def work_base_of(
    submission: Submission, directory: str, clusters: Mapping[str, ClusterProfile]
) -> str:
    """Return the directory of the tasks; whether it exists is another question.

    Raises:
        BadInput: the clusters do not agree on it.
    """
    if submission.machine is not None:
        root = submission.machine.local_root or "."
    else:
        root = _local_root(submission, _known(submission, clusters))
    parts = (os.path.expanduser(part) for part in (root, submission.work_base))  # noqa: PTH111
    return real(os.path.join(directory, *parts))  # noqa: PTH118


def _known(
    submission: Submission, clusters: Mapping[str, ClusterProfile]
) -> Sequence[ClusterProfile]:
    names = [ClusterName(name) for name in names_of(submission.cluster)]
    return [clusters[name] for name in (clusters if names == [ANY] else names) if name in clusters]


def _local_root(submission: Submission, known: Sequence[ClusterProfile]) -> str:
    """Return what the work base is relative to; several clusters have to agree on it.

    Raises:
        BadInput: they do not.
    """
    roots = sorted({profile.local_root or "." for profile in known})
    base = os.path.expanduser(submission.work_base)  # noqa: PTH111
    if len(roots) <= 1 or os.path.isabs(base):  # noqa: PTH117
        return roots[0] if roots else "."
    what = f"is relative, and the clusters' local_root differ ({', '.join(roots)}): expected an absolute path"
    raise BadInput([Problem("work_base", what)])


def _inline(machine: Machine, directory: str, keep: Keep | None) -> _Target:
    """Return the target of a machine; thousands of submissions often share one."""
    key = (id(machine), directory)
    known = _TARGETS.get(key)
    if known is not None and known[0] is machine:
        return known[1]
    profile = profile_of(machine, directory, keep=keep)
    root = os.path.expanduser(machine.local_root or ".")  # noqa: PTH111
    target = _Target(
        cluster=inline_name(profile),
        identity=inline_name(profile.public()),
        machine=profile.dump(),
        local_root=os.path.join(directory, root),  # noqa: PTH118
        in_place=machine.in_place,
        retry_count=machine.retry_count,
        batch_type=machine.batch_type,
    )
    if not machine.remote_profile.secrets():  # they are kept each time, or only looked at
        if len(_TARGETS) >= _REMEMBERED:
            _TARGETS.clear()
        _TARGETS[key] = (machine, target)
    return target


def _policy(given: Submission, target: _Target, clean: str) -> Policy:
    return Policy(
        continue_on_failure=given.continue_on_failure,
        retry_count=target.retry_count,
        ratio_unfinished=given.resources.strategy.ratio_unfinished,
        clean=clean,
        on_failure=given.on_failure if given.on_failure and given.on_failure.rules else None,
    )


def _unique(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


_INPUTS: Final = Inputs()
#: the machine is held with its target, so that no other can get its id
_TARGETS: Final[dict[tuple[int, str], tuple[Machine, _Target]]] = {}
