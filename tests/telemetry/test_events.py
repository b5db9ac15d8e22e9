"""Events as JSON lines, appended by several processes; they never stop training."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys

import pytest

from elastic.errors import ConfigError
from elastic.telemetry.events import EventLog


def events_in(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_event_is_a_line_with_time_and_process(tmp_path):
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.emit("recovery", worker="m-3", rank=1, step=120, lost=("m-2",), total_s=0.21)
    (event,) = events_in(path)
    assert event.pop("t") > 1e9
    assert event == {
        "event": "recovery",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "worker": "m-3",
        "rank": 1,
        "step": 120,
        "lost": ["m-2"],
        "total_s": 0.21,
    }


def test_fields_may_override_time_and_process(tmp_path):
    """The agent writes for its workers."""
    with EventLog(tmp_path / "events") as log:
        log.emit("x", t=1.5, host="h", pid=7)
    expected = {"t": 1.5, "event": "x", "host": "h", "pid": 7}
    assert events_in(tmp_path / "events") == [expected]


def test_what_json_cannot_say_is_text(tmp_path):
    with EventLog(tmp_path / "events") as log:
        log.emit("x", loss=float("nan"), by={1: float("-inf")}, path=tmp_path, line="a\nb")
    (event,) = events_in(tmp_path / "events")
    assert event["loss"] == "nan"
    assert event["by"] == {"1": "-inf"}
    assert event["path"] == str(tmp_path)
    assert event["line"] == "a\nb"


def test_a_log_without_a_file_takes_everything():
    with EventLog(None) as log:
        log.emit("x")


def test_events_are_appended_to_what_is_there(tmp_path):
    for number in range(2):
        with EventLog(tmp_path / "events") as log:
            log.emit("x", number=number)
    assert [event["number"] for event in events_in(tmp_path / "events")] == [0, 1]


def test_a_closed_log_drops_events(tmp_path):
    log = EventLog(tmp_path / "events")
    log.close()
    log.close()
    log.emit("x")
    assert events_in(tmp_path / "events") == []


@pytest.mark.parametrize("name", ["", "missing/events"])
def test_a_file_that_cannot_be_opened_is_refused_at_once(tmp_path, name):
    with pytest.raises(ConfigError, match=r"can be appended to, got .*; name another file"):
        EventLog(tmp_path / name)


def test_a_full_disk_is_told_once_and_stops_nothing():
    said = []
    with EventLog("/dev/full", say=said.append) as log:
        log.emit("x")
        log.emit("y")
    assert said == ["events are being lost, /dev/full: No space left on device; training goes on"]


def test_after_half_a_line_the_next_one_begins_anew(tmp_path, monkeypatch):
    said = []
    real = os.write
    with EventLog(tmp_path / "events", say=said.append) as log:
        monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:5]))
        log.emit("torn")
        monkeypatch.setattr(os, "write", real)
        log.emit("whole")
    torn, whole = (tmp_path / "events").read_text().splitlines()
    assert len(torn) == 5
    assert json.loads(whole)["event"] == "whole"
    assert said[0].endswith("only a part of a line could be written; training goes on")


def test_events_return_when_there_is_space_again(tmp_path, monkeypatch):
    real = os.write

    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with EventLog(tmp_path / "events", say=lambda message: None) as log:
        monkeypatch.setattr(os, "write", full)
        log.emit("lost")
        monkeypatch.setattr(os, "write", real)
        log.emit("kept")
    assert [event["event"] for event in events_in(tmp_path / "events")] == ["kept"]


WRITER = """
import sys
from elastic.telemetry.events import EventLog
with EventLog(sys.argv[1]) as log:
    for number in range(200):
        log.emit("x", number=number, padding="x" * 500)
"""


def test_processes_append_whole_lines_to_one_file(tmp_path):
    path = tmp_path / "events"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    events = events_in(path)
    by_process = {event["pid"]: [] for event in events}
    for event in events:
        by_process[event["pid"]].append(event["number"])
    assert list(by_process.values()) == [list(range(200))] * 3
