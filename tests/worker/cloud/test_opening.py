"""What a profile and the worker's environment make of a cloud: addresses, credentials, verified TLS."""

from __future__ import annotations

import datetime
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jobferry_common.models.profiles import BohriumProfile, OpenApiProfile
from jobferry_worker.cloud.errors import Denied, NotNow, Refused
from jobferry_worker.cloud.http import checked, shown
from jobferry_worker.cloud.opening import open_cloud
from tests.fake import cloud_server
from tests.fake.cloud_server import Cloud
from tests.testbed.processes import free_ports
from tests.worker.cloud.conftest import profile_of

if TYPE_CHECKING:
    from pathlib import Path


def answers(profile: Any, environment: dict[str, str]) -> bool:
    client = open_cloud(profile, environment, pause_seconds=0.001)
    return client.jobs.listed(lambda _: False).is_complete


def test_the_environment_says_what_the_profile_does_not(cloud: Cloud) -> None:
    names = {"ACCESS_KEY": cloud_server.ACCESS_KEY, "PROJECT_ID": "154"}
    first = {f"BOHRIUM_{name}": value for name, value in names.items()}
    wrong = dict.fromkeys(names, "999")
    assert answers(OpenApiProfile(), {**cloud.environment, **first, **wrong})
    plain = {key: value for key, value in cloud.environment.items() if "PROJECT" not in key}
    assert answers(OpenApiProfile(), {**plain, **names})


def test_a_secret_is_read_where_its_reference_says(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text(cloud_server.PASSWORD)
    monkeypatch.setenv("THE_KEY", cloud_server.ACCESS_KEY)
    assert answers(profile_of("Bohrium", password=f"file:{file}"), cloud.environment)
    assert answers(profile_of("OpenAPI", access_key="env:THE_KEY"), cloud.environment)
    file.chmod(0o644)
    with pytest.raises(Denied, match="chmod 600"):
        answers(profile_of("Bohrium", password=f"file:{file}"), cloud.environment)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (BohriumProfile(program_id=1, input_data={}), "set BOHR_TICKET"),
        (OpenApiProfile(), "set BOHRIUM_ACCESS_KEY"),
        (profile_of("OpenAPI"), "set BOHRIUM_PROJECT_ID"),
    ],
)
def test_what_lacks_is_named(profile: Any, words: str) -> None:
    with pytest.raises(Denied, match=words):
        open_cloud(profile, {})


def test_without_any_variable_the_addresses_are_the_platforms_own() -> None:
    client: Any = open_cloud(profile_of("OpenAPI", project_id=1), {})
    assert client._api._base == "https://openapi.dp.tech"
    bohrium: Any = open_cloud(profile_of("Bohrium"), {})
    assert bohrium._objects == "https://dpcloudserver.oss-cn-shenzhen.aliyuncs.com"


@pytest.mark.parametrize(
    "url",
    ["http://example.org", "ftp://127.0.0.1", "https://", "file:///etc/passwd", "example.org"],
)
def test_credentials_go_to_no_address_that_others_can_read(url: str) -> None:
    with pytest.raises(Refused, match="https://"):
        open_cloud(profile_of("OpenAPI", project_id=1), {"BOHRIUM_BASE_URL": url})
    with pytest.raises(Refused):
        checked(url)


def test_an_address_is_shown_without_what_opens_it() -> None:
    assert shown("https://a:b@host:1/p/q?token=x#y") == "https://host:1/p/q"


def test_nobody_listens(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with pytest.raises(NotNow, match="cannot be reached"):
        answers(
            profile_of("OpenAPI", project_id=1), {"BOHRIUM_BASE_URL": f"http://127.0.0.1:{port}"}
        )


def test_a_certificate_that_nobody_trusts_is_refused_and_a_trusted_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path / "cert.pem"))
    with Cloud(tmp_path / "cloud", context=context).running() as cloud:
        environment = {"BOHRIUM_BASE_URL": cloud.url, "BOHRIUM_PROJECT_ID": "154"}
        with pytest.raises(NotNow, match="cannot be trusted"):
            answers(profile_of("OpenAPI"), environment)
        assert cloud.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert answers(profile_of("OpenAPI"), environment)


def certificate(path: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1 that is its own authority."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
