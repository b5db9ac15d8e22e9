"""What workers print: relayed line by line with their rank, and kept for the root cause.

Reading is the main loop's, through its selector; writing is a thread's, because a paused terminal,
a full pipe or a slow disk must stop neither training nor the leases. What cannot be written is
counted and dropped.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

__all__ = ["Console", "LineReader", "LineWriter", "Logs", "WorkerLog", "descriptor", "write_all"]

MAX_LINE_BYTES = 16 << 10
"""A longer line is shown in pieces."""
_READ_BYTES = 1 << 16
_DRAIN_BYTES = 1 << 20
_QUEUED_LINES = 10_000
_TAIL_LINES = 50


class LineWriter:
    """A thread that writes lines to descriptors: `write` never waits and never raises."""

    def __init__(self, queued_lines: int = _QUEUED_LINES):
        self.dropped = 0
        self._work: queue.Queue[tuple[int, bytes | None] | None] = queue.Queue(queued_lines)
        self._thread = threading.Thread(target=self._run, name="elastic-log", daemon=True)
        self._thread.start()

    def write(self, fd: int, line: bytes) -> None:
        """Have `line` written to `fd` when it can be."""
        self._put(fd, line)

    def close_fd(self, fd: int) -> None:
        """Have `fd` closed after its lines; by the thread, which may be writing to it now."""
        self._put(fd, None)

    def close(self, timeout_s: float = 1.0) -> None:
        """Wait for what is queued, but not for ever: the reader may have gone to lunch."""
        with contextlib.suppress(queue.Full):
            self._work.put(None, timeout=timeout_s)
            self._thread.join(timeout_s)

    def _put(self, fd: int, line: bytes | None) -> None:
        try:
            self._work.put_nowait((fd, line))
        except queue.Full:
            self.dropped += 1

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            fd, line = item
            try:
                os.close(fd) if line is None else self._emit(fd, line)
            except OSError:  # a full disk may have room for the next line, a closed pipe never has
                self.dropped += 1

    def _emit(self, fd: int, line: bytes) -> None:
        write_all(fd, line)


def write_all(fd: int, line: bytes) -> None:
    """Write a line to a descriptor, in as many pieces as that takes."""
    # not sys.stdout: a thread that hangs in it at exit holds its lock, and the exit aborts
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(fd, rest) :]


class Console:
    """The agent's own stdout and stderr, shared by its messages and its workers' lines."""

    def __init__(self, out_fd: int | None, err_fd: int | None, writer: LineWriter | None = None):
        self._out_fd = out_fd
        self._err_fd = err_fd
        self._writer = writer or LineWriter()

    def out(self, line: str | bytes) -> None:
        """Write a line to stdout."""
        self._write(self._out_fd, line)

    def err(self, line: str | bytes) -> None:
        """Write a line to stderr."""
        self._write(self._err_fd, line)

    def close(self) -> None:
        """Write what is queued, and say what was lost."""
        if self._writer.dropped:
            self.err(f"elastic-run: {self._writer.dropped} lines of output could not be written")
        self._writer.close()

    def _write(self, fd: int | None, line: str | bytes) -> None:
        if fd is not None:
            data = line if isinstance(line, bytes) else line.encode(errors="replace")
            self._writer.write(fd, data + b"\n")


def descriptor(stream: IO[str] | None) -> int | None:
    """Return the descriptor of a stream of this process; None if it was closed at the start."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):  # a stream without a file, or a closed one
        return None


class LineReader:
    """The reading end of a worker's pipe, taken line by line; `closed` turns true at its end."""

    def __init__(self, fd: int):
        os.set_blocking(fd, False)
        self._fd = fd
        self._partial = b""
        self.closed = False

    def fileno(self) -> int:
        """The descriptor for a selector."""
        return self._fd

    def lines(self) -> list[bytes]:
        """Return the whole lines that have arrived, without waiting; none is an empty list.

        A carriage return ends a line too: a progress bar never sends anything else.
        """
        text = self._partial + self._drain()
        *lines, self._partial = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if self._partial and (self.closed or len(self._partial) > MAX_LINE_BYTES):
            lines.append(self._partial)
            self._partial = b""
        return [piece for line in lines for piece in _pieces(line)]

    def last_lines(self) -> list[bytes]:
        """Return what is left when the writer is dead, though others may hold its pipe open."""
        lines = self.lines()
        self.closed = True
        return lines + self.lines()

    def _drain(self) -> bytes:
        chunks = bytearray()
        while not self.closed and len(chunks) < _DRAIN_BYTES:
            try:
                chunk = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                break
            self.closed = not chunk
            chunks += chunk
        return bytes(chunks)


def _pieces(line: bytes) -> list[bytes]:
    starts = range(0, max(len(line), 1), MAX_LINE_BYTES)
    return [line[start : start + MAX_LINE_BYTES] for start in starts]


class WorkerLog:
    """The lines of one worker on their way to the console and to its file.

    `rank` is known once its group is formed; until then the place on this host stands for it.
    """

    def __init__(self, local_rank: int, console: Console, keep: Callable[[bytes], None]):
        self.rank: int | None = None
        self._local_rank = local_rank
        self._console = console
        self._keep = keep
        self._tail: deque[bytes] = deque(maxlen=_TAIL_LINES)

    def out(self, line: bytes) -> None:
        """Relay a line of the worker's stdout."""
        self._console.out(self._label() + line)
        self._keep(line + b"\n")

    def err(self, line: bytes) -> None:
        """Relay a line of the worker's stderr; the last are kept."""
        self._tail.append(line)
        self._console.err(self._label() + line)
        self._keep(line + b"\n")

    @property
    def tail(self) -> str:
        """The last lines of stderr: why it died, in the worker's own words."""
        return b"\n".join(self._tail).decode(errors="replace")

    def _label(self) -> bytes:
        name = f"local {self._local_rank}" if self.rank is None else str(self.rank)
        return f"[{name}] ".encode()


class Logs:
    """Where the lines of this agent's workers go: the console, and files under `--log-dir`."""

    def __init__(self, console: Console, directory: Path | None = None):
        self._console = console
        self._directory = directory
        self._files = LineWriter() if directory else None
        self._open: dict[int, int] = {}

    def open(self, local_rank: int, pid: int) -> WorkerLog:
        """Return the log of a new worker."""
        fd = self._create(f"worker-{local_rank}-{pid}.log")
        if self._files is None or fd is None:
            return WorkerLog(local_rank, self._console, keep=lambda line: None)
        self._open[pid] = fd
        return WorkerLog(local_rank, self._console, keep=partial(self._files.write, fd))

    def close(self, pid: int | None = None) -> None:
        """Finish the file of one worker, or, without a pid, everything."""
        if self._files is None:
            return
        for each in [pid] if pid is not None else list(self._open):
            if each in self._open:
                self._files.close_fd(self._open.pop(each))
        if pid is None:
            self._files.close()

    def _create(self, name: str) -> int | None:
        if self._directory is None:
            return None
        try:
            return os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:  # a full disk must not stop training
            self._console.err(f"elastic-run: no log file {name}: {error.strerror}")
            return None
