"""Exit records: what can be read, and what must not be taken for one."""

from __future__ import annotations

import pytest

from jobferry_common.errors import UnreadableOutput
from jobferry_common.names import AttemptKey, SchedulerId
from jobferry_common.scripts.records import ExitRecord, TaskEnd, parse_record

RECORD = rb"""jobferry 1
attempt 17.3
id 4711_5
provisional 1
started 1700000000.5
ended 1700000002
reason signal TERM: a\\b\nc
task 34 0 1700000000.5 1700000001.25
missing out.txt
missing a\\n\nb
task 35 3 1700000000.5 1700000002
end
"""


def test_all_of_a_record_is_read() -> None:
    first = TaskEnd(
        task=34, code=0, started=1700000000.5, ended=1700000001.25, missing=("out.txt", "a\\n\nb")
    )
    second = TaskEnd(task=35, code=3, started=1700000000.5, ended=1700000002.0)
    assert parse_record(RECORD) == ExitRecord(
        attempt=AttemptKey(17, 3),
        id=SchedulerId("4711_5"),
        provisional=True,
        reason="signal TERM: a\\b\nc",
        started=1700000000.5,
        ended=1700000002.0,
        tasks=(first, second),
    )


def test_a_job_succeeded_only_if_all_of_its_tasks_did() -> None:
    good = parse_record(
        RECORD.replace(b"task 35 3", b"task 35 0").replace(b"missing out.txt\n", b"")
    )
    assert (good.succeeded(2), good.first_failure) == (False, good.tasks[0])
    best = parse_record(
        b"\n".join(line for line in RECORD.split(b"\n") if not line.startswith(b"missing"))
    )
    assert (best.succeeded(1), best.succeeded(2)) == (True, False)
    assert best.first_failure == best.tasks[1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        RECORD[:-4],
        RECORD[:60],
        RECORD.replace(b"jobferry 1", b"jobferry 2"),
        RECORD.replace(b"task 34 0", b"task 34"),
        RECORD.replace(b"task 34 0", b"task 34 x"),
        RECORD.replace(b"attempt 17.3", b"attempt 17"),
        RECORD.replace(b"id 4711_5\n", b""),
        RECORD.replace(b"task 34", b"what 34"),
        b"\xff\xfe",
    ],
)
def test_half_a_record_is_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableOutput, match="exit record"):
        parse_record(content)


def test_names_that_are_no_text_survive() -> None:
    record = parse_record(RECORD.replace(b"missing out.txt", b"missing \xff\xfe"))
    assert record.tasks[0].missing[0].encode("utf-8", "surrogateescape") == b"\xff\xfe"
