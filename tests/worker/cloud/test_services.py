"""Both services of the platform, through the clients: jobs really run, and come back, whatever goes wrong between."""

from __future__ import annotations

import io
import logging
import re
import threading
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from jobferry_worker.cloud.download import download
from jobferry_worker.cloud.errors import Denied, NoAnswer, NotNow, NotThere, Refused
from jobferry_worker.cloud.jobs import CloudJob, NewJob
from tests.fake import cloud_server
from tests.fake.cloud_jobs import PROJECT
from tests.testbed.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from jobferry_worker.cloud.jobs import Started
    from jobferry_worker.cloud.opening import Cloud as Client
    from tests.fake.cloud_server import Cloud
    from tests.worker.cloud.conftest import Opens

BOTH = pytest.mark.parametrize("service", ["Bohrium", "OpenAPI"])
ADD = {"Bohrium": "/brm/v2/job/add", "OpenAPI": "/openapi/v2/job/add"}
LIST = {"Bohrium": "/brm/v1/job/list", "OpenAPI": "/openapi/v1/job/list"}


def new(name: str = "relax.jf.3f2a-1.aa", **fields: Any) -> NewJob:
    known = {"command": "bash run.sh", "image": "registry/x:1", "machine": "c2_m4_cpu"}
    return NewJob(**{"name": name, "results": ("out",), **known, **fields})


def archive(tmp_path: Path, script: str = "echo hi >out", *, weight: int = 0) -> Path:
    file = tmp_path / "job.zip"
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("run.sh", script)
        packed.writestr("ballast", bytes(weight))
    return file


def submit(client: Client, tmp_path: Path, script: str = "echo hi >out", **fields: Any) -> Started:
    job = new(**fields)
    return client.start(job, client.put(job, archive(tmp_path, script)))


def ended(client: Client, key: str) -> CloudJob:
    def is_over() -> CloudJob | None:
        job = client.jobs.detail(key)
        return job if job.status in (2, -1, 5) else None

    job = wait_until(is_over, f"job {key} is over")
    assert job is not None
    return job


@BOTH
def test_a_job_runs_and_its_results_come_back(service: str, opens: Opens, tmp_path: Path) -> None:
    client = opens(service)
    job = ended(client, submit(client, tmp_path).id)
    assert (job.status, job.exit_code, job.name) == (2, 0, new().name)
    download(client.http, job.result_url, tmp_path / "back.zip", pause_seconds=0.001)
    with zipfile.ZipFile(tmp_path / "back.zip") as back:
        assert back.read("out") == b"hi\n"


@BOTH
def test_a_job_that_fails_tells_its_exit_code(service: str, opens: Opens, tmp_path: Path) -> None:
    client = opens(service)
    job = ended(client, submit(client, tmp_path, "exit 3").id)
    assert (job.status, job.exit_code) == (-1, 3)
    assert "3" in job.error


@BOTH
def test_a_running_job_is_ended(service: str, opens: Opens, cloud: Cloud, tmp_path: Path) -> None:
    client = opens(service)
    key = submit(client, tmp_path, "echo >begun; sleep 300").id
    place = cloud.platform.directory(int(key))
    wait_until((place / "begun").exists, "it runs")
    client.jobs.kill(key)
    assert ended(client, key).status == 5
    client.jobs.kill(key)


@BOTH
def test_the_list_is_read_page_by_page(
    service: str, opens: Opens, cloud: Cloud, tmp_path: Path
) -> None:
    client = opens(service)
    cloud.platform.settings.held = True
    cloud.longest_page = 5
    keys = {submit(client, tmp_path, name=f"a.jf.{number}").id for number in range(12)}
    listed = client.jobs.listed(lambda _: False)
    assert listed.is_complete
    assert set(listed.jobs) == keys
    before = cloud.asked(LIST[service])
    last = max(keys, key=int)
    enough = client.jobs.listed(lambda found: last in found)
    assert cloud.asked(LIST[service]) == before + 1
    assert not enough.is_complete


