"""A group of members that exchange messages: the shell that joins mailbox and transport."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from elastic.clock import monotonic
from elastic.collectives import core
from elastic.collectives.admission import Note
from elastic.collectives.feeds import Feeds
from elastic.collectives.frames import Header, Message, Outgoing, as_bytes
from elastic.collectives.grpc_transport import Transport
from elastic.collectives.mailbox import Mailbox
from elastic.collectives.operations import Blob, Operations, pack, unpack
from elastic.collectives.settings import GroupSettings
from elastic.errors import ConfigError
from elastic.telemetry.refusals import Refusals
from elastic.tls import TLSFiles
from elastic.world import Member

__all__ = ["Group", "connect"]

ROUNDS, PAIR = 0, 1
OnSuspect = Callable[[int, str, str], None]


def _nobody_asks(generation: int, id: str, reason: str) -> None:
    """A static group has no judge: its callers see the error."""


class Group(Operations):
    """One member's end of a group. It listens from the start, under `address`.

    Args:
        job: the job's name; members of another one are refused.
        token: the job's secret; without one it listens on loopback only.
        bind: 'host' or 'host:port' to listen on.
        me: this member's id, if it is known yet.
        on_suspect: called with (generation, member id, reason) when the connection to a member
            of the group breaks; once per member and generation, from another thread.
        refusals: counts the callers that were refused; closed with the group.
        tls: who members are and whom they trust; without it connections are in the clear.
    """

    def __init__(
        self,
        job: str,
        token: str | None = None,
        bind: str = "127.0.0.1",
        me: str = "",
        settings: GroupSettings | None = None,
        on_suspect: OnSuspect = _nobody_asks,
        refusals: Refusals | None = None,
        tls: TLSFiles | None = None,
    ):
        self.settings = settings or GroupSettings()
        self.direct_below_bytes = self.settings.direct_below_bytes
        self.generation = -1
        self.members: tuple[Member, ...] = ()
        self.rank = 0
        self.size = 0
        self._next: dict[str, int] = {}
        self._mailbox = Mailbox(self.settings.parked_limit_bytes, self._abandon, on_suspect)
        inbox = _Inbox(self._mailbox, lambda note: self.on_note(note))
        self._transport = Transport(job, token, bind, inbox, self.settings, refusals, tls)
        self.on_note: Callable[[Note], None] = lambda note: None
        """Called with what members and newcomers tell each other, from another thread."""
        self.feeds = Feeds(self._transport, self.settings.chunk_bytes)
        if me:
            self.rename(me)

    @property
    def address(self) -> str:
        """Where this member listens: host:port."""
        return self._transport.address

    def rename(self, me: str) -> None:
        """Take the id of a new admission; `enter` comes next."""
        self._transport.rename(me)

    def enter(self, generation: int, members: Sequence[Member], rank: int) -> None:
        """Move to a new generation; connections to members that stay are kept.

        After a planned change somebody may still need what was sent in the last one; what is on
        its way in a generation that was broken is dropped.

        Raises:
            ProtocolError: this generation or a newer one was entered before.
        """
        members = tuple(members)
        peers = [member for at, member in enumerate(members) if at != rank]
        broken = self._mailbox.standing.abort is not None
        self._mailbox.take(core.Entered(generation, tuple(peer.id for peer in peers)))
        self.generation, self.members, self.rank = generation, members, rank
        self.size, self._next = len(members), {}
        self._transport.enter(generation, peers, broken)

    def interrupt(self, generation: int, reason: str) -> None:
        """End every wait, and each one to come, until `generation` or a newer one is entered."""
        self._mailbox.take(core.Interrupted(generation, reason))

    def cut_off(self, seconds: float) -> None:
        """Lose all peers, and neither take nor make a connection for so long (`--chaos`)."""
        self._transport.cut_off(seconds)

    def check(self) -> None:
        """Return at once if the generation goes on.

        Raises:
            Aborted: it does not; the next collective would say the same.
        """
        self._mailbox.check()

    def counters(self) -> dict[str, int]:
        """Return what was refused: messages behind the fence, callers that are no members."""
        return {
            "refused_messages": self._mailbox.standing.refused,
            "refused_callers": self._transport.refusals.total,
        }

    def close(self) -> None:
        """Say goodbye and end every thread and connection, within a second."""
        if self._mailbox.standing.phase is not core.Phase.CLOSED:
            self._mailbox.take(core.Closed())
            self._transport.close()
            self._transport.refusals.close()

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- messages ------------------------------------------------------------------------------

    def round(
        self, tag: str, outgoing: Mapping[int, Sequence[Blob]], expect: Iterable[int]
    ) -> dict[int, list[memoryview]]:
        """Return the blobs of each expected rank, after handing over the outgoing ones.

        All members call their rounds in the same order; what a rank sends to itself stays here.
        Outgoing blobs may be written again when this returns or raises.

        Raises:
            Aborted: a peer is lost or a newer generation began.
            ConfigError: a peer called another operation, or a message is too large.
        """
        expect = list(expect)
        others = [rank for rank in expect if rank != self.rank]
        began = monotonic()
        messages = self._exchange("round", tag, outgoing, others)
        for rank in others:
            self._check_tag(tag, rank, messages[rank].header.tag)
        self._note_round(tag, outgoing, messages, began)
        got = {rank: message.blobs for rank, message in messages.items()}
        if self.rank in expect:
            got[self.rank] = [as_bytes(blob) for blob in outgoing[self.rank]]
        return got

    def _note_round(
        self,
        tag: str,
        outgoing: Mapping[int, Sequence[Blob]],
        messages: Mapping[int, Message],
        began: float,
    ) -> None:
        sent_bytes = sum(
            blob.nbytes if isinstance(blob, (np.ndarray, memoryview)) else len(blob)
            for rank, blobs in outgoing.items()
            if rank != self.rank
            for blob in blobs
        )
        received_bytes = sum(message.nbytes for message in messages.values())
        arrivals = {rank: message.t for rank, message in messages.items()}
        self.account.round(tag, sent_bytes, received_bytes, began, monotonic(), arrivals)

    def send(self, array: np.ndarray, to: int) -> None:
        """Send an array to one member, which calls `recv`; it may change when this returns."""
        self._exchange(f"pair to {to}", "send", {to: pack(array)}, [], PAIR)

    def recv(self, source: int) -> np.ndarray:
        """Return the next array that rank `source` sends to this member."""
        channel = "pair:" + self.members[source].id
        ticket = self._mailbox.expect((channel, self._count(channel)), (self.members[source].id,))
        return unpack(ticket.wait()[self.members[source].id].blobs)

    def _exchange(
        self,
        channel: str,
        tag: str,
        outgoing: Mapping[int, Sequence[Blob]],
        expect: Sequence[int],
        kind: int = ROUNDS,
    ) -> dict[int, Message]:
        ids = {rank: self.members[rank].id for rank in expect}
        header = Header(self.generation, kind, self._count(channel), tag)
        key = (channel, header.index)
        ticket = self._mailbox.expect(key, tuple(ids.values()))
        sending: list[Outgoing] = []
        try:
            self._send_all(header, outgoing, sending)
            self.check()  # an abort before this line has not seen all that is being sent
            messages = ticket.wait()
            if not all(each.wait() for each in sending):
                self.check()
        except BaseException:
            for each in sending:
                each.abandon()
            raise
        return {rank: messages[id] for rank, id in ids.items()}

    def _send_all(
        self, header: Header, outgoing: Mapping[int, Sequence[Blob]], sending: list[Outgoing]
    ) -> None:
        """Put every message on its way, and into `sending`."""
        made: Outgoing | None = None
        last: Sequence[Blob] | None = None
        for rank, blobs in outgoing.items():
            if rank == self.rank:
                continue
            if made is None or blobs is not last or not made.small:
                made, last = self._encode(header, blobs), blobs
                sending.append(made)
            self._transport.outbox(self.members[rank].id).put(made)

    def _encode(self, header: Header, blobs: Sequence[Blob]) -> Outgoing:
        views = [as_bytes(blob) for blob in blobs]
        nbytes, most = sum(view.nbytes for view in views), self.settings.max_message_bytes
        if nbytes > most:
            raise ConfigError(
                f"a message takes at most {most} bytes, got {nbytes}; "
                "raise max_message_bytes on all members"
            )
        return Outgoing(header, views, self.settings.chunk_bytes)

    def _count(self, channel: str) -> int:
        index = self._next.get(channel, 0)
        self._next[channel] = index + 1
        return index

    def _check_tag(self, tag: str, rank: int, theirs: str) -> None:
        if theirs != tag:
            raise ConfigError(
                f"rank {rank} called {theirs}, rank {self.rank} {tag}; "
                "all members call the same collectives in the same order"
            )

    def _abandon(self) -> None:
        self._transport.abandon()


class _Inbox:
    """What the transport says, as events of the mailbox."""

    def __init__(self, mailbox: Mailbox, on_note: Callable[[Note], None]):
        self._mailbox = mailbox
        self.on_note = on_note
        self.message = mailbox.message
        self.lost = mailbox.lost
        self.wait_readable = mailbox.wait_readable

    def note(self, note: Note) -> None:
        """A word of a newcomer, or for one."""
        self.on_note(note)

    def left(self, id: str) -> None:
        """A peer said goodbye."""
        self._mailbox.take(core.Left(id))

    def superseded(self, id: str, generation: int, reason: str) -> None:
        """A peer has entered a newer generation without this member."""
        if generation > self._mailbox.standing.generation:
            self._mailbox.take(core.Interrupted(generation, f"member {id}: {reason}"))
        else:
            self._mailbox.lost(id, f"member {id}: {reason}")


def connect(
    addresses: Sequence[str], rank: int, token: str | None = None, job: str = "static"
) -> Group:
    """Return a group of members that do not change: rank i listens on `addresses[i]`.

    Peers may start up to half a minute later. A loss raises Aborted in every later call.
    """
    settings = GroupSettings(patient=True, connect_timeout_s=30.0)
    members = [Member(f"rank{at}", address) for at, address in enumerate(addresses)]
    group = Group(job, token, bind=addresses[rank], me=members[rank].id, settings=settings)
    group.enter(1, members, rank)
    return group
