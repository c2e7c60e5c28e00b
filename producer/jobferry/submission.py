"""Submission: what a user builds, changes, hands over and waits for.

    submission = Submission("work", machine=machine, resources=Resources(group_size=1))
    submission.register_task(Task(command="cat in > out", task_work_path="a", forward_files=["in"]))
    submission.run_submission()

It holds the words of the user and nothing else. `model()` checks them all at once, `prepare()` looks at the files,
`submit()` hands over and returns a handle at once. Names and arguments are those of DPDispatcher.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from jobferry.jobs import Job, WithJobs, written
from jobferry.prepare import identity, prepare
from jobferry.targets import elsewhere
from jobferry_common.errors import BadInput, WorkFailed
from jobferry_common.models import reading
from jobferry_common.models.doubled import like
from jobferry_common.models.lacking import lacking
from jobferry_common.models.machine import Machine
from jobferry_common.models.placement import FAIR
from jobferry_common.models.resources import Resources
from jobferry_common.models.submission import TARGETS, UNBOUND, clean_policy
from jobferry_common.models.submission import Submission as Model
from jobferry_common.models.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobferry.client import Client
    from jobferry.handle import Handle
    from jobferry_common.document import Document
    from jobferry_common.models.cluster import ClusterProfile, Keep
    from jobferry_common.models.failures import OnFailure
    from jobferry_common.models.placement import Clusters, Placement

#: programs of DPDispatcher import from its module of this name
__all__ = ["Job", "Machine", "Resources", "Submission", "Task"]

#: a machine, its description, or the name of a cluster
Target = Machine | str | dict[str, Any] | None


class Submission(WithJobs):
    """A set of tasks with resources, common files and a target.

    Args:
        work_base: the directory of the tasks, below the machine's local_root.
        machine: where it runs; also a dict, or the name of a cluster that a worker serves.
        resources: of each job. As second argument in place of a machine it is taken as well.
        forward_common_files: files or globs below `work_base` that all tasks need.
        backward_common_files: files or globs below `work_base` that come back.
        task_list: the tasks; more can be registered.
        continue_on_failure: a failed job does not end the others.
        cluster: in place of a machine: the name of a cluster, a list of names whose clusters share the work, or "any".
        placement: which of several clusters is liked better: "fair", "order" (of the list), or weights by name. The
            others do what it has no room for.
        requires: tags that a cluster's profile must have.
        priority: of your own submissions, those with more go first.
        on_failure: rules for jobs that fail, by how they failed.
        name: your own word for it, shown in lists.
        clean: whether files on the cluster are removed at the end: True, False or "on_success".
        previous_submission_hash: DPDispatcher's; runs are resumed without it.
    """

    handle: Handle | None = None  #: of the last submit
    _file: str = ""  #: where it was read from, for messages

    def __init__(  # noqa: PLR0913 - DPDispatcher's arguments
        self,
        work_base: str | os.PathLike[str],
        machine: Target | Resources = None,
        resources: Resources | Mapping[str, Any] | None = None,
        forward_common_files: Iterable[str] | None = None,
        backward_common_files: Iterable[str] | None = None,
        *,
        task_list: Iterable[Task] | None = None,
        continue_on_failure: bool = False,
        cluster: Clusters | None = None,
        placement: Placement = FAIR,
        requires: Iterable[str] = (),
        priority: int = 0,
        name: str = "",
        clean: bool | str = True,
        previous_submission_hash: str | None = None,
        on_failure: OnFailure | Mapping[str, Any] | None = None,
    ) -> None:
        """Take the words; nothing is checked yet."""
        self.work_base = os.fspath(work_base) if isinstance(work_base, os.PathLike) else work_base
        self.machine: Machine | dict[str, Any] | None = None
        self.cluster = cluster
        self.placement = placement
        self.requires = tuple(requires)
        self.priority = priority
        self.resources = resources
        self.forward_common_files = list(forward_common_files or ())
        self.backward_common_files = list(backward_common_files or ())
        self.task_list = list(task_list or ())
        self.continue_on_failure = continue_on_failure
        self.name = name
        self.clean = clean
        self.previous_submission_hash = previous_submission_hash
        self.on_failure = on_failure
        self.belonging_jobs: list[Job] = []
        if isinstance(machine, Resources):
            self.resources = resources or machine
        elif machine is not None:
            self.bind_machine(machine)

    @classmethod
    def of(cls, model: Model) -> Self:
        """Return a submission that says what a model says."""
        fields = {name: getattr(model, name) for name in Model.model_fields}
        return cls(**fields)

    @classmethod
    def load(
        cls, path: str | Path, *, allow_ref: bool = False, cluster: Clusters | None = None
    ) -> Self:
        """Read a file whose name ends in .json, .yaml, .yml or .toml.

        Args:
            path: the file.
            allow_ref: resolve `{"$ref": "other.json"}`.
            cluster: a cluster, several, or "any", in place of the file's target.

        Raises:
            BadInput: with every fault of the file.
        """
        label, data = reading.read_file(path, allow_ref=allow_ref)
        if cluster is not None and isinstance(data, dict):
            data = like(data, elsewhere(data, cluster))
        submission = cls.of(Model.load_from_dict(data, where=label))
        submission._file = label  # noqa: SLF001 - our own class
        return submission

    @classmethod
    def load_from_json(cls, path: str | Path, *, allow_ref: bool = False) -> Self:
        """Read a JSON file; raises `BadInput` with every fault."""
        return cls.of(Model.load_from_json(path, allow_ref=allow_ref))

    @classmethod
    def load_from_yaml(cls, path: str | Path, *, allow_ref: bool = False) -> Self:
        """Read a YAML file; raises `BadInput` with every fault."""
        return cls.of(Model.load_from_yaml(path, allow_ref=allow_ref))

    @classmethod
    def load_from_toml(cls, path: str | Path, *, allow_ref: bool = False) -> Self:
        """Read a TOML file; raises `BadInput` with every fault."""
        return cls.of(Model.load_from_toml(path, allow_ref=allow_ref))

    @classmethod
    def load_from_dict(cls, data: Mapping[str, Any], *, allow_ref: bool = False) -> Self:
        """Take plain values, as JSON has them; raises `BadInput` with every fault."""
        return cls.of(Model.load_from_dict(data, allow_ref=allow_ref))

    @classmethod
    def deserialize(
        cls,
        submission_dict: Mapping[str, Any],
        machine: Target = None,
        *,
        bind_context: bool = True,
    ) -> Self:
        """Take what `serialize` gave, with another machine if one is given; raises `BadInput` with every fault."""
        del bind_context  # DPDispatcher's; nothing is connected to before work is handed over
        if machine is None:
            found = cls.load_from_dict(submission_dict)
        else:
            rest = {key: value for key, value in submission_dict.items() if key not in TARGETS}
            found = cls.load_from_dict({**rest, "cluster": UNBOUND}).bind_machine(machine)
        jobs = submission_dict.get("belonging_jobs") or ()
        found.belonging_jobs = [Job.deserialize(job) for job in jobs]
        return found

    def register_task(self, task: Task) -> None:
        """Add a task."""
        self.task_list.append(task)

    def register_task_list(self, task_list: Iterable[Task]) -> None:
        """Add tasks."""
        self.task_list.extend(task_list)

    def bind_machine(
        self, machine: Machine | str | dict[str, Any] | None, *, bind_context: bool = True
    ) -> Self:
        """Choose where it runs: a machine, or the name of a cluster. `bind_context` is DPDispatcher's."""
        del bind_context
        if isinstance(machine, str):
            self.machine, self.cluster = None, machine
        else:
            self.machine, self.cluster = machine, None
        return self

    def bind_batch(self, batch: Machine | str | dict[str, Any] | None) -> Self:
        """Do what `bind_machine` does, under its older name."""
        return self.bind_machine(batch)

    def model(self) -> Model:
        """Return what was said, checked.

        Raises:
            BadInput: with every fault.
        """
        return self._model()

    def _described(self) -> Model:
        return self._model(cluster=self.cluster if self.machine else self.cluster or UNBOUND)

    def _model(self, **others: Any) -> Model:
        given: dict[str, Any] = {
            name: getattr(self, name) for name in Model.model_fields if hasattr(self, name)
        }
        given["task_list"] = tuple(self.task_list)
        if given["resources"] is None:
            del given["resources"]
        return Model(**{**given, **others})

    @property
    def belonging_tasks(self) -> list[Task]:
        """The tasks, under DPDispatcher's name."""
        return self.task_list

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - a plain value
        """Return one of the values that `serialize` gives."""
        return self.serialize()[key]

    def serialize(self, if_static: bool = False) -> dict[str, Any]:
        """Return plain values that `deserialize` takes; secrets are left out, a target may be missing.

        Args:
            if_static: True leaves out "belonging_jobs", and the run's id, which stands under "_run" once it was
                submitted.
        """
        plain = self._described().serialize()
        if plain["cluster"] == UNBOUND:
            plain["cluster"] = None
        if if_static:
            return plain
        plain["belonging_jobs"] = written(self.belonging_jobs)
        if self.handle is not None:
            plain["_run"] = self.handle.id
        return plain

    def __eq__(self, other: object) -> bool:
        """Tell whether another submission says the same; how far their runs are does not count."""
        if not isinstance(other, Submission):
            return NotImplemented
        return self.serialize(if_static=True) == other.serialize(if_static=True)

    __hash__ = None  # type: ignore[assignment] # what can be changed is no key

    if not TYPE_CHECKING:

        def __getattr__(self, name):  # noqa: ANN001, ANN204
            """Say what to use in place of a name of DPDispatcher's."""
            raise AttributeError(lacking("Submission", name))

    def prepare(
        self,
        *,
        clusters: Mapping[str, ClusterProfile] | None = None,
        keep: Keep | None = None,
    ) -> Document:
        """Check everything, the files included, and return the document that is handed over.

        Args:
            clusters: the profiles that are known here; None reads the settings if a cluster is named.
            keep: takes the secrets of a machine that is described here. None writes none, and refuses them
                where there is no embedded stack to keep them.

        Raises:
            BadInput: with every fault.
        """
        given = self._around(clusters, keep)
        model, clean = self.model(), clean_policy(self.clean)
        try:
            return prepare(model, clean=clean, **given)
        except BadInput as error:
            raise error.within(self._file) from None

    def _around(
        self, clusters: Mapping[str, ClusterProfile] | None = None, keep: Keep | None = None
    ) -> dict[str, Any]:
        """Return the profiles that are known here, and who takes secrets."""
        if clusters is None and self.cluster is not None:
            from jobferry_common.settings import load_settings

            clusters = load_settings().clusters
        from jobferry.stack.secrets import Keeper

        return {"clusters": clusters, "keep": keep or Keeper(write=False)}

    @property
    def local_root(self) -> str | None:
        """The machine's local_root as an absolute path; None without a machine."""
        machine = self._described().machine
        return None if machine is None else os.path.realpath(machine.local_root or ".")

    @property
    def submission_hash(self) -> str:
        """The submission's id: the hash of what it says. Its files need not be there yet."""
        return identity(self.model(), **self._around())

    def get_hash(self) -> str:
        """Return `submission_hash`."""
        return self.submission_hash

    def submission_to_json(self, json_file_name: str = "submission.json") -> None:
        """Write a file that `submission_from_json` and `jobferry submit` read; secrets are left out."""
        Path(json_file_name).write_text(
            json.dumps(self.serialize(if_static=True), indent=4), encoding="utf-8"
        )

    @classmethod
    def submission_from_json(cls, json_file_name: str = "submission.json") -> Self:
        """Read what `submission_to_json` wrote; raises `BadInput` with every fault."""
        return cls.load_from_json(json_file_name)

    def submit(self, *, client: Client | None = None, reuse: bool = True) -> Handle:
        """Hand the work over and return at once.

        Args:
            client: the way to the broker; None connects, and starts the embedded stack where no broker is set.
            reuse: join a run of the same submission that is in flight, and take over what an earlier one
                finished. False starts afresh.

        Raises:
            BadInput: something is wrong, with every fault.
            Conflict: another run works in the same directory.
            BrokerUnreachable: the broker does not answer; nothing was submitted.
        """
        from jobferry.submit import submit_one

        self.handle = submit_one(self, client=client, reuse=reuse)
        return self.handle

    def run_submission(
        self,
        *,
        dry_run: bool = False,
        exit_on_submit: bool = False,
        clean: bool | str | None = None,
        check_interval: float | None = None,
        continue_on_failure: bool | None = None,
    ) -> dict[str, Any]:
        """Submit, show the progress, and return once the results are here; Ctrl-C leaves the work running.

        Args:
            dry_run: check everything and print the scripts; submit nothing.
            exit_on_submit: return as soon as the work is handed over.
            clean: whether files on the cluster are removed at the end: True, False or "on_success".
            check_interval: DPDispatcher's; news arrive by themselves here.
            continue_on_failure: whether a failed job does not end the others; None: as the submission says.

        Raises:
            WorkFailed: a job failed; the message holds a table of what failed.
        """
        del check_interval
        if clean is not None:
            self.clean = clean
        if continue_on_failure is not None:
            self.continue_on_failure = continue_on_failure
        if dry_run:
            from jobferry.preview import print_scripts

            print_scripts(self.prepare())
            return self.serialize(if_static=True)
        from jobferry.progress import working

        with working("checking files and handing over"):
            handle = self.submit()
        if not exit_on_submit:
            self._wait(handle)
        self.update_submission_state()
        return self.serialize()

    def _wait(self, handle: Handle) -> None:
        from jobferry.waiting import wait_checked

        try:
            wait_checked(handle)
        except WorkFailed:
            self.update_submission_state()  # for who catches it and looks at the jobs
            raise

    async def async_run_submission(self, **arguments: Any) -> dict[str, Any]:
        """Do what `run_submission` does, beside other coroutines."""
        from asyncio import to_thread

        return await to_thread(self.run_submission, **arguments)
