"""Rendering of job scripts: everything that one submit command needs, as files to write. Pure and byte-stable.

The script of a token, for two jobs of Slurm that load a module, is

    #!/bin/bash -l
    #SBATCH --nodes 1
    …
    # jobferry: run 3f2a9c01d5e7-2
    jf_run=3f2a9c01d5e7-2
    jf_control=/scratch/a/3f2a9c01d5e7-2/.jobferry/3f2a9c01d5e7-2
    …
    . "$jf_control/runtime.sh" || exit 72
    export REMOTE_ROOT=/scratch/a/3f2a9c01d5e7-2 DPDISPATCHER_NUMBER_NODE=1 …
    jf_module module_list load gcc
    jf_ready
    . "$jf_tasks"
    jf_wait_all
    jf_finish

and `$jf_tasks`, the file of one job, holds a line like `jf_task 34 task_34 log err 9f86d081884c7d65 out.txt` a task.
What users write for a shell (commands, prepend_script, append_script) stands in files of its own, so that a syntax
error in it ends nothing else.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from importlib import resources as package
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import BadInput, Problem
from jobferry_common.files import NewFile
from jobferry_common.scripts import quoting
from jobferry_common.scripts.cargo import Cargo
from jobferry_common.scripts.layout import command_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jobferry_common.document import Header, TaskSpec
    from jobferry_common.models.resources import Resources
    from jobferry_common.names import AttemptKey, Token
    from jobferry_common.schedulers.base import Scheduler
    from jobferry_common.scripts.layout import Layout

#: exit code of a script whose runtime.sh is not there
NO_RUNTIME: Final = 72

_RUNTIME: Final = package.files(__package__).joinpath("runtime.sh").read_bytes()
_ENVIRONMENT: Final = package.files(__package__).joinpath("environment.sh").read_bytes()
_TEMPLATE: Final = "resources.strategy.customized_script_header_template_file"


@dataclass(frozen=True, slots=True)
class _Script:
    """What a batch script is made of."""

    layout: Layout
    header: Header
    scheduler: Scheduler
    token: Token
    login_shell: bool
    array: bool
    elsewhere: bool


def batch_files(  # noqa: PLR0913 - one value for each thing that a submit consists of
    layout: Layout,
    header: Header,
    scheduler: Scheduler,
    token: Token,
    attempts: Sequence[AttemptKey],
    tasks_of: Mapping[int, Sequence[tuple[int, TaskSpec]]],
    *,
    login_shell: bool,
    array: bool,
    requeue: bool = False,
    elsewhere: bool = False,
) -> list[NewFile]:
    """Return every file of one submit command; the batch script is the last of them.

    `attempts` is the frozen list of the token; `tasks_of` gives (index, task) of each of its jobs. `elsewhere`: they
    are carried to a place that the script is told in `jf_place`; what to carry is in a file beside it.

    Raises:
        BadInput: something in `header` cannot be expressed for this scheduler, or not in bash.
    """
    script = _Script(layout, header, scheduler, token, login_shell, array, elsewhere)
    listed = "".join(f"{attempt}\n" for attempt in attempts)
    files = [
        NewFile(path=layout.runtime, content=_RUNTIME),
        *_own_code(layout, header.resources),
        *_tasks(layout, tasks_of),
        NewFile(path=layout.list(token), content=listed.encode()),
        _file(layout.script(token), "\n".join(_lines(script, requeue=requeue)), mode=0o755),
    ]
    if not elsewhere:
        return files
    cargo = Cargo.of(layout, header, files, attempts, tasks_of)
    return [NewFile(path=layout.cargo(token), content=cargo.pack()), *files]


def custom_header(template: str, resources: Resources) -> list[str]:
    """Fill the user's template with the fields of `resources`, and add the custom_flags.

    Raises:
        BadInput: it names a field that `resources` does not have, or is no template for `str.format`.
    """
    fields = resources.model_dump(mode="json")
    try:
        text = template.format(**fields)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:
        what = f"{error!r}; expected a template for str.format with the fields {', '.join(fields)}"
        raise BadInput([Problem(_TEMPLATE, what)]) from error
    # not `splitlines`: what bash takes for one line must not become two
    lines = text.removesuffix("\n").split("\n") if text else []
    return [*lines, *resources.custom_flags]


def header_lines(header: Header, scheduler: Scheduler, *, requeue: bool = False) -> list[str]:
    """Return the header of the script as scheduler or user have it, without a shebang unless the user gave one.

    Raises:
        BadInput: something in `header` cannot be expressed for this scheduler.
    """
    if header.header_template is None:
        return list(scheduler.header(header.resources, requeue=requeue))
    return custom_header(header.header_template, header.resources)


def _lines(script: _Script, *, requeue: bool) -> Iterator[str]:
    yield from _header(script, requeue=requeue)
    yield from _place(script)
    yield f'. "$jf_control/runtime.sh" || exit {NO_RUNTIME}'
    yield from _environment(script)
    yield '. "$jf_tasks"'
    yield "jf_wait_all"
    if script.header.resources.append_script:
        yield "jf_append"
        yield '. "$jf_control/append.sh"'
    yield "jf_finish"
    yield ""


def _header(script: _Script, *, requeue: bool) -> Iterator[str]:
    shebang = "#!/bin/bash -l" if script.login_shell else "#!/bin/bash"
    lines = header_lines(script.header, script.scheduler, requeue=requeue)
    if not (lines and lines[0].startswith("#!")):
        yield shebang
    for line in lines:
        yield _one_line(line)


def _one_line(line: str) -> str:
    """Refuse a value that would begin a line of its own in the script."""
    if "\n" in line or "\r" in line or "\0" in line:
        raise BadInput([Problem("resources", f"{line!r}: a header line cannot hold a line break")])
    return line


def _place(script: _Script) -> Iterator[str]:
    layout, resources = script.layout, script.header.resources
    yield f"# jobferry: run {layout.run}"
    yield f"jf_run={quoting.word(layout.run)}"
    yield f"jf_control={_path(script, layout.control)}"
    yield f"jf_base={_path(script, layout.base)}"
    spool = posixpath.join(layout.control, "spool") if script.elsewhere else layout.spool
    yield f"jf_spool={_path(script, spool)}"
    yield f"jf_list={_path(script, layout.list(script.token))}"
    index = script.scheduler.index_expression() if script.array else ""
    yield f'jf_index="{index or 0}"'
    yield f'jf_id="{script.scheduler.job_id_expression()}"'
    yield f"jf_para_deg={max(resources.para_deg, 1)}"
    gpus = resources.gpu_per_node if resources.strategy.if_cuda_multi_devices else 0
    yield f"jf_gpus={gpus}"


def _path(script: _Script, path: str) -> str:
    """Return the word for a path of the run; elsewhere it lies below what the script is told."""
    if not script.elsewhere:
        return quoting.word(path)
    inner = posixpath.relpath(path, script.layout.base)
    return '"$jf_place"' if inner == "." else f'"$jf_place"/{quoting.word(inner)}'


def _environment(script: _Script) -> Iterator[str]:
    resources = script.header.resources
    yield "export " + " ".join(_announced(script, resources))
    if resources.says_threads:
        yield f"export OMP_NUM_THREADS={resources.threads_per_rank}"
    if _needs_environment(resources):
        yield f'. "$jf_control/environment.sh" || exit {NO_RUNTIME}'
    if resources.module_purge:
        yield "jf_module module_purge purge"
    for name in _filled(resources.module_unload_list):
        yield f"jf_module module_unload_list unload {quoting.words(name.split())}"
    for name in _filled(resources.module_list):
        yield f"jf_module module_list load {quoting.words(name.split())}"
    for source in _filled(resources.source_list):
        yield f"jf_find {quoting.word(source)}"
        yield 'source "${jf_words[@]}"'
    yield from _exports(resources)
    if resources.prepend_script:
        yield "jf_step=prepend_script"
        yield '. "$jf_control/prepend.sh"'
    yield "jf_ready 1" if resources.prepend_script or resources.source_list else "jf_ready"


def _needs_environment(resources: Resources) -> bool:
    modules = resources.module_purge or resources.module_unload_list or resources.module_list
    return bool(modules or resources.source_list or resources.envs)


def _announced(script: _Script, resources: Resources) -> Iterator[str]:
    yield f"REMOTE_ROOT={_path(script, script.layout.base)}"
    yield f"DPDISPATCHER_NUMBER_NODE={resources.number_node}"
    yield f"DPDISPATCHER_CPU_PER_NODE={resources.cpu_per_node}"
    yield f"DPDISPATCHER_GPU_PER_NODE={resources.gpu_per_node}"
    queue = quoting.word(resources.queue_name) if resources.queue_name else ""
    yield f"DPDISPATCHER_QUEUE_NAME={queue}"
    yield f"DPDISPATCHER_GROUP_SIZE={resources.group_size}"


def _filled(items: Iterable[str]) -> Iterator[str]:
    """Return those that say something: an empty one only holds its place."""
    return filter(str.strip, items)


def _exports(resources: Resources) -> Iterator[str]:
    for name, value in resources.envs.items():
        checked = quoting.variable(name, f"resources.envs.{name}")
        for item in value if isinstance(value, list | tuple) else (value,):
            yield f"jf_export {checked} {quoting.word(quoting.expanding(str(item)))}"


def _own_code(layout: Layout, resources: Resources) -> Iterator[NewFile]:
    if _needs_environment(resources):
        yield NewFile(path=layout.environment, content=_ENVIRONMENT)
    if resources.prepend_script:
        yield _file(layout.prepend, "\n".join([*resources.prepend_script, "jf_complete=1", ""]))
    if resources.append_script:
        yield _file(layout.append, "\n".join([*resources.append_script, ""]))


def _tasks(
    layout: Layout, tasks_of: Mapping[int, Sequence[tuple[int, TaskSpec]]]
) -> Iterator[NewFile]:
    commands: dict[str, str] = {}
    for job, tasks in tasks_of.items():
        yield _file(layout.job(job), "".join(_calls(tasks, commands)))
    for command in commands:
        yield _file(layout.command(command), f"{command}\n")


def _calls(tasks: Iterable[tuple[int, TaskSpec]], commands: dict[str, str]) -> Iterator[str]:
    for index, task in tasks:
        digest = commands.get(task.command)
        if digest is None:
            digest = commands[task.command] = command_digest(task.command)
        texts = (task.path, task.outlog or "", task.errlog or "", digest, *task.backward)
        yield f"jf_task {index} {quoting.words(texts)}\n"


def _file(path: str, text: str, mode: int = 0o644) -> NewFile:
    return NewFile(path=path, content=text.encode("utf-8", "surrogateescape"), mode=mode)
