"""Host keys that nobody is to believe any more: the file that RevokedHostKeys names.

    is_revoked("/etc/ssh/revoked", transport.get_remote_server_key())

It holds one public key a line, or is a list in the form that `ssh-keygen -k` makes; that form ssh-keygen itself is
asked about. As with OpenSSH no host is believed while the file cannot be read.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobferry_common.errors import HostKeyRefused

if TYPE_CHECKING:
    from paramiko import PKey

_LIST: Final = b"SSHKRL\n\0"
_SECONDS: Final = 10.0


def is_revoked(file: str, key: PKey) -> bool:
    """Return whether a file revokes a key.

    Raises:
        HostKeyRefused: that cannot be known.
    """
    try:
        data = Path(file).read_bytes()
        if data.startswith(_LIST):
            return _is_listed(file, key)
    except (OSError, subprocess.TimeoutExpired) as error:
        why = getattr(error, "strerror", None) or error
        msg = f"RevokedHostKeys cannot be looked up: {file}: {why}; without it no host is believed"
        raise HostKeyRefused(msg) from None
    return any(_blob(line) == key.asbytes() for line in data.splitlines())


def _blob(line: bytes) -> bytes:
    words = line.split()
    try:
        return base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error):
        return b""


def _is_listed(file: str, key: PKey) -> bool:
    """Ask ssh-keygen; what it does not clearly answer counts as revoked."""
    with tempfile.NamedTemporaryFile("w", suffix=".pub") as public:
        public.write(f"{key.get_name()} {key.get_base64()}\n")
        public.flush()
        argv = ("ssh-keygen", "-Q", "-f", file, public.name)
        quiet = subprocess.DEVNULL
        done = subprocess.run(
            argv, stdin=quiet, stdout=quiet, stderr=quiet, timeout=_SECONDS, check=False
        )
    return done.returncode != 0
