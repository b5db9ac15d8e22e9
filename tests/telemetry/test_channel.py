"""The channel carries whole messages, in order, and never waits for ever."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from elastic.control import (
    ENV_AGENT_PID,
    ENV_CONTROL_FD,
    FROM_AGENT,
    FROM_WORKER,
    Admission,
    Committed,
    Failure,
    JobFailed,
    LeaveRequest,
)
from elastic.telemetry import channel as channel_module
from elastic.telemetry.channel import (
    Channel,
    ChannelClosed,
    channel_pair,
    channel_to_agent,
)


@pytest.fixture
def ends():
    agent, sock = channel_pair()
    worker = Channel(sock, FROM_AGENT)
    yield agent, worker
    agent.close()
    worker.close()


def test_messages_pass_both_ways_in_order(ends):
    agent, worker = ends
    said = [Committed(step, t=0.5, metrics={"loss": 1.0}) for step in range(3)]
    for message in said:
        worker.send(message)
    assert agent.receive() == said
    assert agent.receive() == []
    agent.send(Admission("m1"))
    assert next(iter(worker)) == Admission("m1")


def test_an_end_says_only_its_own_messages(ends):
    agent, worker = ends
    with pytest.raises(ValueError, match="not in this vocabulary"):
        agent.send(Failure("sync", ""))
    with pytest.raises(ValueError, match="not in this vocabulary"):
        worker.send(JobFailed("no"))


def test_half_a_line_waits_for_the_other_half():
    ours, theirs = socket.socketpair()
    agent = Channel(ours, FROM_WORKER)
    line = FROM_WORKER.encode(Failure("sync", "Traceback"))
    theirs.sendall(line[:9])
    assert agent.receive() == []
    theirs.sendall(line[9:] + b"\n" + line)
    assert agent.receive() == [Failure("sync", "Traceback")]
    theirs.close()
    assert agent.receive() == []
    assert agent.closed
    agent.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello",
        b"\xff\xfe",
        b"[]",
        b'{"type":"Admission","id":"a"}',
        b'{"type":"Ready"}',
        b'{"type":"Ready","address":5}',
        b"[" * 100_000,
        b'{"type":"Suspect","generation":1,"id":"a","reason":"","t":1' + b"0" * 400 + b"}",
    ],
)
def test_garbage_is_an_error_that_shows_it(garbage):
    ours, theirs = socket.socketpair()
    agent = Channel(ours, FROM_WORKER)
    with theirs:
        theirs.sendall(garbage + b"\n")
        with pytest.raises(ValueError, match=r"the worker sent '.*no message"):
            agent.receive()
    agent.close()


def test_a_line_without_end_is_refused(ends, monkeypatch):
    agent, worker = ends
    monkeypatch.setattr(channel_module, "MAX_LINE_BYTES", 100)
    with pytest.raises(ValueError, match="at most 100 bytes, got a Failure of"):
        worker.send(Failure("sync", "x" * 100))
    worker._sock.send(b"x" * 101)
    with pytest.raises(ValueError, match="at most 100 bytes, got 101"):
        agent.receive()


def test_a_peer_that_is_gone_is_an_error_of_its_own_type(ends):
    agent, worker = ends
    worker.close()
    with pytest.raises(ChannelClosed, match="the worker is gone"):
        agent.send(LeaveRequest("drain"))


def test_a_peer_that_does_not_read_cannot_hold_the_sender():
    ours, theirs = socket.socketpair()
    agent = Channel(ours, FROM_WORKER, send_timeout_s=0.05)
    more_than_fits = JobFailed("x" * (4 << 20))
    with theirs, pytest.raises(ChannelClosed, match=r"has not read for 0\.05 s"):
        agent.send(more_than_fits)
    assert agent.closed  # half a line is out
    agent.close()


def test_threads_never_mix_their_lines(ends):
    agent, worker = ends
    each = 50

    def chatter(place: str) -> None:
        for _ in range(each):
            worker.send(Failure(place, "x" * 50_000))  # more in all than the socket holds

    threads = [threading.Thread(target=chatter, args=(str(n),)) for n in range(3)]
    for thread in threads:
        thread.start()
    received: list[Failure] = []
    while len(received) < 3 * each:
        received += agent.receive()
    for thread in threads:
        thread.join()
    assert {m.place for m in received} == {"0", "1", "2"}


def test_one_receive_takes_a_bounded_amount(ends, monkeypatch):
    agent, worker = ends
    monkeypatch.setattr(channel_module, "_DRAIN_BYTES", 1)
    for place in "ab":
        worker.send(Failure(place, "x" * channel_module._READ_BYTES))
    received = []
    for _ in range(3):
        received.append([m.place for m in agent.receive()])
    assert received == [[], ["a"], ["b"]]


@pytest.mark.parametrize("who_ends", ["agent", "worker"])
def test_the_iteration_ends_when_either_side_hangs_up(ends, who_ends):
    agent, worker = ends
    received = []
    reader = threading.Thread(target=lambda: received.extend(worker))
    reader.start()
    agent.send(LeaveRequest("drain"))
    while not received:
        reader.join(0.001)
    (agent if who_ends == "agent" else worker).close()
    reader.join(5)
    assert not reader.is_alive()
    assert received == [LeaveRequest("drain")]


class TestChannelToAgent:
    @pytest.fixture(autouse=True)
    def _fresh(self):
        channel_to_agent.cache_clear()
        yield
        channel_to_agent.cache_clear()

    def test_without_an_agent_there_is_none(self, monkeypatch):
        monkeypatch.delenv(ENV_CONTROL_FD, raising=False)
        assert channel_to_agent() is None

    def test_a_child_of_a_worker_has_none(self, monkeypatch):
        """PROTOCOL P1: the environment is inherited; who the parent is tells a worker."""
        monkeypatch.setenv(ENV_CONTROL_FD, "3")
        monkeypatch.setenv(ENV_AGENT_PID, str(os.getpid()))
        assert channel_to_agent() is None

    def test_a_worker_has_one_and_its_children_do_not_inherit_it(self, monkeypatch):
        agent, sock = channel_pair()
        sock.set_inheritable(True)
        monkeypatch.setenv(ENV_CONTROL_FD, str(sock.detach()))
        monkeypatch.setenv(ENV_AGENT_PID, str(os.getppid()))
        mine = channel_to_agent()
        assert mine is channel_to_agent()
        mine.send(Failure("sync", ""))
        assert agent.receive() == [Failure("sync", "")]
        assert not os.get_inheritable(mine.fileno())
        mine.close()
        agent.close()
