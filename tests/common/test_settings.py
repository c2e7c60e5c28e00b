"""Settings: file and environment, every problem at once, no secret shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobferry_common.errors import BadInput
from jobferry_common.settings import Settings, config_path, load_settings, load_what_stops

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(home: Path) -> Path:
    path = home / ".config" / "jobferry" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


SHELL = """
[clusters.here]
batch_type = "Shell"
context_type = "Local"
local_root = "/work"
remote_root = "/scratch"
"""


def test_without_a_file_the_defaults_hold(home: Path) -> None:
    settings = load_settings()
    assert settings == Settings()
    assert settings.broker is None
    assert config_path() == home / ".config" / "jobferry" / "config.toml"


def test_the_file_is_found_where_xdg_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_path() == tmp_path / "jobferry" / "config.toml"


def test_a_cluster_is_a_table_of_the_file(config: Path) -> None:
    config.write_text(SHELL)
    assert load_settings().clusters["here"].remote_root == "/scratch"


def test_the_environment_overrides_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(
        'broker = "redis://one:1/0"\n[timings]\nlook_seconds = 4\ntick_idle_seconds = 7'
    )
    monkeypatch.setenv("JOBFERRY_BROKER", "redis://two:2/0")
    monkeypatch.setenv("JOBFERRY_TIMINGS__LOOK_SECONDS", "2.5")
    settings = load_settings()
    assert settings.broker == "redis://two:2/0"
    assert settings.timings.look_seconds == 2.5
    assert settings.timings.tick_idle_seconds == 7


def test_jobferry_config_names_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text("threads = 9")
    monkeypatch.setenv("JOBFERRY_CONFIG", str(tmp_path / "mine.toml"))
    assert load_settings().threads == 9


def test_a_named_file_that_is_missing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBFERRY_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(BadInput, match=r"none\.toml: no such file"):
        load_settings()


def test_every_problem_is_reported_at_once_with_its_path_and_a_near_match(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(
        "brokr = 'redis://x'\n[timings]\nlok_seconds = 1\nlease_seconds = -1\n"
        "[clusters.a]\nbatch_type = 'Slurm'\ncontext_type = 'Local'\nremote_rot = '/x'"
    )
    monkeypatch.setenv("JOBFERRY_THREADS", "many")
    with pytest.raises(BadInput) as caught:
        load_settings()
    found = {problem.where: problem.what for problem in caught.value.problems}
    assert "'broker'" in found[f"{config}: brokr"]
    assert "'look_seconds'" in found[f"{config}: timings.lok_seconds"]
    assert f"{config}: timings.lease_seconds" in found
    assert "'remote_root'" in found[f"{config}: clusters.a.remote_rot"]
    assert "environment: JOBFERRY_THREADS" in found


def test_a_misspelt_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBFERRY_BROKKER", "redis://x")
    with pytest.raises(BadInput, match="did you mean JOBFERRY_BROKER"):
        load_settings()


def test_variables_that_are_no_settings_may_bear_our_prefix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOBFERRY_WORKSPACE", "x")
    assert load_settings() == Settings()


def test_a_file_that_is_no_toml_is_told_with_its_line(config: Path) -> None:
    config.write_text("broker = \n")
    with pytest.raises(BadInput, match=r"config\.toml: is no TOML: .*line 1"):
        load_settings()


@pytest.mark.parametrize("name", ["a b", "", "inline", "inline-0123456789", "-x", "x" * 64])
def test_a_bad_name_of_a_cluster_is_refused(config: Path, name: str) -> None:
    config.write_text(SHELL.replace("[clusters.here]", f'[clusters."{name}"]'))
    with pytest.raises(BadInput, match="clusters"):
        load_settings()


@pytest.mark.parametrize("url", ["amqp://x", "localhost:6379", "redis+socket://relative"])
def test_a_broker_that_cannot_be_used_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBFERRY_BROKER", url)
    with pytest.raises(BadInput, match="JOBFERRY_BROKER"):
        load_settings()


def test_no_secret_is_ever_shown(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBFERRY_BROKER", "redis://:hush@host:6379/0")
    config.write_text(SHELL + '[clusters.here.remote_profile]\npassword = "hush"\nhostname = "h"\n')
    try:
        shown = repr(load_settings())
    except BadInput as error:
        shown = str(error)
    assert "hush" not in shown
    monkeypatch.setenv("JOBFERRY_BROKER", "ftp://:hush@host")
    with pytest.raises(BadInput) as caught:
        load_settings()
    assert "hush" not in str(caught.value)


HPC1 = """
[clusters.hpc1]
batch_type = "Slurm"
context_type = "SSH"
remote_root = "/scratch/alice"
[clusters.hpc1.remote_profile]
hostname = "login.hpc1"
password = "%s"
"""


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_stands_in_a_private_file(config: Path, mode: int) -> None:
    config.write_text(HPC1 % "geheim")
    config.chmod(mode)
    profile = load_settings().clusters["hpc1"].remote_profile
    assert profile.secrets() == ["password"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_secret_in_a_file_that_others_can_read_is_refused(config: Path, mode: int) -> None:
    config.write_text(HPC1 % "geheim")
    config.chmod(mode)
    with pytest.raises(BadInput) as caught:
        load_settings()
    (problem,) = caught.value.problems
    assert problem.where == f"{config}: clusters.hpc1.remote_profile.password"
    assert f"chmod 600 {config}" in problem.what
    assert "geheim" not in str(caught.value)


def test_where_a_secret_is_may_be_read_by_all(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(HPC1 % "env:HPC1_PASSWORD")
    config.chmod(0o644)
    assert load_settings().clusters["hpc1"].remote_profile.secrets() == []
    monkeypatch.setenv("JOBFERRY_CLUSTERS__hpc1__REMOTE_PROFILE__PASSWORD", "geheim")
    assert load_settings().clusters["hpc1"].remote_profile.secrets() == ["password"]


def test_directories_of_unknown_users_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBFERRY_STACK__DIRECTORY", "~nobody-has-this-name/x")
    with pytest.raises(BadInput, match="there is no user 'nobody-has-this-name'"):
        load_settings()
    monkeypatch.setenv("JOBFERRY_CONFIG", "~nobody-has-this-name/x")
    with pytest.raises(BadInput, match="no such file"):
        load_settings()


def test_a_very_long_number_is_told_without_advice_for_programmers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"threads = {'1' * 10_000}\n")
    monkeypatch.setenv("JOBFERRY_CONFIG", str(config))
    with pytest.raises(BadInput, match="holds a whole number of more than") as caught:
        load_settings()
    assert "sys." not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "directory"),
    [
        ('brokr = "x"\n[stack]\ndirectory = "/d"\nidle_minutes = -1\n', "/d"),
        ('[clusters.a]\nbatch_type = "Slrum"\n[stack]\ndirectory = "/d"\n', "/d"),
        ('[stack]\ndirectory = "/d"\nthreads = \n', None),
        ("stack = 7\n", None),
    ],
)
def test_a_stack_can_be_stopped_with_settings_that_are_wrong_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, directory: str | None
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    monkeypatch.setenv("JOBFERRY_CONFIG", str(config))
    monkeypatch.setenv("JOBFERRY_TIMINGS__SOFT_STOP_SECONDS", "7")
    settings, wrong = load_what_stops()
    assert str(config) in str(wrong)
    known = settings.stack.directory
    assert (str(known) if known else None) == directory
    assert settings.timings.soft_stop_seconds == 7


def test_settings_that_are_right_stop_a_stack_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[stack]\nidle_minutes = 3\n")
    monkeypatch.setenv("JOBFERRY_CONFIG", str(config))
    settings, wrong = load_what_stops()
    assert (settings.stack.idle_minutes, wrong) == (3, None)


def test_one_variable_that_cannot_be_read_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBFERRY_STACK__DIRECTORY", str(tmp_path))
    monkeypatch.setenv("JOBFERRY_CLUSTERS", "{no JSON")
    monkeypatch.setenv("JOBFERRY_TIMINGS__SOFT_STOP_SECONDS", "7")
    settings, wrong = load_what_stops()
    assert "expected JSON" in str(wrong)
    assert settings.stack.directory == tmp_path
    assert settings.timings.soft_stop_seconds == 7


CLOUD = """
[clusters.{name}]
batch_type = "OpenAPI"
context_type = "OpenAPI"
remote_profile = {{access_key = "env:{key}", machine_type = "c8_m32_cpu"{further}}}
"""


def test_two_clusters_do_not_share_the_directory_of_a_bridge(config: Path) -> None:
    first = CLOUD.format(name="a", key="FIRST", further="")
    config.write_text(first + CLOUD.format(name="b", key="SECOND", further=""))
    with pytest.raises(BadInput) as caught:
        load_settings()
    assert "clusters: a and b would share the directory ~/.jobferry/bridges/" in str(caught.value)
    assert "expected another remote_profile.bridge_root in one of them" in str(caught.value)
    apart = CLOUD.format(name="b", key="SECOND", further=', bridge_root = "/data"')
    config.write_text(first + apart)
    roots = {name: profile.root for name, profile in load_settings().clusters.items()}
    assert roots["a"] != roots["b"] == "/data"
