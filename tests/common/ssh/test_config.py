"""How an account is reached: the profile over ~/.ssh/config over defaults."""

from __future__ import annotations

import getpass
import socket
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobferry_common.errors import HostUnreachable
from jobferry_common.models.profiles import SshProfile
from jobferry_common.ssh.config import Login, login_of, split_port

if TYPE_CHECKING:
    from pathlib import Path


def login(**profile: Any) -> Login:
    return login_of(SshProfile.load_from_dict({"hostname": "hpc1", **profile}))


def write(ssh_home: Path, text: str) -> None:
    (ssh_home / "config").write_text(text)


def test_without_anything_a_login_is_as_openssh_would_have_it(ssh_home: Path) -> None:
    found = login()
    assert found.name == f"{getpass.getuser()}@hpc1:22"
    assert found.account == f"{getpass.getuser()}@hpc1"
    assert found.timeout_seconds == 10
    assert not found.trust.accept_new
    assert found.trust.files[0] == str(ssh_home / "known_hosts")
    assert found.credentials.default_keys
    assert found.family == socket.AF_UNSPEC


@pytest.mark.parametrize(("in_profile", "in_config"), list(product([False, True], repeat=2)))
def test_the_profile_comes_before_the_configuration(
    ssh_home: Path, *, in_profile: bool, in_config: bool
) -> None:
    if in_config:
        write(ssh_home, "Host hpc1\n  Port 2200\n  User bob\n  ConnectTimeout 7\n")
    given = {"port": 22, "username": "alice", "timeout": 3} if in_profile else {}
    found = login(**given)
    if in_profile:
        wanted: tuple[int, str, float] = (22, "alice", 3)
    elif in_config:
        wanted = (2200, "bob", 7)
    else:
        wanted = (22, getpass.getuser(), 10)
    assert (found.port, found.user, found.timeout_seconds) == wanted


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("1m30s", 90), ("2H", 7200), ("7 # words", 7), ('"8"', 8)]
)
def test_times_and_comments_are_read_as_openssh_does(
    ssh_home: Path, text: str, seconds: int
) -> None:
    write(
        ssh_home,
        f"Host hpc1 # ours\n  ConnectTimeout {text}\n  Port 2200\t# of the gate\n  User a#b\n"
        "  ProxyCommand nc %h %p # all of it\n",
    )
    found = login()
    assert (found.timeout_seconds, found.port, found.user) == (seconds, 2200, "a#b")
    assert found.proxy_command == "nc hpc1 2200 # all of it"


def test_an_alias_stands_for_a_host(ssh_home: Path) -> None:
    write(
        ssh_home,
        """
Host hpc*  # a comment
  HostName login.%h.example
  IdentityFile "~/.ssh/my key"
  IdentityFile %d/.ssh/%r-%n
  IdentitiesOnly yes
  User=alice
  UserKnownHostsFile ~/.ssh/hosts-of-%n /tmp/more
  StrictHostKeyChecking accept-new
  HashKnownHosts yes
  ServerAliveInterval 5
  AddressFamily inet6
  IdentityAgent ~/agent.sock
Host *
  User bob
""",
    )
    found = login()
    assert found.host == "login.hpc1.example"
    assert found.user == "alice"
    assert found.credentials.keys == (str(ssh_home / "my key"), str(ssh_home / "alice-hpc1"))
    assert found.credentials.named_only
    assert not found.credentials.default_keys
    assert found.credentials.agent == str(ssh_home.parent / "agent.sock")
    assert found.trust.files == (str(ssh_home / "hosts-of-hpc1"), "/tmp/more")
    assert found.trust.accept_new
    assert found.trust.hashed
    assert found.trust.name == "login.hpc1.example"
    assert found.keepalive_seconds == 5
    assert found.family == socket.AF_INET6


@pytest.mark.parametrize(
    ("value", "accepts"),
    [("yes", False), ("ask", False), ("accept-new", True), ("no", True), ("off", True)],
)
def test_each_value_of_strict_host_key_checking_is_mapped(
    ssh_home: Path, value: str, *, accepts: bool
) -> None:
    write(ssh_home, f"StrictHostKeyChecking {value}\n")
    assert login().trust.accept_new is accepts
    assert login(host_key_policy="accept-new").trust.accept_new
    assert not login(host_key_policy="strict").trust.accept_new


