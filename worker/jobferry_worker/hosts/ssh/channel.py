r"""A session channel that sends while it receives, and never waits for longer than it was told.

wire = Wire(open_session(transport, timeout=60))
wire.channel.exec_command("exec /bin/sh")
left = wire.move(memoryview(b"echo hello\n"), until=time.monotonic() + 5)     # what was not sent yet
wire.stdout, wire.stderr                                                      # what came
"""

from __future__ import annotations

import select
import threading
import time
from contextlib import suppress
from typing import Final, cast

import paramiko

#: bytes given to paramiko at once
_SLICE: Final = 256 * 1024
#: bytes taken at once: all that came, because taking a part moves the rest
_MOST: Final = 1 << 26
#: while the far side takes nothing: how long until it is looked what comes from there
_AGAIN_SECONDS: Final = 0.02

EMPTY: Final = memoryview(b"")
#: what paramiko raises when a channel or its connection is gone
BROKEN: Final = (OSError, EOFError, paramiko.SSHException)

_NO_ROOM: Final = 2  # SSH_OPEN_CONNECT_FAILED, as OpenSSH says it


def open_session(
    transport: paramiko.Transport,
    *,
    timeout: float,
    window_size: int | None = None,
    max_packet_size: int | None = None,
) -> paramiko.Channel:
    """Open a channel, in time.

    Raises:
        paramiko.ChannelException: the server allows no more of them. paramiko keeps this reason once for all threads,
            so that the second of two that ask at the same moment would be told none.
    """
    try:
        return transport.open_session(window_size, max_packet_size, timeout)
    except paramiko.ChannelException:
        raise
    except paramiko.SSHException as error:
        if transport.is_active() and "Unable to open channel" in str(error):
            raise paramiko.ChannelException(_NO_ROOM, "Connect failed") from error
        raise


class Wire:
    """A channel with what came in."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self.channel = channel
        self.stdout = bytearray()
        self.stderr = bytearray()
        #: bytes in both directions so far
        self.moved = 0
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)

    @property
    def ended(self) -> bool:
        """Whether nothing more can come."""
        channel = self.channel
        over = channel.closed or channel.eof_received
        return bool(over) and not channel.recv_ready() and not channel.recv_stderr_ready()

    def move(self, pending: memoryview, until: float) -> memoryview:
        """Send and receive something; return what is still to be sent.

        Raises:
            OSError, paramiko.SSHException, EOFError: the channel or the connection is gone.
        """
        sent = self._send(pending) if pending else 0
        if not self.take() and not pending and not self.ended:
            self._poll.poll(max(until - time.monotonic(), 0.0) * 1000)
            self.take()
        self.moved += sent
        return pending[sent:]

    def _send(self, pending: memoryview) -> int:
        """Send what the far side takes; while it takes nothing, look now and then at what comes from there."""
        self.channel.settimeout(_AGAIN_SECONDS)
        try:
            # a view is taken as bytes are, without a copy of what is left
            return self.channel.send(cast("bytes", pending[:_SLICE]))
        except TimeoutError:
            return 0

    def take(self) -> int:
        """Take what has come; return how many bytes."""
        size = 0
        if self.channel.recv_ready():
            data = self.channel.recv(_MOST)
            size += len(data)
            self.stdout += data
        if self.channel.recv_stderr_ready():
            data = self.channel.recv_stderr(_MOST)
            size += len(data)
            self.stderr += data
        self.moved += size
        return size

    def close(self) -> None:
        """Close the channel; the far side sees the end of its stdin.

        paramiko would close the pipe behind `fileno` while its own thread may write into it, as output still comes:
        that error would end the connection, and with it what all others do. So nothing is told to the pipe any more.
        """
        for buffer in (self.channel.in_buffer, self.channel.in_stderr_buffer):
            buffer.set_event(threading.Event())
        with suppress(OSError, EOFError):
            self.channel.close()
