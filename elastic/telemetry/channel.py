"""The channel between an agent and its worker: one end of a socketpair, one JSON line a message.

`elastic.control` says what may be said; here it is carried. Below both rooms that use it, since
training may not import the agent. An agent drains its end when its selector says so; a worker
reads its end in a thread of its own. Both send from any thread.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from elastic.clock import monotonic
from elastic.control import ENV_AGENT_PID, ENV_CONTROL_FD, FROM_AGENT, FROM_WORKER
from elastic.wire import Vocabulary

__all__ = ["MAX_LINE_BYTES", "Channel", "ChannelClosed", "channel_pair", "channel_to_agent"]

MAX_LINE_BYTES = 8 << 20
"""An audit line holds the indices of a global batch: a million of them fit."""
_BUFFER_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_DRAIN_BYTES = 4 << 20
"""The most that one `receive` takes, so that a chattering worker cannot hold its agent."""


class ChannelClosed(ConnectionError):
    """The process at the other end is gone, or has not read for too long."""


class Channel:
    """One end of the socketpair. `incoming` says which end: it is what the peer may say here.

    The socket is the channel's from now on; `closed` turns true once the peer has hung up.
    """

    def __init__(self, sock: socket.socket, incoming: Vocabulary, *, send_timeout_s: float = 30.0):
        self._sock = sock
        self._incoming = incoming
        self._outgoing = FROM_WORKER if incoming is FROM_AGENT else FROM_AGENT
        self._peer = "agent" if incoming is FROM_AGENT else "worker"
        self._send_timeout_s = send_timeout_s
        self._sending = threading.Lock()
        self._buffer = bytearray()
        self.closed = False
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)

    def fileno(self) -> int:
        """The descriptor for a selector."""
        return self._sock.fileno()

    def send(self, message: Any) -> None:
        """Hand `message` to the peer: a whole line, never mixed with that of another thread.

        Raises:
            ChannelClosed: the peer is gone, or has not read for `send_timeout_s`.
            ValueError: the message is not one that this end may say, or is too long.
        """
        line = self._outgoing.encode(message) + b"\n"
        if len(line) > MAX_LINE_BYTES:
            name = type(message).__name__
            raise ValueError(
                f"the {self._peer} reads lines of at most {MAX_LINE_BYTES} bytes, "
                f"got a {name} of {len(line)}"
            )
        with self._sending:
            self._send_all(memoryview(line))

    def _send_all(self, rest: memoryview) -> None:
        deadline = monotonic() + self._send_timeout_s
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                self._wait_writable(deadline)
            except OSError as error:
                raise ChannelClosed(f"the {self._peer} is gone: {error}") from None

    def _wait_writable(self, deadline: float) -> None:
        wait_s = deadline - monotonic()
        if wait_s <= 0 or not _wait(self._sock, select.POLLOUT, wait_s):
            self._hang_up()  # half a line may be out: nothing can follow it
            raise ChannelClosed(
                f"the {self._peer} has not read for {self._send_timeout_s:g} s; "
                "it is stopped or hangs"
            )

    def receive(self) -> list[Any]:
        """Return the messages that have arrived, without waiting; none is an empty list.

        Raises:
            ValueError: a line is too long or is no message of the peer's; the peer cannot be
                trusted any more.
        """
        budget = _DRAIN_BYTES
        while budget > 0 and (chunk := self._read()):
            self._buffer += chunk
            budget -= len(chunk)
        return [self._decode(line) for line in self._take_lines()]

    def __iter__(self) -> Iterator[Any]:
        """Yield messages, waiting for each, until the peer is gone or `close` is called."""
        while not self.closed:
            _wait(self._sock, select.POLLIN, None)
            yield from self.receive()

    def close(self) -> None:
        """Hang up; a thread that waits in the iteration ends."""
        self._hang_up()
        self._sock.close()

    def _hang_up(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError):  # the peer was first
            self._sock.shutdown(socket.SHUT_RDWR)

    def _read(self) -> bytes:
        try:
            chunk = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:  # reset, or closed by another thread
            chunk = b""
        self.closed = self.closed or not chunk
        return chunk

    def _take_lines(self) -> list[bytes]:
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer[:] = rest
        longest = max(map(len, [*lines, rest]))
        if longest > MAX_LINE_BYTES:
            raise ValueError(
                f"the {self._peer} may send lines of at most {MAX_LINE_BYTES} bytes, got {longest}"
            )
        return lines

    def _decode(self, line: bytes) -> Any:
        try:
            return self._incoming.decode(line)
        except (ValueError, RecursionError, OverflowError) as error:
            start = line[:80].decode(errors="replace")
            raise ValueError(f"the {self._peer} sent {start!r}, no message: {error}") from None


def _wait(sock: socket.socket, event: int, wait_s: float | None) -> bool:
    # poll, not select: a job with many files open has descriptors above 1024
    if sock.fileno() < 0:
        return False
    poller = select.poll()
    poller.register(sock, event)
    return bool(poller.poll(None if wait_s is None else wait_s * 1000))


def channel_pair() -> tuple[Channel, socket.socket]:
    """Return the agent's end, and the worker's socket, which is passed to the new process.

    The agent waits a second at most for a worker that does not read: it has others to serve.
    """
    ours, theirs = socket.socketpair()
    return Channel(ours, FROM_WORKER, send_timeout_s=1.0), theirs


@cache
def channel_to_agent() -> Channel | None:
    """Return this process's one channel to its agent, or None where no agent started it.

    A child of a worker inherits the environment but is not a worker: its parent tells.
    """
    number = os.environ.get(ENV_CONTROL_FD)
    if number is None or os.environ.get(ENV_AGENT_PID) != str(os.getppid()):
        return None
    os.set_inheritable(int(number), False)
    return Channel(socket.socket(fileno=int(number)), FROM_AGENT)
