"""The link to the agent: over a real socketpair, or to nobody."""

from __future__ import annotations

import queue
import threading

import pytest

from elastic.control import (
    FROM_AGENT,
    Admission,
    Boundary,
    Candidates,
    Event,
    Finished,
    Group,
    JobDone,
    JobFailed,
    LeaveRequest,
    Ready,
)
from elastic.errors import ConfigError
from elastic.telemetry.channel import Channel, channel_pair
from elastic.training import link as link_module
from elastic.training.link import AgentLink, AloneLink, Inbox, link_to_agent
from elastic.world import Member

GONE = JobFailed("the agent is gone")
GROUP = Group(1, (Member("a", "h:1", "h:2"),), "why", lost=("b",), planned=True)


# -- the inbox -----------------------------------------------------------------------------------


def test_messages_come_in_order():
    inbox = Inbox()
    for message in (1, 2, 3):
        inbox.put(message)
    assert [inbox.get(), inbox.get(), inbox.get()] == [1, 2, 3]


def test_some_kinds_are_taken_without_waiting():
    inbox = Inbox()
    assert inbox.take(str) == []
    for message in (1, "a", 2.0, "b"):
        inbox.put(message)
    assert inbox.take(str, float) == ["a", 2.0, "b"]
    assert inbox.holds(lambda message: message == 1)
    assert not inbox.holds(lambda message: message == "a")
    assert inbox.get() == 1


def test_a_reader_waits_for_a_message():
    inbox, got = Inbox(), queue.Queue()
    reader = threading.Thread(target=lambda: got.put(inbox.get()), daemon=True)
    reader.start()
    inbox.put("late")
    assert got.get(timeout=10) == "late"
    reader.join(10)


# -- with an agent -------------------------------------------------------------------------------


@pytest.fixture
def ends():
    """The agent's end, and a link on the worker's."""
    agent, theirs = channel_pair()
    worker = Channel(theirs, FROM_AGENT)
    yield agent, AgentLink(worker)
    agent.close()
    worker.close()


def listening(link):
    """Start the link; return what its thread calls urgent."""
    urgent = queue.Queue()
    link.start(urgent.put)
    return urgent


def test_what_the_agent_says_arrives_in_order_and_urgent_after_it(ends):
    """Each message lies in the inbox before anybody is woken for it."""
    agent, link = ends
    urgent = listening(link)
    said = [Admission("a", 2), GROUP, Candidates(()), LeaveRequest("SIGTERM", ("a",))]
    for message in said:
        agent.send(message)
    assert [urgent.get(timeout=10) for _ in said] == said
    assert [link.inbox.get() for _ in said] == said


def test_what_the_worker_says_reaches_the_agent(ends):
    agent, link = ends
    said = [Ready("h:1"), Event("sync", 1.0, {"step": 3}), Finished(2, {"steps": 3})]
    for message in said:
        link.send(message)
    assert agent.receive() == said


def test_an_agent_that_is_gone_ends_the_job_here(ends):
    """P1: the worker ends by itself, also where no signal comes."""
    agent, link = ends
    urgent = listening(link)
    agent.close()
    assert link.inbox.get() == GONE
    assert urgent.get(timeout=10) == GONE
    link.send(Ready("h:1"))
    assert link.inbox.get() == GONE


def test_a_process_has_one_link_to_its_agent(ends, monkeypatch):
    """A second reader of one channel would wait for ever."""
    channel = ends[1]._channel
    monkeypatch.setattr(link_module, "_taken", [])
    monkeypatch.setattr(link_module, "channel_to_agent", lambda: channel)
    assert isinstance(link_to_agent(), AgentLink)
    with pytest.raises(ConfigError, match="runs once in a process of elastic-run"):
        link_to_agent()


# -- alone ---------------------------------------------------------------------------------------


def test_alone_whatever_is_asked_is_granted():
    link = AloneLink()
    link.start(pytest.fail)
    link.send(Ready("here"))
    assert link.inbox.get() == Admission("alone")
    group = link.inbox.get()
    assert (group.generation, group.members) == (1, (Member("alone", "here", ""),))
    link.send(Event("sync", 1.0))
    assert not link.inbox.holds(lambda message: True)
    link.send(Finished(1, {"steps": 3}))
    assert link.inbox.get() == JobDone({"steps": 3})
    with pytest.raises(AssertionError, match="nobody can join or leave a world of one"):
        link.send(Boundary(1, 1))


def test_without_an_agent_every_link_is_to_nobody(monkeypatch):
    monkeypatch.setattr(link_module, "channel_to_agent", lambda: None)
    assert isinstance(link_to_agent(), AloneLink)
    assert isinstance(link_to_agent(), AloneLink), "and elastic.train may be called again"
