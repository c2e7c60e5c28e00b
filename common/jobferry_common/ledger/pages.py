"""Submissions as the ledger stores them: a header, and pages of tasks, as compressed JSON.

A page holds a thousand tasks, column by column, because a column of like values compresses well.

    pack_page(tasks) -> bytes          unpack_page(data) -> list[TaskSpec]
"""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
import zlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from jobferry_common.document import Header, Policy, TaskSpec
from jobferry_common.models.failures import OnFailure
from jobferry_common.models.resources import Resources
from jobferry_common.versions import known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobferry_common.document import Document

PAGE_TASKS: Final = 1000
_LEVEL: Final = 3
#: of zlib: 2**10 bytes of window, and its memory level for texts below 2**14 bytes
_LEAST_WINDOW: Final = 10
_SMALL_MEMORY: Final = 4
_COLUMNS: Final = tuple(field.name for field in fields(TaskSpec))
_LISTS: Final = ("forward", "backward")
_TUPLES: Final = ("forward_common", "backward_common", "targets", "requires")
_MARK_BYTES: Final = 8


def pages_of(tasks: Sequence[TaskSpec]) -> Iterator[Sequence[TaskSpec]]:
    """Cut tasks into pages."""
    for start in range(0, len(tasks), PAGE_TASKS):
        yield tasks[start : start + PAGE_TASKS]


def pieces_of(document: Document) -> tuple[bytes, ...]:
    """Return a document as it is stored: its header, then its pages."""
    return (pack_header(document.header), *map(pack_page, pages_of(document.tasks)))


def pack_page(tasks: Sequence[TaskSpec]) -> bytes:
    """Return a page as it is stored."""
    columns = {name: [getattr(task, name) for task in tasks] for name in _COLUMNS}
    for name, values in columns.items():
        if all(value == values[0] for value in values):
            columns[name] = values[:1]
    return _pack({"tasks": len(tasks), **columns})


def unpack_page(data: bytes) -> list[TaskSpec]:
    """Read what `pack_page` wrote."""
    page = _unpack(data)
    count = page["tasks"]
    columns = [_column(page[name], count, name) for name in _COLUMNS]
    return [TaskSpec(**dict(zip(_COLUMNS, row, strict=True))) for row in zip(*columns, strict=True)]


def pack_header(header: Header) -> bytes:
    """Return a header as it is stored."""
    plain = {
        field.name: getattr(header, field.name)
        for field in fields(Header)
        if field.name not in {"resources", "policy"}
    }
    resources = header.resources.model_dump(mode="json", exclude_defaults=True)
    policy = {
        field.name: getattr(header.policy, field.name)
        for field in fields(Policy)
        if field.name != "on_failure"
    }
    if (
        header.policy.on_failure is not None
    ):  # elsewhere a header is what it was before there were rules
        policy["on_failure"] = header.policy.on_failure.plain()
    return _pack({**plain, "resources": resources, "policy": policy})


def unpack_header(data: bytes) -> Header:
    """Read what `pack_header` wrote; raises `NewerVersion` for what a newer jobferry wrote."""
    plain = _unpack(data)
    known(f"a document of submission {plain.get('submission')}", plain.get("schema"))
    plain["resources"] = Resources.model_validate_json(json.dumps(plain["resources"]))
    plain["policy"] = _policy(plain["policy"])
    for name in _TUPLES:
        plain[name] = tuple(plain.get(name, ()))
    return Header(**plain)


def _policy(plain: dict[str, Any]) -> Policy:
    rules = plain.pop("on_failure", None)
    return Policy(
        **plain, on_failure=OnFailure.load_from_dict(rules) if rules is not None else None
    )


def marks_of(header: Header, tasks: Iterable[TaskSpec]) -> list[str]:
    """Return the marks of the real directories that a run works in, each once.

    A directory is known by the producer's host and its path there; where tasks run in place, by its path alone
    too, because then hosts share it.
    """
    host = header.owner.rpartition("@")[2]
    scopes = (host, "") if header.in_place else (host,)
    paths = {task.path for task in tasks}
    return [
        digest_of(scope, posixpath.normpath(posixpath.join(header.source, path)))
        for scope in scopes
        for path in sorted(paths)
    ]


def destination_of(header: Header) -> str:
    """Return what stands for a submission of an owner with its directory: its runs bring results to the same places."""
    return digest_of(header.submission, header.owner, header.source)


def digest_of(*parts: str) -> str:
    """Return eleven characters that stand for these texts."""
    text = "\0".join(parts).encode(errors="surrogateescape")
    digest = hashlib.blake2b(text, digest_size=_MARK_BYTES).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _column(values: list[Any], count: int, name: str) -> list[Any]:
    full = values * count if len(values) == 1 else values
    return [tuple(value) for value in full] if name in _LISTS else full


def _pack(value: object) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, default=dict)
    data = text.encode()
    # Memory as the text needs it: to set up zlib's own default takes four times as long as to compress a header.
    window = min(zlib.MAX_WBITS, max(_LEAST_WINDOW, len(data).bit_length()))
    effort = zlib.DEF_MEM_LEVEL if window == zlib.MAX_WBITS else _SMALL_MEMORY
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, window, effort)
    return packer.compress(data) + packer.flush()


def _unpack(data: bytes) -> Any:  # noqa: ANN401 - JSON
    return json.loads(zlib.decompress(data))
