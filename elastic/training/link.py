"""The worker's link to whoever tells it the group: its agent, or nobody in a world of one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from elastic.control import Admission, Boundary, Finished, Group, JobDone, JobFailed, Ready
from elastic.errors import ConfigError
from elastic.telemetry.channel import Channel, ChannelClosed, channel_to_agent
from elastic.world import Member

__all__ = [
    "AgentLink",
    "AloneLink",
    "Inbox",
    "Link",
    "is_interruption",
    "link_to_agent",
    "outdates_groups",
]


def is_interruption(message: Any) -> bool:
    """Whether the group that this worker computes for is no more."""
    if isinstance(message, Group):
        return not message.planned
    return isinstance(message, (Admission, JobFailed, JobDone))


def outdates_groups(message: Any) -> bool:
    """Whether a group told before this one is over, or was for the member that we were (M6)."""
    return isinstance(message, (Group, Admission))


class Inbox:
    """Messages in order of arrival, for one reader; `put` from any thread."""

    def __init__(self) -> None:
        self._messages: deque[Any] = deque()
        self._arrived = threading.Condition()

    def put(self, message: Any) -> None:
        """Append a message."""
        with self._arrived:
            self._messages.append(message)
            self._arrived.notify()

    def get(self) -> Any:
        """Return the next message, waiting for it."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._messages)
            return self._messages.popleft()

    def get_first(self, kinds: tuple[type, ...], over: Callable[[Any], bool]) -> Any:
        """Return and remove the first message of these kinds, waiting for it.

        None as soon as a message that is `over` waits here.
        """
        with self._arrived:
            self._arrived.wait_for(
                lambda: any(over(m) or isinstance(m, kinds) for m in self._messages)
            )
            if any(over(message) for message in self._messages):
                return None
            first = next(m for m in self._messages if isinstance(m, kinds))
            self._messages.remove(first)
            return first

    def holds(self, wanted: Callable[[Any], bool]) -> bool:
        """Whether a message that is `wanted` waits here."""
        with self._arrived:
            return any(wanted(message) for message in self._messages)

    def take(self, *kinds: type) -> list[Any]:
        """Return and remove all messages of these kinds, without waiting."""
        with self._arrived:
            if not self._messages:
                return []
            taken = [message for message in self._messages if isinstance(message, kinds)]
            rest = [message for message in self._messages if not isinstance(message, kinds)]
            self._messages = deque(rest)
        return taken


class Link(Protocol):
    """How a worker speaks with its agent."""

    inbox: Inbox

    def start(self, urgent: Callable[[Any], None]) -> None:
        """Begin to receive; `urgent` sees each message first, from the link's own thread."""

    def send(self, message: Any) -> None:
        """Say something (elastic.control); a silent agent is no error: the worker dies with it."""


class AgentLink:
    """The link of a worker that an agent has started."""

    def __init__(self, channel: Channel):
        self.inbox = Inbox()
        self._channel = channel

    def start(self, urgent: Callable[[Any], None]) -> None:
        """Receive in a thread of its own."""

        def listen() -> None:
            for message in self._channel:
                self.inbox.put(message)
                urgent(message)
            gone = JobFailed("the agent is gone")
            self.inbox.put(gone)
            urgent(gone)

        threading.Thread(target=listen, name="agent-link", daemon=True).start()

    def send(self, message: Any) -> None:
        """Hand a message to the agent."""
        try:
            self._channel.send(message)
        except ChannelClosed:
            self.inbox.put(JobFailed("the agent is gone"))


class AloneLink:
    """A world of one, without agent or store: whatever it asks is granted at once."""

    def __init__(self) -> None:
        self.inbox = Inbox()

    def start(self, urgent: Callable[[Any], None]) -> None:
        """There is nobody to listen to."""

    def send(self, message: Any) -> None:
        """Answer as a store with one member would."""
        if isinstance(message, Ready):
            member = Member("alone", message.address, "")
            self.inbox.put(Admission("alone"))
            self.inbox.put(Group(1, (member,), "a world of one"))
        elif isinstance(message, Finished):
            self.inbox.put(JobDone(message.result))
        elif isinstance(message, Boundary):
            raise AssertionError("nobody can join or leave a world of one")


def link_to_agent() -> Link:
    """Return the link to this process's agent, or to nobody if no agent started it.

    Raises:
        ConfigError: this process has had its one link to the agent.
    """
    channel = channel_to_agent()
    if channel is None:
        return AloneLink()
    if channel in _taken:
        raise ConfigError(
            "elastic.train runs once in a process of elastic-run, whose job is over with it; got "
            "a second call: train on in another script with an --rdzv-id of its own"
        )
    _taken.append(channel)
    return AgentLink(channel)


_taken: list[Channel] = []
"""Channels with a link, which reads all that comes: a second one would wait for ever."""
