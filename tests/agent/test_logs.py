"""Workers' lines reach the console whole and named; nothing that cannot be written stops us."""

from __future__ import annotations

import fcntl
import os
import sys
import threading

import pytest

from elastic.agent import logs
from elastic.agent.live import open_console
from elastic.agent.logs import Console, LineReader, LineWriter, Logs


@pytest.fixture
def pipe():
    """The two ends of a pipe, as unbuffered files."""
    read_fd, write_fd = os.pipe()
    with open(read_fd, "rb", buffering=0) as reading, open(write_fd, "wb", buffering=0) as writing:
        yield reading, writing


@pytest.fixture
def console(tmp_path):
    """A console whose stdout and stderr are files; `.lines(name)` closes it and returns them."""
    with open(tmp_path / "out", "wb") as out, open(tmp_path / "err", "wb") as err:
        console = Console(out.fileno(), err.fileno())

        def lines(name: str) -> list[str]:
            console.close()
            return (tmp_path / name).read_text().splitlines()

        console.lines = lines
        yield console
        console.close()


class TestLineReader:
    def test_lines_come_whole(self, pipe):
        reading, writing = pipe
        reader = LineReader(reading.fileno())
        assert reader.lines() == []
        writing.write(b"one\n\ntw")
        assert reader.lines() == [b"one", b""]
        writing.write(b"o\nrest")
        assert reader.lines() == [b"two"]
        assert not reader.closed
        writing.close()
        assert reader.lines() == [b"rest"]
        assert reader.closed

    def test_a_progress_bar_is_seen_while_it_runs(self, pipe):
        reading, writing = pipe
        writing.write(b"10%\r20%\rdone\r\n")
        assert LineReader(reading.fileno()).lines() == [b"10%", b"20%", b"done"]

    def test_an_endless_line_is_cut(self, pipe, monkeypatch):
        monkeypatch.setattr(logs, "MAX_LINE_BYTES", 10)
        reading, writing = pipe
        reader = LineReader(reading.fileno())
        writing.write(b"x" * 25)
        assert reader.lines() == [b"x" * 10, b"x" * 10, b"x" * 5]
        writing.write(b"y" * 10)
        assert reader.lines() == []
        writing.write(b"\n")
        assert reader.lines() == [b"y" * 10]

    def test_one_read_takes_a_bounded_amount(self, pipe, monkeypatch):
        monkeypatch.setattr(logs, "_READ_BYTES", 4)
        monkeypatch.setattr(logs, "_DRAIN_BYTES", 4)
        reading, writing = pipe
        writing.write(b"a\nb\nc\nd\n")
        reader = LineReader(reading.fileno())
        assert reader.lines() == [b"a", b"b"]
        assert reader.lines() == [b"c", b"d"]

    def test_the_end_without_a_line_is_no_line(self, pipe):
        reading, writing = pipe
        writing.close()
        reader = LineReader(reading.fileno())
        assert reader.lines() == []
        assert reader.closed


class TestWorkerLog:
    def test_the_place_stands_for_the_rank_until_there_is_one(self, console):
        log = Logs(console).open(local_rank=2, pid=9)
        log.out(b"hello")
        log.rank = 5
        log.out(b"step")
        log.err(b"\xff oops")
        assert console.lines("out") == ["[local 2] hello", "[5] step"]
        with pytest.raises(UnicodeDecodeError):
            console.lines("err")  # bytes pass as they are

    def test_the_last_lines_of_stderr_are_the_root_cause(self, console):
        log = Logs(console).open(0, 9)
        for n in range(60):
            log.err(b"line %d" % n)
            log.out(b"noise")
        log.err(b"bad \xff byte")
        assert log.tail.splitlines()[0] == "line 11"
        assert log.tail.splitlines()[-1] == "bad \ufffd byte"
        assert len(log.tail.splitlines()) == 50

    def test_each_worker_has_a_file(self, console, tmp_path):
        directory = tmp_path / "logs"
        directory.mkdir()
        all_logs = Logs(console, directory)
        for local_rank, pid in ((0, 41), (1, 42)):
            log = all_logs.open(local_rank, pid)
            log.out(b"out")
            log.err(b"err")
        all_logs.close(41)
        all_logs.close()
        for name in ("worker-0-41.log", "worker-1-42.log"):
            assert (directory / name).read_text() == "out\nerr\n"

    def test_a_file_that_cannot_be_made_is_said_and_lived_with(self, console, tmp_path):
        all_logs = Logs(console, tmp_path / "gone")
        all_logs.open(0, 41).out(b"still here")
        all_logs.close()
        assert console.lines("out") == ["[local 0] still here"]
        assert console.lines("err") == [
            "elastic-run: no log file worker-0-41.log: No such file or directory"
        ]


class TestNothingStops:
    def test_a_full_disk(self):
        with open("/dev/full", "wb", buffering=0) as full:
            writer = LineWriter()
            writer.write(full.fileno(), b"lost\n")
            writer.close()
            assert writer.dropped == 1

    def test_a_closed_pipe(self, pipe):
        reading, writing = pipe
        reading.close()
        writer = LineWriter()
        writer.write(writing.fileno(), b"lost\n")
        writer.write(writing.fileno(), b"lost\n")
        writer.close()
        assert writer.dropped == 2

    def test_a_paused_terminal(self, pipe):
        """Nobody reads: lines are dropped, the caller never waits, and close gives up."""
        reading, writing = pipe
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        writer = LineWriter(queued_lines=10)
        for _ in range(50):
            writer.write(writing.fileno(), b"x" * 4096)
        assert writer.dropped >= 35
        writer.close(timeout_s=0.01)
        drain = threading.Thread(target=reading.readall)  # the terminal goes on
        drain.start()
        writer.close(timeout_s=5)
        writing.close()
        drain.join()
        assert not writer._thread.is_alive()

    def test_lost_lines_are_said(self, console):
        console._writer.dropped = 3
        assert console.lines("err") == ["elastic-run: 3 lines of output could not be written"]

    def test_streams_that_were_closed_at_the_start(self, monkeypatch):
        monkeypatch.setattr(sys, "stdout", None)
        with open(os.devnull, "w") as closed:
            monkeypatch.setattr(sys, "stderr", closed)
        console, _ = open_console(live=True)
        console.out("nobody")
        console.err(b"hears")
        console.close()

    def test_the_process_has_a_console(self, capfd):
        console, _ = open_console(live=True)
        console.out("to stdout")
        console.err("to stderr \udcff")
        console.close()
        assert capfd.readouterr() == ("to stdout\n", "to stderr ?\n")
