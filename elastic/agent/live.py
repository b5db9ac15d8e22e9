"""The live view on a terminal: one status line at the bottom, under the lines that scroll.

Nothing is set that would have to be set back: no cursor is hidden, no mode changed, and the cursor
rests at the start of the line, so that whatever comes after a SIGKILL writes over it. The width is
asked at each drawing, so a resized terminal is right again with the next.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection

from elastic.agent.board import Board, Snapshot
from elastic.agent.logs import Console, LineWriter, descriptor, write_all

__all__ = ["LiveView", "TerminalWriter", "open_console", "status_line"]

_ERASE = b"\r\x1b[K"
_BOLD, _PLAIN = b"\x1b[1m", b"\x1b[0m"
_COLUMNS = 80
_EVERY_S = 0.2


def open_console(*, live: bool) -> tuple[Console, Callable[[str], None] | None]:
    """Return the console of this process, and what shows a status line on it.

    None in its place where stdout is no terminal, or none that can erase a line.
    """
    out, err = descriptor(sys.stdout), descriptor(sys.stderr)
    if not live or out is None or not _can_erase(out):
        return Console(out, err), None
    writer = TerminalWriter([fd for fd in (out, err) if fd is not None and os.isatty(fd)])
    return Console(out, err, writer), writer.show


def _can_erase(fd: int) -> bool:
    return os.isatty(fd) and os.environ.get("TERM", "dumb") != "dumb"


class TerminalWriter(LineWriter):
    """A writer of lines that keeps one below them all; `fds` are those of the one terminal."""

    def __init__(self, fds: Collection[int]):
        self._fds = set(fds)
        self._live = b""
        self._is_due = False
        super().__init__()

    def show(self, text: str) -> None:
        """Have this stand below all lines."""
        self._live = text.encode(errors="replace")
        if not self._is_due:  # a terminal that is paused shall not fill the queue with drawings
            self._is_due = True
            self.write(min(self._fds), b"")

    def close(self, timeout_s: float = 1.0) -> None:
        """Take the status line away, and wait for what is queued."""
        self.show("")
        super().close(timeout_s)

    def _emit(self, fd: int, line: bytes) -> None:
        if fd not in self._fds:
            super()._emit(fd, line)
            return
        self._is_due = self._is_due and bool(line)
        # drawn again when all that waits is written, or a burst of lines would be twice as long
        write_all(fd, _ERASE + line + (self._drawn(fd) if self._work.empty() else b""))

    def _drawn(self, fd: int) -> bytes:
        if not self._live:
            return b""
        try:
            columns = os.get_terminal_size(fd).columns or _COLUMNS
        except OSError:
            columns = _COLUMNS
        cut = self._live.decode(errors="replace")[: columns - 1].encode()
        return _BOLD + cut + _PLAIN + b"\r"


class LiveView:
    """Shows how the run stands, a few times a second at most."""

    def __init__(self, board: Board, show: Callable[[str], None]):
        self._board, self._show = board, show
        self._due_t = 0.0

    def refresh(self, now: float) -> None:
        """Show how it stands now, if that is due."""
        if now >= self._due_t:
            self._due_t = now + _EVERY_S
            self._show(status_line(self._board.snapshot(now)))


def status_line(now: Snapshot) -> str:
    """Return the line: what matters most first, since a narrow terminal cuts its end."""
    of = f"/{now.total_steps} ({now.step / now.total_steps:.0%})" if now.total_steps else ""
    parts = [] if now.state == "training" else [now.state]
    parts += [f"step {now.step}{of}"] if now.generation else []
    parts += [f"loss {now.metrics['loss']:.4g}"] if "loss" in now.metrics else []
    if now.generation:
        parts.append(f"{now.world_size} {'worker' if now.world_size == 1 else 'workers'}")
    parts += [f"{now.steps_per_s:.3g} steps/s"] if now.steps_per_s is not None else []
    if now.last_recovery:
        last = now.last_recovery
        parts.append(f"last recovery {last['total_s'] * 1000:.0f} ms at step {last['step']}")
    parts += [f"goodput {now.goodput:.1%}"] if now.recoveries else []
    return "  ".join(parts)
