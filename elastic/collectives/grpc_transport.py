"""Messages between members over gRPC.

Who wants to receive opens the stream: each member listens, and reads from every other one through
a call of its own, `Subscribe(hello) -> stream of frames`. So a listener takes in nothing but small
hellos, and what it sends goes to members of the job only. A stream that ends well is a goodbye, and
comes after all that was sent; any other end is a lost peer, told by the reader alone.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # nothing forks after gRPC (PROTOCOL P1)

from elastic.clock import monotonic
from elastic.collectives.admission import (
    FETCH,
    HELLO,
    NOTE,
    PROOF,
    SUBSCRIBE,
    VERSION,
    VOCABULARY,
    Hello,
    Nonces,
    Note,
    Prover,
    equal,
)
from elastic.collectives.binding import bracket, reachable, split_bind
from elastic.collectives.connections import connect, listen
from elastic.collectives.outbox import CUT_OFF, Ending, Outbox
from elastic.collectives.reader import Inbox, Reader
from elastic.collectives.service import Service
from elastic.collectives.settings import GroupSettings
from elastic.errors import ConfigError
from elastic.telemetry.refusals import Refusals
from elastic.tls import TLSFiles
from elastic.world import Member

__all__ = ["Transport"]

CLOSE_TIMEOUT_S = 0.5


class Transport:
    """One member's door: its server, an outbox for each peer, a reader for each peer.

    Raises:
        ConfigError: there is no token, and `bind` is not a loopback address (PROTOCOL P3); or a
            file of `tls` cannot be read.
    """

    def __init__(
        self,
        job: str,
        token: str | None,
        bind: str,
        inbox: Inbox,
        settings: GroupSettings,
        refusals: Refusals | None = None,
        tls: TLSFiles | None = None,
    ):
        self.job = job
        self.inbox = inbox
        self.settings = settings
        self.me = ""
        self.generation = -1
        self.refusals = refusals or Refusals("collectives")
        """Calls that were refused, by reason."""
        self.prover = Prover(token)
        self._pem = tls.pem() if tls else None
        self._nonces = {method: Nonces() for method in (SUBSCRIBE, FETCH, NOTE)}
        self._former: set[str] = set()
        self._peers: frozenset[str] = frozenset()
        self._outboxes: dict[str, Outbox] = {}
        self._readers: dict[str, Reader] = {}
        self.feeds: dict[str, Outbox] = {}
        """What is on its way to newcomers, beside all rounds."""
        self._note_channels: dict[str, Any] = {}
        self._notes: set[Any] = set()
        self._changed = threading.Condition()
        self._cut_until = 0.0
        host, port = split_bind(bind, secret=bool(token))
        try:
            self._server, port = listen(Service(self), host, port, settings, self._pem)
        except RuntimeError as error:
            raise ConfigError(f"collectives cannot listen on {bind}: {error}") from None
        self.address = f"{bracket(reachable(host))}:{port}"

    def channel(self, address: str) -> Any:
        """Return a connection to a member, which begins when it is first used."""
        return connect(address, self.settings, self._pem)

    def rename(self, me: str) -> None:
        """Be `me` from now on; what was sent and read under another id is over."""
        with self._changed:
            if self.me and self.me != me:
                self._former.add(self.me)
            self.me = me
            self._changed.notify_all()
            outboxes, self._outboxes = self._outboxes, {}
        for outbox in outboxes.values():
            outbox.end(Ending("NOT_FOUND", f"it is {me} now"))
        self._drop_readers(keep=set())
        self._drop_note_channels()

    def enter(self, generation: int, peers: Iterable[Member], broken: bool = False) -> None:
        """Keep the streams from and to those who stay, end the others, make what is missing.

        What is on its way in a generation that was `broken` is dropped.
        """
        addresses = {peer.id: peer.address for peer in peers}
        with self._changed:
            self.generation, self._peers = generation, frozenset(addresses)
            for nonces in self._nonces.values():
                nonces.forget(generation, keep=self._peers)
        self._drop_readers(keep=set(addresses))
        self._drop_outboxes(keep=set(addresses))
        for id, address in addresses.items():
            if broken:
                self.outbox(id).purge(generation)
            if id not in self._readers or not self._readers[id].alive:
                self._readers[id] = Reader(self, id, address, self._hello(id, generation))

    def outbox(self, id: str) -> Outbox:
        """Return what is on its way to a member."""
        with self._changed:
            return self._outboxes.setdefault(id, Outbox())

    def abandon(self) -> None:
        """Send no more of what is on its way."""
        for outbox in list(self._outboxes.values()):
            outbox.abandon()

    def cut_off(self, seconds: float) -> None:
        """Break all connections, and neither take nor make one for so long (`--chaos`)."""
        with self._changed:
            self._cut_until = monotonic() + seconds
            outboxes, self._outboxes = self._outboxes, {}
        for outbox in outboxes.values():
            outbox.end(CUT_OFF)
        for reader in list(self._readers.values()):
            reader.cut()

    @property
    def is_cut_off(self) -> bool:
        """Whether connections are refused for now."""
        return monotonic() < self._cut_until

    def close(self) -> None:
        """Say goodbye to all, then end every thread, within a second."""
        for outbox in list(self._outboxes.values()):
            outbox.end(Ending())
        for feed in list(self.feeds.values()):
            feed.end(Ending())
        self._drop_readers(keep=set())
        self._drop_note_channels()
        self._server.stop(CLOSE_TIMEOUT_S).wait()

    def _drop_readers(self, keep: set[str]) -> None:
        for id in self._readers.keys() - keep:
            self._readers.pop(id).close()

    def _drop_outboxes(self, keep: set[str]) -> None:
        """End the streams to those who are in no group of this generation."""
        ending = Ending("FAILED_PRECONDITION", "it is in another group", self.generation)
        with self._changed:
            gone = {
                id: outbox
                for id, outbox in self._outboxes.items()
                if id not in keep and outbox.generation <= self.generation
            }
            for id in gone:
                del self._outboxes[id]
        for outbox in gone.values():
            outbox.end(ending)

    # -- beside all rounds (S9) ----------------------------------------------------------------

    def fetch(self, source: str, address: str, generation: int, inbox: Inbox) -> Reader:
        """Read the feed that a member has for this newcomer."""
        return Reader(self, source, address, self._hello(source, generation), inbox, FETCH)

    def note(self, to: str, address: str, generation: int, step: int, mine: str = "") -> None:
        """Send a note, and do not wait; if it is lost, whoever misses it does without."""
        nonce = secrets.token_hex(16)
        words = Note(VERSION, self.job, self.me, to, generation, step, nonce, mine)
        request = VOCABULARY.encode(words)
        with self._changed:
            channel = self._note_channels.get(address)
            if channel is None:
                channel = self._note_channels[address] = self.channel(address)
        with suppress(ValueError):  # the channel was closed meanwhile: the note is of the past
            note = channel.unary_unary(NOTE).future(
                b"",
                timeout=self.settings.connect_timeout_s,
                metadata=((HELLO, request), (PROOF, self.prover.hello(NOTE, request))),
            )
            self._notes.add(note)  # gRPC cancels a call that nobody holds
            note.add_done_callback(self._notes.discard)

    def _drop_note_channels(self) -> None:
        with self._changed:
            channels, self._note_channels = self._note_channels, {}
        for channel in channels.values():
            channel.close()

    # -- the two ends of a hello ---------------------------------------------------------------

    def _hello(self, target: str, generation: int) -> Hello:
        nonce = secrets.token_hex(16)
        return Hello(VERSION, self.job, self.me, target, generation, nonce)

    def admit(self, method: str, request: bytes, proof: str) -> Any:
        """Return the Hello or Note of a process of this job, else the Ending, which is counted."""
        if not equal(self.prover.hello(method, request), proof):
            self.refusals.count("no proof of the job's token")
            return Ending("UNAUTHENTICATED", "the job's token is wrong or missing")
        try:
            hello = VOCABULARY.decode(request)
            if not isinstance(hello, Note if method == NOTE else Hello):
                raise ValueError(f"a {type(hello).__name__} for {method}")
        except ValueError as error:
            self.refusals.count("a garbled hello")
            return Ending("INVALID_ARGUMENT", f"a garbled hello: {error}")
        mine = f"version {VERSION}, job {self.job!r}"
        if (theirs := f"version {hello.version}, job {hello.job!r}") != mine:
            self.refusals.count("another version or job")
            return Ending("INVALID_ARGUMENT", f"{mine} here, not {theirs}")
        return self._why_not(method, hello) or hello

    def _why_not(self, method: str, hello: Hello | Note) -> Ending | None:
        if self.is_cut_off:
            return CUT_OFF
        with self._changed:  # a member may be known to others a moment before it knows its own id
            self._changed.wait_for(
                lambda: hello.target == self.me or hello.target in self._former,
                self.settings.connect_timeout_s,
            )
            if hello.target != self.me:
                self.refusals.count("a hello to another member")
                return Ending("NOT_FOUND", f"{hello.target} is {self.me} now")
            if hello.generation < self.generation and hello.source not in self._peers:
                self.refusals.count("a generation that is over")
                over = f"generation {hello.generation} is over"
                return Ending("FAILED_PRECONDITION", over, self.generation)
            if not self._nonces[method].is_new(hello):
                self.refusals.count("a hello that came before")
                return Ending("ALREADY_EXISTS", "this hello, or a later one, was here before")
        return None