@BOTH
def test_a_lost_answer_to_a_new_job_is_told_as_unknown_and_the_job_is_found_by_its_name(
    service: str, opens: Opens, cloud: Cloud, tmp_path: Path
) -> None:
    client = opens(service)
    cloud.fault(ADD[service], after=True)
    with pytest.raises(NoAnswer):
        submit(client, tmp_path)
    assert cloud.asked(ADD[service]) == 1  # it was not sent again
    (job,) = client.jobs.listed(lambda _: False).jobs.values()
    assert job.name == new().name


@BOTH
@pytest.mark.parametrize("status", [500, 502, 504, 408])
def test_an_error_inside_the_service_does_not_tell_whether_the_job_was_made(
    service: str, status: int, opens: Opens, cloud: Cloud, tmp_path: Path
) -> None:
    client = opens(service)
    cloud.fault(ADD[service], status=status, after=True)
    with pytest.raises(NoAnswer, match=str(status)):
        submit(client, tmp_path)
    assert cloud.asked(ADD[service]) == 1


@BOTH
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, "{}"),
        (503, "{}"),
        (400, '{"message": "the quota of your project is used up"}'),
        (200, '{"code": 140202, "message": "Insufficient balance"}'),
    ],
)
def test_a_limit_is_told_as_not_now(
    service: str, status: int, body: str, opens: Opens, cloud: Cloud, tmp_path: Path
) -> None:
    client = opens(service)
    cloud.fault(ADD[service], status=status, body=body)
    with pytest.raises(NotNow):
        submit(client, tmp_path)
    assert client.jobs.listed(lambda _: False).jobs == {}


@BOTH
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"machine": "c9_m9_cpu"}, "no machine of type c9_m9_cpu"),
        ({"image": ""}, "imageName is required"),
        ({"more": {"jobType": "indicate"}}, "must be container"),
    ],
)
def test_what_the_platform_refuses_is_told_in_its_words(
    service: str, fields: dict[str, Any], words: str, opens: Opens, tmp_path: Path
) -> None:
    client = opens(service)
    with pytest.raises(Refused, match=re.escape(words)):
        submit(client, tmp_path, **fields)


@BOTH
def test_questions_are_asked_again(service: str, opens: Opens, cloud: Cloud) -> None:
    client = opens(service)
    cloud.fault(LIST[service], status=500)
    cloud.fault(LIST[service], status=503)
    cloud.fault(LIST[service])
    assert client.jobs.listed(lambda _: False).is_complete
    cloud.fault(LIST[service], status=500, times=99)
    with pytest.raises(NotNow):
        client.jobs.listed(lambda _: False)


@BOTH
def test_a_slow_answer_is_waited_for(service: str, opens: Opens, cloud: Cloud) -> None:
    client, go = opens(service), threading.Event()
    cloud.fault(LIST[service], slow=go)
    threading.Timer(0.2, go.set).start()
    assert client.jobs.listed(lambda _: False).is_complete


@BOTH
def test_a_job_that_nobody_knows(service: str, opens: Opens) -> None:
    with pytest.raises(NotThere):
        opens(service).jobs.detail("77")


def test_a_login_that_ran_out_is_made_again(opens: Opens, cloud: Cloud, tmp_path: Path) -> None:
    client = opens("Bohrium")
    client.jobs.listed(lambda _: False)
    cloud.expire()
    key = submit(client, tmp_path).id
    cloud.expire()
    assert client.jobs.detail(key).id == key
    assert cloud.asked("/account/login") == 3
    assert len(client.jobs.listed(lambda _: False).jobs) == 1


def test_a_ticket_comes_before_the_password(opens: Opens, cloud: Cloud) -> None:
    client = opens("Bohrium", BOHR_TICKET=cloud_server.TICKET)
    assert client.jobs.listed(lambda _: False).is_complete
    assert cloud.asked("/account/login") == 0
    with pytest.raises(Denied):
        opens("Bohrium", BOHR_TICKET="wrong").jobs.listed(lambda _: False)


