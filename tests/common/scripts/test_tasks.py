"""Tasks: each command on its own, its end recorded, its logs where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobferry_common.names import AttemptKey
from tests.common.scripts.workbench import Workbench, names, task


def test_code_start_and_end_of_every_task_are_recorded(bench: Workbench) -> None:
    ran = bench.run([task("sleep 0.2"), task("exit 3"), task("kill -SEGV $BASHPID")])
    assert ran.codes == {0: 0, 1: 3, 2: 139}
    assert ran.code == 3
    first, second, _ = ran.record.tasks
    assert ran.record.started <= first.started < first.ended <= second.started
    assert first.ended - first.started >= 0.2
    assert (ran.record.provisional, ran.record.attempt, ran.record.reason) == (
        False,
        AttemptKey(0, 1),
        "",
    )


def test_a_syntax_error_fails_its_own_task_alone(bench: Workbench) -> None:
    ran = bench.run(
        [
            task("echo 'open", "a"),
            task("echo hi # note", "b"),
            task("if then", "c"),
            task("echo x", "d"),
        ]
    )
    assert ran.codes == {0: 2, 1: 0, 2: 2, 3: 0}
    assert "unexpected EOF" in bench.text("a/err")
    assert "syntax error" in bench.text("c/err")
    assert (bench.text("b/log"), bench.text("d/log")) == ("hi\n", "x\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 7", 7),
        ("return 6", 6),
        ("exec sh -c 'exit 5'", 5),
        ("trap 'true' EXIT; exit 4", 4),
        ("no-such-command", 127),
        ("false\nfalse || exit 9\necho never", 9),
        ("cat <<EOF\n$(echo two)\nlines\nEOF", 0),
        ("", 0),
        ("# only a note", 0),
        ("true \\", 0),
    ],
)
def test_a_command_ends_with_its_own_code(bench: Workbench, command: str, code: int) -> None:
    ran = bench.run([task(command), task("echo next >> next")])
    assert ran.codes == {0: code, 1: 0}


def test_what_one_task_changes_another_does_not_see(bench: Workbench) -> None:
    changes = "X=1; cd /; umask 777; set -e; jf_base=/nowhere; shopt -s failglob; IFS=/; f() { :; }"
    look = task('[ -z "$X" ] && ! type f && pwd && umask')
    ran = bench.run([task(changes), look])
    assert ran.codes == {0: 0, 1: 0}
    assert bench.text("work/log").startswith(f"{bench.path('work')}\n")


def test_a_task_reads_nothing_from_the_terminal(bench: Workbench) -> None:
    assert bench.run([task("cat; read x || echo nothing")]).codes == {0: 0}
    assert bench.text("work/log") == "nothing\n"


def test_a_task_sees_no_arguments(bench: Workbench) -> None:
    bench.run([task('echo "$#"')])
    assert bench.text("work/log") == "0\n"


def test_logs_go_to_the_directory_of_the_task(bench: Workbench) -> None:
    bench.run(
        [
            task("echo out; echo err >&2", "a"),
            task("echo out; echo err >&2", "b", outlog="logs/x y", errlog="logs/-e"),
            task("echo out; echo err >&2", "c", outlog="both", errlog="both"),
        ]
    )
    assert (bench.text("a/log"), bench.text("a/err")) == ("out\n", "err\n")
    assert (bench.text("b/logs/x y"), bench.text("b/logs/-e")) == ("out\n", "err\n")
    assert bench.text("c/both") == "out\nerr\n"


def test_without_a_log_output_goes_to_the_log_of_the_job(bench: Workbench) -> None:
    ran = bench.run([task("echo out; echo err >&2", outlog=None, errlog=None)])
    assert (ran.stdout, ran.stderr) == ("out\n", "err\n")
    assert list(bench.path("work").iterdir()) == []


def test_tasks_that_share_a_directory_keep_each_others_logs(bench: Workbench) -> None:
    bench.run([task("echo one"), task("echo two")])
    assert bench.text("work/log") == "one\ntwo\n"


@pytest.mark.parametrize("name", ["log", "-l o'g", "sub/log"])
def test_a_log_with_the_name_of_a_linked_file_is_written_into_a_copy(
    bench: Workbench, tmp_path: Path, name: str
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("before\n")
    theirs.chmod(0o444)
    place = bench.path("work") / name
    place.parent.mkdir(parents=True)
    place.symlink_to(theirs)
    bench.run([task("echo out", outlog=name)])
    assert theirs.read_text() == "before\n"
    assert not place.is_symlink()
    assert bench.text(f"work/{name}") == "before\nout\n"


def test_a_log_and_its_errors_may_have_one_linked_file(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("before\n")
    bench.path("work").mkdir(parents=True)
    bench.path("work/log").symlink_to(tmp_path / "theirs")
    bench.run([task("echo out; echo err >&2", outlog="log", errlog="log")])
    assert bench.text("work/log") == "before\nout\nerr\n"
    assert (tmp_path / "theirs").read_text() == "before\n"


def test_a_log_is_not_made_where_a_broken_link_leads(bench: Workbench, tmp_path: Path) -> None:
    bench.path("work").mkdir(parents=True)
    bench.path("work/log").symlink_to(tmp_path / "nothing")
    bench.run([task("echo out")])
    assert bench.text("work/log") == "out\n"
    assert not (tmp_path / "nothing").exists()


def test_in_place_a_link_of_the_user_is_followed(bench: Workbench, tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    bench.in_place = True
    bench.path("work").mkdir(parents=True)
    bench.path("work/log").symlink_to(tmp_path / "theirs")
    bench.run([task("echo out")])
    assert (tmp_path / "theirs").read_text() == "out\n"


def test_a_log_that_cannot_be_opened_fails_the_task(bench: Workbench) -> None:
    (bench.path("work") / "log").mkdir(parents=True)
    ran = bench.run([task("echo x"), task("echo y", outlog="fine")])
    assert ran.codes == {0: 1, 1: 0}
    assert "work/log" in ran.stderr or "log: Is a directory" in ran.stderr


def test_a_directory_that_cannot_be_entered_fails_the_task(bench: Workbench) -> None:
    bench.path("").mkdir(parents=True)
    bench.path("work").touch()
    ran = bench.run([task("touch here"), task("echo y", "fine")])
    assert ran.codes == {0: 1, 1: 0}
    assert not bench.path("here").exists()


def test_equal_commands_share_one_file(bench: Workbench) -> None:
    bench.run([task("pwd > where", str(number)) for number in range(5)])
    assert len(names(Path(bench.layout.control, "commands"))) == 1
    assert bench.text("4/where") == f"{bench.path('4')}\n"


HOSTILE = (
    "a b",
    "it's",
    'say "x"',
    "$(touch pwned)",
    "`touch pwned`",
    "-rf",
    "[ab]*?",
    "~",
    "ünï ☃",
    "two\nlines",
    "tab\tcr\r",
    "back\\slash\\n",
    "& ; | < > ( ) { } ! #",
    "%s %n",
    "{a,b}",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_carried_as_data(bench: Workbench, name: str) -> None:
    tasks = [
        task(
            "pwd; echo err >&2; echo x > ./plain", name, outlog=f"{name}.out", errlog=f"{name}.err"
        ),
        task("true", "missing", backward=(name, f"{name}*")),
        task('name=$(cat ../name); : > "./${name%.}"', "present", backward=(name,)),
    ]
    bench.path("").mkdir(parents=True)
    bench.path("name").write_text(f"{name}.")
    ran = bench.run(tasks)
    assert ran.codes == {0: 0, 1: 0, 2: 0}
    assert names(bench.path(name)) == sorted([f"{name}.err", f"{name}.out", "plain"])
    assert bench.text(f"{name}/{name}.out") == f"{bench.path(name)}\n"
    assert [ended.missing for ended in ran.record.tasks] == [(), (name, f"{name}*"), ()]
    assert not list(bench.directory.rglob("pwned"))


def test_the_root_itself_may_have_a_hostile_name(tmp_path: Path) -> None:
    bench = Workbench(tmp_path / "a 'b' $(touch pwned) [c]\nd")
    ran = bench.run([task("echo $REMOTE_ROOT > root", backward=("ro*t",))], prepend_script=["true"])
    assert (ran.code, ran.codes) == (0, {0: 0})
    assert not list(tmp_path.rglob("pwned"))