def test_what_a_user_does_by_hand_is_what_was_configured(ssh_home: Path) -> None:
    write(ssh_home, "Host hpc1\n HostName h.example\n Port 2222\n User bob\n")
    assert login().by_hand == "ssh hpc1"
    assert login(username="alice").by_hand == "ssh -p 2222 alice@h.example"
    assert login(key_filename="~/.ssh/id").by_hand == "ssh -i ~/.ssh/id hpc1"
    assert login(hostname="x", username="alice").by_hand == "ssh alice@x"


def test_paths_of_the_profile_are_expanded(ssh_home: Path) -> None:
    """A defect of DPDispatcher: `key_filename` with `~` is not expanded."""
    assert login(key_filename="~/.ssh/id").credentials.keys == (str(ssh_home / "id"),)
    assert login(key_filename="/k:1").credentials.keys == ("/k:1",)


def test_keys_that_are_not_to_be_looked_for(ssh_home: Path) -> None:
    assert not login(look_for_keys=False).credentials.default_keys


def test_files_that_are_included_count_where_they_stand(ssh_home: Path) -> None:
    (ssh_home / "conf.d").mkdir()
    (ssh_home / "conf.d" / "a").write_text("Host hpc1\n  Port 2201\n")
    (ssh_home / "of-hpc2").write_text("Port 2202\n")
    write(
        ssh_home,
        "Include conf.d/*\nUser carla\nHost hpc2\n  Include ~/.ssh/of-hpc2\n  User dora\nHost *\n  Port 2203\n",
    )
    assert (login().port, login().user) == (2201, "carla")
    assert (login(hostname="hpc2").port, login(hostname="hpc2").user) == (2202, "carla")
    assert login(hostname="hpc3").port == 2203


def test_a_file_that_includes_itself_is_told(ssh_home: Path) -> None:
    write(ssh_home, "Include config\n")
    with pytest.raises(HostUnreachable, match="include itself"):
        login()


def test_match_is_evaluated_as_far_as_it_can_be(ssh_home: Path) -> None:
    write(
        ssh_home,
        """
Match host hpc1 user alice
  Port 2204
Match exec "test %h = hpc9"
  Port 2205
Match host hpc8 !exec "exit 3"
  Port 2206
Match host hpc7 exec "exit 3"
  Port 2207
""",
    )
    assert login(username="alice").port == 2204
    assert login().port == 22
    assert [login(hostname=f"hpc{number}").port for number in (9, 8, 7)] == [2205, 2206, 22]


@pytest.mark.parametrize(
    ("criteria", "port"),
    [
        ('host="hpc1" user alice', 2208),
        ("Host=hpc1 User=alice", 2208),
        ("!host=hpc2 user=alice", 2208),
        ('host "hpc1,hpc2" exec "test a=a"', 2208),
        ("host=hpc2", 22),
        ('tagged "work" host hpc1', 22),
        ("!tagged work", 22),
        ("user", 22),
        ('host "hpc1', 22),
    ],
)
def test_a_match_is_read_as_openssh_writes_it_or_passed_over(
    ssh_home: Path, criteria: str, port: int
) -> None:
    write(ssh_home, f"Match {criteria}\n  Port 2208\nHost *\n  ServerAliveInterval 7\n")
    found = login(username="alice")
    assert (found.port, found.keepalive_seconds) == (port, 7)


