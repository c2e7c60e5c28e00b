"""Words of messages that depend on a number.

>>> counted(1, "task"), counted(2000, "task")
('1 task', '2000 tasks')
"""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """Return how many things there are; the plural has an s."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def are(number: int, thing: str) -> str:
    """Return the beginning of a sentence about so many things: `1 task is`, `2 tasks are`."""
    return f"{counted(number, thing)} {'is' if number == 1 else 'are'}"
