"""The live line, on real pseudo-terminals."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
from dataclasses import replace

import pytest

from elastic.agent.board import Board, Snapshot
from elastic.agent.live import LiveView, TerminalWriter, open_console, status_line
from elastic.control import Committed
from elastic.telemetry.recovery import Recovery

TRAINING = Snapshot(
    "job7",
    "h",
    "training",
    True,
    generation=3,
    world_size=4,
    step=120,
    total_steps=480,
    steps_per_s=12.34,
    metrics={"accuracy": 0.9, "loss": 0.123456},
)


class Screen:
    """A pseudo-terminal, and what it would show: lines that end, and the one that lives."""

    def __init__(self, columns: int):
        self.theirs, self.ours = os.openpty()
        self.resize(columns)
        self.raw = b""

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read_until(self, text: bytes) -> None:
        while text not in self.raw:
            self.raw += os.read(self.theirs, 65536)

    @property
    def lines(self) -> list[str]:
        """All lines, the live one last; what was erased is gone."""
        shown = []
        for line in self.raw.replace(b"\r\n", b"\n").split(b"\n"):
            text = line.rsplit(b"\x1b[K", 1)[-1]
            shown.append(text.replace(b"\x1b[1m", b"").replace(b"\x1b[0m", b"").strip(b"\r"))
        return [line.decode() for line in shown]

    def close(self) -> None:
        os.close(self.theirs)
        os.close(self.ours)


@pytest.fixture
def screen():
    screen = Screen(40)
    yield screen
    screen.close()


def test_lines_scroll_over_the_live_one(screen):
    writer = TerminalWriter([screen.ours])
    writer.show("step 1")
    screen.read_until(b"step 1")
    writer.write(screen.ours, b"[0] a line\n")
    screen.read_until(b"a line")
    writer.show("step 2")
    screen.read_until(b"step 2")
    assert screen.lines == ["[0] a line", "step 2"]
    writer.write(screen.ours, b"the end\n")
    writer.close()
    screen.read_until(b"the end")
    os.write(screen.ours, b"$ ")
    screen.read_until(b"$ ")
    assert screen.lines[-1] == "$ "


def test_a_narrow_or_resized_terminal_is_never_wrapped(screen):
    writer = TerminalWriter([screen.ours])
    writer.show("x" * 30 + "é" * 100)
    screen.read_until(b"\x1b[0m")
    assert screen.lines[-1] == "x" * 30 + "é" * 9
    screen.raw = b""
    screen.resize(20)
    writer.write(screen.ours, b"a line\n")
    screen.read_until(b"\x1b[0m")
    assert screen.lines == ["a line", "x" * 19]
    writer.close()


def test_a_burst_of_lines_is_written_once(screen):
    writer = TerminalWriter([screen.ours])
    writer.show("live")
    for number in range(500):
        writer.write(screen.ours, b"line %d\n" % number)
        if number % 50 == 0:
            screen.read_until(b"line %d\r\n" % number)
    screen.read_until(b"line 499\r\n")
    writer.close()
    lines = [line for line in screen.lines if line.startswith("line")]
    assert lines == [f"line {number}" for number in range(500)]


def test_a_paused_terminal_does_not_fill_the_queue(screen):
    os.set_blocking(screen.ours, True)
    termios.tcflow(screen.ours, termios.TCOOFF)
    writer = TerminalWriter([screen.ours])
    for number in range(1000):
        writer.show(f"step {number}")
    assert writer._work.qsize() <= 2
    termios.tcflow(screen.ours, termios.TCOON)
    screen.read_until(b"step")
    writer.close()
    assert writer.dropped == 0


def test_files_beside_the_terminal_stay_plain(screen, tmp_path):
    writer = TerminalWriter([screen.ours])
    writer.show("live")
    with (tmp_path / "stderr").open("wb") as file:
        writer.write(file.fileno(), b"an error\n")
        writer.close()
    assert (tmp_path / "stderr").read_bytes() == b"an error\n"


@pytest.mark.parametrize(
    ("term", "live", "shows"),
    [("xterm", True, True), ("xterm", False, False), ("dumb", True, False), (None, True, False)],
)
def test_only_a_capable_terminal_has_a_live_line(screen, monkeypatch, term, live, shows):
    monkeypatch.delenv("TERM", raising=False)
    if term:
        monkeypatch.setenv("TERM", term)
    with os.fdopen(os.dup(screen.ours), "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        console, show = open_console(live=live)
        console.close()
        monkeypatch.undo()
    assert (show is not None) is shows


def test_the_line_says_what_matters_most_first():
    assert status_line(TRAINING) == "step 120/480 (25%)  loss 0.1235  4 workers  12.3 steps/s"
    recovered = {"total_s": 0.0812, "step": 100}
    late = replace(TRAINING, recoveries=1, last_recovery=recovered, goodput=0.99)
    assert status_line(late).endswith("  last recovery 81 ms at step 100  goodput 99.0%")
    waiting = replace(TRAINING, state="waiting", world_size=1, steps_per_s=None, metrics={})
    assert status_line(waiting) == "waiting  step 120/480 (25%)  1 worker"
    assert status_line(Snapshot("j", "h", "starting", True)) == "starting"


def test_it_is_shown_a_few_times_a_second():
    shown: list[str] = []
    board = Board("job7", "h")
    view = LiveView(board, shown.append)
    for tick in range(100):
        board.committed(Committed(tick + 1, tick / 100, {}), 0)
        view.refresh(1.0 + tick / 100)
    assert 4 <= len(shown) <= 6


def test_a_recovery_is_shown():
    shown: list[str] = []
    board = Board("job7", "h")
    board.recovered(Recovery(5, "why", ("m",), 0.0, 0.0, 0.0, 0.0, 0.5))
    LiveView(board, shown.append).refresh(1.0)
    assert "last recovery 500 ms at step 5" in shown[0]
