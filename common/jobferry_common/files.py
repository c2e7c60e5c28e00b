"""A small file to be written on a cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A small file to write."""

    path: str  #: absolute, on the host; missing parents are made
    content: bytes
    mode: int = 0o644