@pytest.mark.parametrize(("part", "requests"), [(1 << 20, 1), (1000, 8)])
def test_a_large_archive_goes_in_parts(
    part: int, requests: int, opens: Opens, cloud: Cloud, tmp_path: Path
) -> None:
    client: Any = opens("OpenAPI")
    client._part = part
    cloud.fault("/api/upload/", status=500)
    file = archive(tmp_path, weight=5000)
    place = client.put(new(), file)
    assert cloud.platform.objects[place.key] == file.read_bytes()
    assert cloud.asked("/api/upload/") == requests + 1


def test_an_upload_to_oss_is_signed_and_tried_again(
    opens: Opens, cloud: Cloud, tmp_path: Path
) -> None:
    client = opens("Bohrium")
    cloud.fault("/dpcloudserver/", status=502)
    file = archive(tmp_path)
    place = client.put(new(), file)
    assert place.key == f"program/{PROJECT}/{new().name}/job.zip"
    assert cloud.asked("/dpcloudserver/") == 2
    assert cloud.platform.objects[place.key] == file.read_bytes()


def test_jobs_of_a_group(opens: Opens, cloud: Cloud, tmp_path: Path) -> None:
    for service in ("Bohrium", "OpenAPI"):
        client = opens(service)
        first = submit(client, tmp_path, name="a.jf.1")
        second = submit(client, tmp_path, name="a.jf.2", group=first.group)
        assert first.group
        assert second.group == first.group
        groups = {
            item["jobGroupId"]
            for item in cloud.platform.items()
            if item["id"] in (int(first.id), int(second.id))
        }
        assert groups == {int(first.group)}


def test_results_that_are_cut_short_are_fetched_again(
    opens: Opens, cloud: Cloud, tmp_path: Path
) -> None:
    client = opens("OpenAPI")
    job = ended(client, submit(client, tmp_path).id)
    cloud.fault("/results/")
    download(client.http, job.result_url, tmp_path / "back.zip", pause_seconds=0.001)
    assert zipfile.is_zipfile(io.BytesIO((tmp_path / "back.zip").read_bytes()))
    with pytest.raises(Denied) as caught:
        download(client.http, job.result_url + "x", tmp_path / "no.zip", pause_seconds=0.001)
    assert "url-geheim" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.zip", "cloud", "job.zip"]


@BOTH
def test_no_secret_is_in_a_log_an_address_or_an_error(
    service: str,
    opens: Opens,
    cloud: Cloud,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    client = opens(service)
    job = ended(client, submit(client, tmp_path).id)
    download(client.http, job.result_url, tmp_path / "back.zip", pause_seconds=0.001)
    told = [repr(job), repr(client.__dict__)]
    said = f'{{"message": "no {cloud_server.PASSWORD} {cloud_server.ACCESS_KEY}"}}'
    cloud.fault(LIST[service], status=400, body=said)
    with pytest.raises(Refused) as caught:
        client.jobs.listed(lambda _: False)
    told += [str(caught.value), repr(caught.value), caplog.text]
    told += [target for _, target in cloud.requests if not target.startswith("/results/")]
    words = (cloud_server.PASSWORD, cloud_server.ACCESS_KEY, cloud_server.APP_KEY, "url-geheim")
    wrong = {"Bohrium": cloud_server.PASSWORD, "OpenAPI": cloud_server.ACCESS_KEY}[service]
    assert "***" in str(caught.value)
    assert wrong not in str(caught.value)
    mine = [word for word in words if service == "Bohrium" or word != cloud_server.PASSWORD]
    mine = [word for word in mine if service == "OpenAPI" or "ak-" not in word]
    assert [word for word in mine if any(word in text for text in told)] == []
