"""Around the tasks: modules, source files, exports, prepend_script, append_script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobferry_common.errors import BadInput
from tests.common.scripts.workbench import task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.common.scripts.workbench import Ran, Workbench

#: an Environment Modules that knows two modules; MODULES_3 makes it exit with 0 like release 3
MODULES = """
module() {
    echo "$*" >> "$MODULE_CALLS"
    [[ $1 == load ]] || return 0
    shift
    local name
    for name in "$@"; do
        case $name in
            gcc|mpi/4) export LOADEDMODULES=$LOADEDMODULES:$name PATH=/modules/$name/bin:$PATH ;;
            quiet) ;;
            *) echo "ERROR: Unable to locate a modulefile for '$name'" >&2; [[ $MODULES_3 ]]; return ;;
        esac
    done
}
"""


@pytest.fixture
def modules(bench: Workbench, tmp_path: Path) -> Path:
    """Give the script a `module` function, as a login shell would."""
    (tmp_path / "modules.sh").write_text(MODULES)
    calls = tmp_path / "calls"
    bench.environment = {
        "BASH_ENV": str(tmp_path / "modules.sh"),
        "MODULE_CALLS": str(calls),
        "LOADEDMODULES": "",
    }
    return calls


def shown(bench: Workbench, expression: str, **fields: Any) -> str:
    """Return what a task sees."""
    bench.run([task(f'printf "%s" "{expression}" > seen')], **fields)
    return bench.text("work/seen")


def failed(ran: Ran) -> str:
    """Return why a job ran no task at all."""
    assert (ran.code != 0, ran.codes, ran.record.provisional) == (True, {}, False)
    return ran.record.reason


def test_modules_are_purged_unloaded_and_loaded_in_this_order(
    bench: Workbench, modules: Path
) -> None:
    seen = shown(
        bench,
        "$LOADEDMODULES",
        module_purge=True,
        module_unload_list=["old", "older"],
        module_list=["gcc", "mpi/4 quiet"],
    )
    assert seen == ":gcc:mpi/4"
    assert modules.read_text().splitlines() == [
        "purge",
        "unload old",
        "unload older",
        "load gcc",
        "load mpi/4 quiet",
    ]


@pytest.mark.parametrize("release_3", ["", "1"])
def test_a_missing_module_fails_the_job_by_name(
    bench: Workbench, modules: Path, release_3: str
) -> None:
    bench.environment = {**bench.environment, "MODULES_3": release_3}
    ran = bench.run([task("touch never")], module_list=["gcc", "nope/1.0"])
    assert "module_list: nope/1.0 cannot be loaded" in failed(ran)
    assert "Unable to locate" in ran.record.reason
    assert "Unable to locate" in ran.stderr
    assert not bench.path("work").exists()
    assert modules.exists()


def test_without_modules_the_login_shell_is_suggested(bench: Workbench) -> None:
    reason = failed(bench.run([task("true")], module_list=["gcc"]))
    assert "there is no command 'module'" in reason
    assert "login shell" in reason


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_item_is_a_place_and_nothing_else(bench: Workbench, empty: str) -> None:
    names = ("source_list", "module_list", "module_unload_list")
    lists: dict[str, Any] = {name: [empty] for name in names}
    ran = bench.run([task("true")], **lists)
    assert (ran.code, ran.record.succeeded(1)) == (0, True)


@pytest.mark.parametrize(
    "item",
    [
        "env.sh",
        "./env.sh",
        "$HERE/env.sh",
        "${HERE}/env.sh with arguments",
        '"$HERE"/env.sh',
        "a b $(touch pwned).sh",
    ],
)
def test_source_files_are_found_as_bash_finds_them(bench: Workbench, item: str) -> None:
    bench.environment = {"HERE": str(bench.path(""))}
    bench.path("").mkdir(parents=True)
    for name in ("env.sh", "a b $(touch pwned).sh"):
        bench.path(name).write_text(
            "declare -x SOURCED=yes; ARGUMENTS=$*; hello() { echo hi; }; false\n"
        )
    assert shown(bench, "$SOURCED,$ARGUMENTS,$(hello)", source_list=[item]) == (
        "yes,with arguments,hi" if " with" in item else "yes,,hi"
    )
    assert not list(bench.directory.rglob("pwned"))


def test_a_source_file_on_the_path_is_found(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "activate").write_text("ENV=$1\n")
    bench.environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    assert shown(bench, "$ENV", source_list=["activate science"]) == "science"


@pytest.mark.parametrize(
    "item", ["/no/such/env.sh", "none.sh arguments", "it's", "$NOWHERE/x", "/tmp"]
)
def test_a_missing_source_file_fails_the_job_by_name(bench: Workbench, item: str) -> None:
    ran = bench.run([task("true")], source_list=[item])
    assert failed(ran).startswith(f"source_list: {item} is missing")
    assert "is missing" in ran.stderr


def test_exports_may_use_variables_and_may_build_on_each_other(bench: Workbench) -> None:
    envs = {"BASE": "/opt/my tools", "LIST": ["$BASE/a", "$LIST:$BASE/b"], "NUMBER": 4}
    assert (
        shown(bench, "$BASE|$LIST|$NUMBER", envs=envs)
        == "/opt/my tools|/opt/my tools/a:/opt/my tools/b|4"
    )


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("plain", "plain"),
        ("-O2 -g", "-O2 -g"),
        ("'quoted by the user $X'", "quoted by the user $X"),
        ('"quoted $X"', "quoted x"),
        ('say "hi"', 'say "hi"'),
        ("it's", "it's"),
        ('$(echo "a b")', "a b"),
        ("`echo a`", "a"),
        ("${X:-y}${NONE:-{z}}", "x{z}"),
        ("unbalanced $(", "unbalanced $("),
        ("unbalanced ${X", "unbalanced ${X"),
        ("unbalanced `", "unbalanced `"),
        (r"\$X", "$X"),
        ('"$X"/bin:$X', "x/bin:x"),
        ("'a b':\"c d\"", "a b:c d"),
        ("'a b' \"c d\"", "'a b' \"c d\""),
        ("{a,b}", "{a,b}"),
        ("end\\", "end\\"),
        ("*", "*"),
        ("a; touch pwned", "a; touch pwned"),
        ("two\nlines", "two\nlines"),
        ("", ""),
    ],
)
def test_an_export_is_what_stands_between_double_quotes(
    bench: Workbench, value: str, seen: str
) -> None:
    bench.environment = {"X": "x"}
    assert shown(bench, "$VALUE", envs={"VALUE": value}) == seen
    assert not list(bench.directory.rglob("pwned"))


@pytest.mark.parametrize(("name", "value"), [("UID", "0"), ("BROKEN", "$(case)")])
def test_an_export_that_fails_fails_the_job_by_name(
    bench: Workbench, name: str, value: str
) -> None:
    assert f"envs: {name}" in failed(bench.run([task("true")], envs={name: value}))


def test_the_resources_are_told_to_the_tasks(bench: Workbench) -> None:
    names = ("NUMBER_NODE", "CPU_PER_NODE", "GPU_PER_NODE", "QUEUE_NAME", "GROUP_SIZE")
    expression = "|".join(["$REMOTE_ROOT", *(f"$DPDISPATCHER_{name}" for name in names)])
    fields = {
        "number_node": 2,
        "cpu_per_node": 3,
        "gpu_per_node": 1,
        "queue_name": "a b",
        "group_size": 7,
    }
    assert shown(bench, expression, **fields) == f"{bench.layout.base}|2|3|1|a b|7"


def test_the_order_is_modules_source_exports_prepend(bench: Workbench, modules: Path) -> None:
    bench.path("").mkdir(parents=True)
    bench.path("env.sh").write_text('TRACE="$LOADEDMODULES s"\n')
    envs = {"TRACE": "$TRACE e"}
    seen = shown(
        bench,
        "$TRACE",
        module_list=["gcc"],
        source_list=["env.sh"],
        envs=envs,
        prepend_script=['TRACE="$TRACE p"'],
    )
    assert seen == ":gcc s e p"
    assert modules.exists()


def test_functions_and_variables_of_prepend_are_seen_by_tasks_and_append(bench: Workbench) -> None:
    prepend = ["f() {", '  echo "$1 $V"', "}", "V=value", "declare -A MAP=([a]=b)", "cd /"]
    ran = bench.run(
        [task('f task; echo "${MAP[a]}"')],
        prepend_script=prepend,
        append_script=['f append > "$REMOTE_ROOT/appended"'],
    )
    assert ran.code == 0
    assert bench.text("work/log") == "task value\nb\n"
    assert bench.text("appended") == "append value\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("echo 'open", "not run to its end"),
        ("if", "not run to its end"),
        ("return", "not run to its end"),
        ("exit 3", "prepend_script ended the job with status 3"),
        ("exit", "prepend_script ended the job with status 0"),
        ("set -e; false", "prepend_script ended the job with status 1"),
        ("set -u; echo $NO_SUCH_NAME", "prepend_script ended the job with status"),
    ],
)
def test_a_prepend_script_that_does_not_come_to_its_end_fails_the_job(
    bench: Workbench, line: str, why: str
) -> None:
    assert why in failed(bench.run([task("true")], prepend_script=["true", line]))


def test_a_failing_command_of_prepend_is_nobodys_failure(bench: Workbench) -> None:
    assert bench.run([task("true")], prepend_script=["false", "no-such-command"]).code == 0


def test_options_set_in_prepend_hold_in_tasks_and_not_in_ours(bench: Workbench) -> None:
    options = [
        "set -euCf -o pipefail",
        "shopt -s nullglob failglob",
        "IFS=0123456789/",
        "unset HOME",
    ]
    tasks = [
        task("false; touch never"),
        task("echo $NO_SUCH_NAME; touch never"),
        task("echo x > file; echo y > file"),
        task('[ "$(echo *)" = "*" ]'),
        task("false | true"),
        task("touch 1.dat", backward=("1.dat", "*.dat")),
    ]
    ran = bench.run(tasks, prepend_script=options, append_script=["false"], para_deg=2)
    codes = ran.codes
    assert [bool(codes[number]) for number in range(6)] == [True, True, True, False, True, False]
    assert all(end.ok for end in ran.record.tasks if end.task == 5)
    assert not bench.path("work/never").exists()


def test_a_broken_path_does_not_stop_the_record(bench: Workbench) -> None:
    ran = bench.run([task("true", "deep/er")], envs={"PATH": "/nowhere"})
    assert ran.record.succeeded(1)


def test_append_runs_although_a_task_failed(bench: Workbench) -> None:
    ran = bench.run([task("exit 3")], append_script=["touch appended"])
    assert (ran.code, ran.codes, bench.path("appended").exists()) == (3, {0: 3}, True)


@pytest.mark.parametrize(
    "line", ["exit 9", "echo 'open", "false", "return 1", "set -u; echo $NONE"]
)
def test_append_cannot_spoil_the_work(bench: Workbench, line: str) -> None:
    ran = bench.run([task("true")], append_script=[line])
    assert (ran.code, ran.record.succeeded(1), ran.record.reason) == (0, True, "")


@pytest.mark.parametrize("append", [[], ["exit 4"]])
def test_an_exit_trap_of_prepend_is_run_at_the_end(bench: Workbench, append: list[str]) -> None:
    prepend = ["trap 'echo \"it'\\''s over\" > \"$REMOTE_ROOT/trapped\"' EXIT"]
    ran = bench.run([task("[ ! -e ../trapped ]")], prepend_script=prepend, append_script=append)
    assert (ran.code, ran.record.succeeded(1)) == (0, True)
    assert bench.text("trapped") == "it's over\n"


def test_the_reason_of_a_failure_keeps_its_line_breaks(bench: Workbench) -> None:
    ran = bench.run([task("true")], envs={"UID": "& a\\\\n\nb"})
    assert failed(ran) == 'envs: UID cannot be set to "& a\\\\n\nb"'


def test_a_header_template_is_filled_and_the_flags_follow(bench: Workbench) -> None:
    bench.run(
        [task("true")],
        header_template="#!/bin/bash\n#PBS -l select={number_node}\n#PBS -q {queue_name}",
        number_node=3,
        queue_name="big",
        custom_flags=["#PBS -A me"],
    )
    (script,) = bench.path(".jobferry").glob("*/batch/*.sh")
    assert script.read_text().splitlines()[:4] == [
        "#!/bin/bash",
        "#PBS -l select=3",
        "#PBS -q big",
        "#PBS -A me",
    ]


@pytest.mark.parametrize("template", ["{number_nodes}", "{", "{0}", "{number_node.x.y}"])
def test_a_header_template_that_cannot_be_filled_is_bad_input(
    bench: Workbench, template: str
) -> None:
    with pytest.raises(BadInput, match=r"customized_script_header_template_file.*number_node"):
        bench.run([task("true")], header_template=template)