def test_a_line_that_says_nothing_ends_no_other(
    ssh_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(ssh_home, "Compression\nHost hpc1\n  Port 2209\n")
    assert login().port == 2209
    assert f"{ssh_home / 'config'}: 'Compression' is not understood" in caplog.text


def test_a_percent_sign_of_a_host_name_is_written_twice(ssh_home: Path) -> None:
    write(ssh_home, "Host hpc1\n  HostName fe80::1%%eth0\nHost hpc2\n  HostName %h.site.example\n")
    assert login().host == "fe80::1%eth0"
    assert login(hostname="hpc2").host == "hpc2.site.example"


def test_a_chain_of_jumps_is_in_the_order_of_the_way(ssh_home: Path) -> None:
    write(
        ssh_home,
        """
Host hpc1
  ProxyJump bob@gate:2222,[fd00::5]:23
Host gate
  HostName gate.example
  ProxyJump outer
Host outer
  User carla
""",
    )
    names = [hop.name for hop in login(password="geheim").jumps]
    me = getpass.getuser()
    assert names == ["carla@outer:22", "bob@gate.example:2222", f"{me}@[fd00::5]:23"]
    assert all(hop.credentials.password is None for hop in login(password="geheim").jumps)


def test_what_would_make_a_new_host_trusted_is_said_of_each_host_of_the_way(ssh_home: Path) -> None:
    write(ssh_home, "Host hpc1\n  ProxyJump gate\n")
    last = login(host_key_policy="accept-new")
    assert last.trust.setting == 'host_key_policy = "accept-new"'
    (gate,) = last.jumps
    assert not gate.trust.accept_new
    assert gate.trust.setting == "StrictHostKeyChecking accept-new below Host gate of ~/.ssh/config"


def test_jumps_in_a_circle_are_told(ssh_home: Path) -> None:
    write(ssh_home, "Host *\n  ProxyJump other\n")
    with pytest.raises(HostUnreachable, match="circle"):
        login()


def test_none_ends_proxies(ssh_home: Path) -> None:
    write(
        ssh_home,
        "Host hpc1\n  ProxyJump none\n  ProxyCommand none\nHost *\n  ProxyJump gate\n  ProxyCommand x\n",
    )
    assert login().jumps == ()
    assert login().proxy_command is None


def test_a_proxy_command_gets_host_port_and_user(ssh_home: Path) -> None:
    write(ssh_home, "Host hpc1\n HostName h.example\n ProxyCommand nc %h %p %r %n 100%%\n")
    assert login(port=2222, username="alice").proxy_command == "nc h.example 2222 alice hpc1 100%"
    assert login(proxy_command="own [%h]:%p").proxy_command == "own [h.example]:22"
    assert login(proxy_command="none").proxy_command is None
    write(ssh_home, "ProxyJump gate\n")
    assert login(proxy_command="none").jumps == ()


@pytest.mark.parametrize(
    "profile",
    [
        {"hostname": "-oProxyCommand=x"},
        {"hostname": "a b"},
        {"hostname": "a;b"},
        {"hostname": "$(x)"},
        {"hostname": ""},
        {"username": "-l"},
        {"username": "a b"},
        {"username": "`x`"},
    ],
)
def test_names_that_a_command_could_mistake_are_refused(
    ssh_home: Path, profile: dict[str, str]
) -> None:
    with pytest.raises(HostUnreachable, match="is no name"):
        login(**profile)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("::1", ("::1", None)),
        ("[::1]", ("::1", None)),
        ("[::1]:2222", ("::1", 2222)),
        ("fe80::1%eth0", ("fe80::1%eth0", None)),
        ("host:2222", ("host", 2222)),
        ("host", ("host", None)),
    ],
)
def test_addresses_are_read_in_every_form(text: str, wanted: tuple[str, int | None]) -> None:
    assert split_port(text) == wanted


def test_an_ipv6_address_is_shown_in_brackets(ssh_home: Path) -> None:
    found = login(hostname="[fd00::1]:2222", username="alice")
    assert found.name == "alice@[fd00::1]:2222"
    assert found.account == "alice@[fd00::1]:2222"
    assert (found.trust.name, found.trust.port) == ("fd00::1", 2222)


def test_host_key_alias_stands_without_a_port(ssh_home: Path) -> None:
    write(ssh_home, "Host hpc1\n HostKeyAlias Pool\n Port 2222\n")
    assert (login().trust.name, login().trust.port) == ("pool", 22)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_any_host_name_is_taken_or_refused_in_words(text: str) -> None:
    try:
        found = login_of(SshProfile(hostname=text or "x"))
    except HostUnreachable:
        return
    assert not set(found.host) & set(" '\"`$;&<>|()\n")
    assert not found.host.startswith("-")


WORDS = st.sampled_from(
    [
        *("Host", "Match", "Include", "HostName", "Port", "User", "IdentityFile", "ProxyJump"),
        *("ProxyCommand", "UserKnownHostsFile", "StrictHostKeyChecking", "IdentityAgent"),
        *("CanonicalizeHostname", "CertificateFile", "ConnectTimeout", "HostKeyAlias"),
        *(
            "hpc1",
            "*",
            "!hpc1",
            "all",
            "host",
            "user",
            "final",
            "yes",
            "none",
            "22",
            "a,b",
            "[::1]:2",
        ),
        *("~/x", "$X", "${X}", "%h", "%%", "%", '"', "'", "=", "#", "\\", "-o", "ä", ""),
    ]
)
LINES = st.lists(st.lists(WORDS, max_size=5).map(" ".join), max_size=8).map("\n".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES)
def test_any_configuration_is_understood_or_refused_in_words(ssh_home: Path, text: str) -> None:
    write(ssh_home, text)
    try:
        login()
    except HostUnreachable as error:
        assert str(error)


def test_a_port_that_is_none_is_told(ssh_home: Path) -> None:
    write(ssh_home, "Port ssh\n")
    with pytest.raises(HostUnreachable, match="expected a number"):
        login()
