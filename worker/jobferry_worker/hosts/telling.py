"""What went wrong with a file on a host, as an error that names the path and the next step.

raise staging_error("write", "/scratch/a", OSError(errno.ENOSPC, "No space left on device"))
"""

from __future__ import annotations

import errno
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import StagingError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ADVICE: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.ENOSPC: "free some space there; it is tried again",
        errno.EDQUOT: "the quota is used up: free some space; it is tried again",
        errno.EACCES: "the worker's user needs the permission",
        errno.EROFS: "the file system is mounted read-only",
    }
)


def staging_error(what: str, path: str, error: OSError) -> StagingError:
    """Return the error to raise from the one that the operating system gave."""
    advice = _ADVICE.get(error.errno or 0)
    said = error.strerror or str(error)
    return StagingError(f"cannot {what} {path}: {said}" + (f" ({advice})" if advice else ""))
