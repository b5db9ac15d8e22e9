"""The shell around the mailbox core: the lock, the payloads, and the callers that wait.

Training's thread waits here; the transport's threads bring events. Every decision is the core's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from elastic.collectives import core
from elastic.collectives.core import Key, Standing
from elastic.collectives.frames import Message
from elastic.errors import Aborted
from elastic.telemetry.activity import doing

__all__ = ["Mailbox", "Ticket"]

Name = tuple[int, str, Key]
Afterwards = Callable[[], None]
LONG_S = 1.0
"""Who waits for longer tells whom it waits for (PROTOCOL S8)."""


class Ticket:
    """What a caller holds while it waits."""

    __slots__ = ("_done", "_error", "_messages", "_missing")

    def __init__(self, missing: Callable[[], str]) -> None:
        self._missing = missing
        self._done = threading.Lock()  # an Event of one use, at a fifth of the price
        self._done.acquire()
        self._messages: dict[str, Message] = {}
        self._error: core.Abort | None = None

    def wait(self) -> dict[str, Message]:
        """Return the messages by source.

        Raises:
            Aborted: the generation ended first.
        """
        if not self._done.acquire(blocking=False):
            self._wait()
        if self._error:
            raise _aborted(self._error)
        return self._messages

    def _wait(self) -> None:
        with doing().waiting():
            if not self._done.acquire(timeout=LONG_S):
                doing().waits_for(self._missing())
                self._done.acquire()

    def settle(self, messages: dict[str, Message], error: core.Abort | None = None) -> None:
        """Wake the caller. Once."""
        self._messages, self._error = messages, error
        self._done.release()


class Mailbox:
    """Keeps what arrives until it is awaited, behind the fence.

    Args:
        parked_limit_bytes: see `GroupSettings`.
        on_abort: called under the lock when the generation ends.
        on_suspect: called with (generation, member id, reason) from the thread that noticed.
    """

    def __init__(
        self,
        parked_limit_bytes: int,
        on_abort: Callable[[], None],
        on_suspect: Callable[[int, str, str], None],
    ):
        self._parked_limit_bytes = parked_limit_bytes
        self._on_abort = on_abort
        self._on_suspect = on_suspect
        self._standing = Standing()
        self._payloads: dict[Name, Message] = {}
        self._tickets: dict[Key, Ticket] = {}
        self._changed = threading.Condition(threading.Lock())

    @property
    def standing(self) -> Standing:
        """The core's standing now: a value that never changes."""
        return self._standing

    def check(self) -> None:
        """Raise Aborted if the generation is over."""
        if self._standing.abort:
            raise _aborted(self._standing.abort)

    # -- the callers ---------------------------------------------------------------------------

    def enter(self, generation: int, peers: tuple[str, ...]) -> None:
        """Move the fence to `generation`."""
        self.take(core.Entered(generation, peers))

    def expect(self, key: Key, sources: tuple[str, ...]) -> Ticket:
        """Return a ticket for one message from each source.

        Raises:
            Aborted: the generation is over.
        """
        ticket = Ticket(partial(self._missing, key))
        with self._changed:
            self.check()
            self._tickets[key] = ticket
            try:
                afterwards = self._apply(core.Awaited(key, sources))
            except BaseException:
                del self._tickets[key]
                raise
        _run(afterwards)
        return ticket

    def _missing(self, key: Key) -> str:
        """Return the ids of those that have not sent this yet."""
        return ", ".join(sorted(core.missing(self._standing, key)))

    # -- the transport -------------------------------------------------------------------------

    def take(self, event: core.Event, message: Message | None = None) -> None:
        """Let the core decide about an event, and do what it says."""
        with self._changed:
            afterwards = self._apply(event, message)
        _run(afterwards)

    def message(self, source: str, message: Message) -> None:
        """Take a message that is wholly here."""
        header = message.header
        key = ("pair:" + source if header.channel else "round", header.index)
        self.take(core.Arrived(header.generation, source, key, message.nbytes), message)

    def lost(self, id: str, reason: str) -> None:
        """The connection to a peer broke."""
        self.take(core.PeerLost(self._standing.generation, id, reason))

    def wait_readable(self, source: str) -> None:
        """Return when more may be read from `source`."""
        limit = self._parked_limit_bytes
        if not core.may_read(self._standing, source, limit):
            with self._changed:
                self._changed.wait_for(lambda: core.may_read(self._standing, source, limit))

    # -- commands ------------------------------------------------------------------------------

    def _apply(self, event: core.Event, message: Message | None = None) -> list[Afterwards]:
        """Return what is to be done when the lock is free again: whoever wakes will want it."""
        self._standing, commands = core.step(self._standing, event)
        if message and not any(isinstance(each, core.Refuse) for each in commands):
            assert isinstance(event, core.Arrived)
            self._payloads[event.generation, event.source, event.key] = message
        afterwards: list[Afterwards] = []
        for command in commands:
            match command:
                case core.Deliver():
                    afterwards.append(self._deliver(command))
                case core.Forget(names):
                    for name in names:
                        del self._payloads[name]
                case core.Abort():
                    afterwards += self._abort(command)
                case core.Suspect(generation, id, reason):
                    afterwards.append(partial(self._on_suspect, generation, id, reason))
        self._changed.notify_all()
        return afterwards

    def _deliver(self, command: core.Deliver) -> Afterwards:
        generation, key = command.generation, command.key
        taken = {
            source: self._payloads.pop((generation, source, key)) for source in command.sources
        }
        return partial(self._tickets.pop(key).settle, taken)

    def _abort(self, abort: core.Abort) -> list[Afterwards]:
        waiting, self._tickets = self._tickets, {}
        self._on_abort()
        return [partial(ticket.settle, {}, abort) for ticket in waiting.values()]


def _run(afterwards: list[Afterwards]) -> None:
    for act in afterwards:
        act()


def _aborted(abort: core.Abort) -> Aborted:
    return Aborted(abort.reason, peer=abort.peer, generation=abort.generation)
