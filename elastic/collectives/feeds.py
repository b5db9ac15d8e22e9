"""Feeds: messages from a member to a newcomer, who have no generation in common (S9).

A member opens a feed and tells the newcomer, who reads it; both fence it by the generation of the
member. What it carries is the caller's. A feed ends with its generation; nobody waits for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from elastic.collectives.frames import Header, Message, Outgoing, as_bytes
from elastic.collectives.operations import Blob
from elastic.collectives.outbox import Ending, Outbox

if TYPE_CHECKING:  # `import elastic` is light: no gRPC before it is used
    from elastic.collectives.admission import Note
    from elastic.collectives.grpc_transport import Transport

__all__ = ["Feeds", "Source"]

FEED = 2
"""The channel of its messages."""


class Feeds:
    """One process's feeds: those that it opened for newcomers, and those that it reads as one."""

    def __init__(self, transport: Transport, chunk_bytes: int):
        self._transport, self._chunk_bytes = transport, chunk_bytes

    # -- a member ------------------------------------------------------------------------------

    def open(self, id: str, generation: int) -> None:
        """Have a feed for a newcomer; what is sent waits until it reads."""
        outbox = Outbox()
        outbox.generation = generation
        self._transport.feeds[id] = outbox

    def invite(self, id: str, address: str, generation: int, step: int) -> None:
        """Tell a newcomer that listens at `address` of its feed."""
        self._transport.note(id, address, generation, step, self._transport.address)

    def send(self, ids: Iterable[str], generation: int, tag: str, blobs: Sequence[Blob]) -> None:
        """Send to these, in order, and do not wait; the blobs are read until a feed ends."""
        views = [as_bytes(blob) for blob in blobs]
        for id in ids:
            feed = self._transport.feeds.get(id)
            if feed is not None and feed.generation == generation:
                header = Header(generation, FEED, 0, tag)
                feed.put(Outgoing(header, views, self._chunk_bytes))

    def end(self, ids: Iterable[str], at_once: bool) -> None:
        """End the feeds to these: at once, else after all that they carry."""
        for id in ids:
            feed = self._transport.feeds.pop(id, None)
            if feed is None:
                continue
            if at_once:
                feed.abandon()
            feed.end(Ending("FAILED_PRECONDITION", "it is in vain") if at_once else Ending())

    # -- a newcomer ----------------------------------------------------------------------------

    def read(self, note: Note, source: Source) -> None:
        """Read the feed that a note tells of, in a thread of its own."""
        self._transport.fetch(note.source, note.address, note.generation, source)

    def report(self, id: str, address: str, generation: int, step: int) -> None:
        """Tell a member that listens at `address` at which step this newcomer stands."""
        self._transport.note(id, address, generation, step)


class Source:
    """Who hears what one feed brings, and its end; called from the reader's thread."""

    def message(self, source: str, message: Message) -> None:
        """A message is wholly here."""
        raise NotImplementedError

    def ended(self, why: str) -> None:
        """No more will come."""
        raise NotImplementedError

    def lost(self, id: str, reason: str) -> None:
        """The connection broke or was refused."""
        self.ended(reason)

    def left(self, id: str) -> None:
        """The feed is complete."""
        self.ended("it is complete")

    def superseded(self, id: str, generation: int, reason: str) -> None:
        """The feed's generation is over."""
        self.ended(reason)

    def wait_readable(self, source: str) -> None:
        """Whatever comes is taken: a feed is given up by its member when it grows too long."""

    def note(self, note: Note) -> None:
        """Notes come by another way."""
