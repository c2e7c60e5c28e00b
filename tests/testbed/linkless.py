"""Runs a command for which the kernel makes no hard links, as on a file system that has none, or no more to a file.

    python -m tests.testbed.linkless EMLINK cp -l a b       cp: cannot create hard link 'b' to 'a': Too many links

A filter of system calls answers in the kernel's place; whatever the command starts has it, too.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final

#: machine → its numbers of link(2) and linkat(2)
_CALLS: Final = {"x86_64": (86, 265), "aarch64": (37, 37)}
_NO_NEW_PRIVILEGES: Final = 38
_SECCOMP: Final = 22
_FILTER: Final = 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def refuse(number: int) -> None:
    """Have this process, and all that it starts, get an error for each hard link."""
    link, linkat = _CALLS[platform.machine()]
    steps = (
        (_LOAD, 0, 0, 0),
        (_EQUAL, 1, 0, link),
        (_EQUAL, 0, 1, linkat),
        (_RETURN, 0, 0, _ERRNO | number),
        (_RETURN, 0, 0, _ALLOW),
    )
    packed = b"".join(struct.pack("HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(steps), packed)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(
        _SECCOMP, _FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


if __name__ == "__main__":
    refuse(getattr(errno, sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
