"""A file to which processes that may die at any moment append lines, and that is read from its beginning again.

journal = Journal(path)
journal.note("run", 12, "3f2a9c01d5e7-1")
journal.facts()         # {("run", 12): "3f2a9c01d5e7-1"}
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Journal:
    """One file; each line a word, a number and some text."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def note(self, word: str, number: int, text: str = "") -> None:
        """Append a line; it is whole or not there."""
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, f"{word} {number} {text}".replace("\n", " ").encode() + b"\n")
        finally:
            os.close(file)

    def news(self) -> list[tuple[str, int, str]]:
        """Return the lines that came since the last call; a line that is not whole comes with the next."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            whole, end, _ = file.read().rpartition(b"\n")
        self._read += len(whole + end)
        return [_parsed(line) for line in whole.decode().split("\n") if line]

    def lines(self) -> list[tuple[str, int, str]]:
        """Return every line."""
        if not self._path.exists():
            return []
        return [_parsed(line) for line in self._path.read_text().splitlines()]

    def facts(self) -> dict[tuple[str, int], str]:
        """Return the last text of each word and number."""
        return {(word, number): text for word, number, text in self.lines()}


def _parsed(line: str) -> tuple[str, int, str]:
    word, number, text = line.split(" ", 2)
    return word, int(number), text
