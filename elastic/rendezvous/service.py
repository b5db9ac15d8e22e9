"""The loop around the rendezvous core: one thread that feeds it events and does what it says.

No protocol decision is made here. `deliver` gets the commands that are for the workers (TellGroup,
TellCandidates, TellOver, Readmit, Say), from the loop's thread; the rest goes to the store.
"""

from __future__ import annotations

import hashlib
import hmac
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from elastic.clock import monotonic
from elastic.control import Candidate
from elastic.errors import AuthError, ConfigError, StoreUnavailable
from elastic.rendezvous import commands as do
from elastic.rendezvous import core
from elastic.rendezvous import events as ev
from elastic.rendezvous.inbox import Inbox
from elastic.rendezvous.record import RUNNING, Keys, Record, decode_member, encode_member
from elastic.rendezvous.settings import Settings
from elastic.rendezvous.standing import Phase, Standing, phase
from elastic.rendezvous.store import (
    Absent,
    Changed,
    Delete,
    Exists,
    Get,
    KeyValue,
    Lease,
    LeaseGone,
    Listing,
    ModifiedIs,
    Op,
    Put,
    Relisted,
    Store,
    Watch,
)
from elastic.world import Member

__all__ = ["Rendezvous", "Site", "forget_job"]

GREETINGS = 16
"""So many agents are greeted at a time."""
RELIST_S = 10.0
"""A slow safety re-list; nothing waits for it (M1)."""
KEYS_A_WRITE = 50
"""So many keys are written or deleted in one transaction: etcd allows 128 operations in one."""
_STOP = object()
T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """Whose rendezvous this is: the job, the agent's address, its lease and the job's token.

    `tls` is the digest of the CA that the job's workers trust; empty: they do without TLS.
    """

    job: str
    agent: str
    lease_ttl_s: float = 3.0
    token: str = field(default="", repr=False)
    tls: str = ""


class Rendezvous:
    """An agent's part in the rendezvous of a job.

    `probe` answers whether a suspect lives (PROTOCOL M6), `greet` why we and another agent do not
    reach each other, '' if we do (M7); they are called in threads of their own.
    """

    def __init__(
        self,
        store: Store,
        site: Site,
        settings: Settings,
        deliver: Callable[[Any], None],
        probe: Callable[[do.Probe], ev.Verdict],
        greet: Callable[[str], str] = lambda agent: "",
    ):
        self.store, self.site, self.settings = store, site, settings
        self.keys = Keys(site.job)
        self._deliver, self._probe, self._greet = deliver, probe, greet
        self.standing = Standing(site.agent)
        self.record: Record | None = None
        """The record as it was at the start."""
        self._inbox = Inbox()
        self._wake_at: float | None = None
        self._relist_at = 0.0
        self._lease: Lease | None = None
        self._watch: Watch | None = None
        self._members_watched = True
        self._thread = threading.Thread(target=self._run, name="rendezvous", daemon=True)
        self._closed = False

    _clock: Callable[[], float] = staticmethod(monotonic)

    # -- doors ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Check the token, read the store and begin.

        Raises:
            StoreUnavailable: the store does not answer.
            AuthError: another token made this job.
        """
        self._check_token()
        listed = self._listed()
        self.record = listed.record
        self._step(listed)
        self._thread.start()

    def post(self, event: Any) -> None:
        """Give the core an event; from any thread."""
        self._inbox.put(event)

    def note_failure(self, place: str, cause: str) -> None:
        """Write down that the user's code failed at `place`; twice there fails the job (S7)."""
        self._inbox.put(lambda: self._note_failure(place, cause))

    def close(self) -> None:
        """End the loop and give up the lease, so that nothing of this agent is left."""
        self._closed = True
        self._inbox.put(_STOP)
        if self._thread.is_alive():
            self._thread.join()
        if self._watch is not None:
            self._watch.close()
        if self._lease is not None:
            with suppress(StoreUnavailable):  # it runs out by itself
                self._lease.revoke()

    # -- the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001  # an agent without its rendezvous would hang
            if not self.standing.told_over:
                cause = f"this agent's rendezvous cannot go on: {type(error).__name__}: {error}"
                self._deliver(do.TellOver(None, cause))

    def _serve(self) -> None:
        self._relist_at = monotonic() + RELIST_S
        while (item := self._next()) is not _STOP:
            if callable(item):
                item = item()
            if item is not None:
                self._step(item)

    def _next(self) -> Any:
        now = monotonic()
        due = min(self._relist_at, self._wake_at or self._relist_at)
        try:
            return self._inbox.get(max(0.0, due - now))
        except queue.Empty:
            return self._due(monotonic())

    def _due(self, now: float) -> Any:
        if self._wake_at is not None and now >= self._wake_at:
            self._wake_at = None
            return ev.Tick()
        self._relist_at = now + RELIST_S
        return self._look_again()

    def _look_again(self) -> Any:
        """Read what this agent watches: were all to list all, it would be a square of them."""
        inside = phase(self.standing) is Phase.INSIDE and self.standing.told > 0
        if self._members_watched or not inside:
            return self._list_again()
        try:
            items = self.store.range(self.keys.record).items
        except StoreUnavailable:
            return None
        record = Record.decode(items[0].value) if items else None
        return ev.RecordSeen(record, items[0].modified if items else 0)

    def _step(self, event: Any) -> None:
        events = deque([event])
        while events:  # an answer waits for all that its event asked for: nothing is overtaken
            for command in self._decide(events.popleft()):
                handler = self._handlers.get(type(command))
                answer = handler(self, command) if handler else self._deliver(command)
                if answer is not None:
                    events.append(answer)

    def _decide(self, event: Any) -> tuple[Any, ...]:
        self.standing, commands = core.step(self.standing, event, self._clock(), self.settings)
        return commands

    # -- commands ------------------------------------------------------------------------------

    def _do_list(self, _: do.List) -> Any:
        return self._list_again() or ev.StoreFailed("the store did not answer")

    def _list_again(self) -> Any:
        try:
            return self._listed()
        except StoreUnavailable:
            return None

    def _do_read(self, command: do.Read) -> Any:
        # Range by range: a transaction that only reads and times out can end an etcd before 3.5.5.
        try:
            items = [kv for id in command.ids for kv in self.store.range(self._key(id)).items]
        except StoreUnavailable as error:
            return ev.StoreFailed(str(error))
        found = ((kv.created, decode_member(self._id(kv.key), kv.value)) for kv in items)
        return ev.Found(command.ids, tuple(found))

    def _do_watch(self, command: do.Watch) -> Any:
        if self._watch is not None:
            self._watch.close()
        # What a wider watch would replay of members long gone is better read as it stands.
        listed = None if self._members_watched else self._list_again()
        key = self.keys.prefix if command.members else self.keys.record
        self._members_watched = command.members
        from_revision = self._seen_revision + 1
        self._watch = self.store.watch(key, command.members, from_revision, self._on_change)
        return listed

    def _do_put(self, command: do.PutMembers) -> Any:
        try:
            lease = self._granted()
            created = [kv for some in _few(command.members) for kv in self._put(some, lease)]
        except LeaseGone:
            self._lease = None
            return ev.StoreFailed("the lease had run out")
        except StoreUnavailable as error:
            return ev.StoreFailed(str(error))
        return ev.KeysWritten(tuple(Candidate(i.created, self._id(i.key)) for i in created))

    def _put(self, members: Sequence[Member], lease: Lease) -> list[KeyValue]:
        puts = [Put(self._key(m.id), encode_member(m), lease.id) for m in members]
        reads = [Get(self._key(m.id)) for m in members]
        listings = self.store.txn([], [*puts, *reads]).listings
        return [item for listing in listings for item in listing.items]

    def _do_drop(self, command: do.DropMembers) -> None:
        with suppress(StoreUnavailable):  # they go with the lease
            for ids in _few(tuple(dict.fromkeys(command.ids))):
                self.store.txn([], [Delete(self._key(id)) for id in ids])

    def _do_propose(self, command: do.Propose) -> Any:
        compares: list[Any] = [ModifiedIs(self.keys.record, command.revision)]
        if command.own:
            compares.append(Exists(self._key(command.own)))
        then: list[Op] = [Put(self.keys.record, command.record.encode())]
        then += [Delete(self._key(id)) for id in command.drops[:KEYS_A_WRITE]]
        if self.standing.revive and command.record.status == RUNNING:
            then.append(Delete(self.keys.failures, prefix=True))
        get = Get(self.keys.record)
        try:
            result = self.store.txn(compares, [*then, get], [get])
        except StoreUnavailable as error:
            return ev.StoreFailed(str(error))
        if result.ok and len(command.drops) > KEYS_A_WRITE:
            self._do_drop(do.DropMembers(command.drops[KEYS_A_WRITE:]))
        items = result.listings[0].items
        record = Record.decode(items[0].value) if items else None
        return ev.Proposed(result.ok, record, items[0].modified if items else 0)

    def _do_probe(self, command: do.Probe) -> None:
        def ask() -> None:
            self.post(self._probe(command))

        threading.Thread(target=ask, name="probe", daemon=True).start()

    def _do_greet(self, command: do.Greet) -> None:
        def ask() -> None:
            with ThreadPoolExecutor(GREETINGS) as pool:
                why = dict(zip(command.agents, pool.map(self._greet, command.agents), strict=True))
            failed = tuple(agent for agent in why if why[agent])
            reached = tuple(agent for agent in why if not why[agent])
            self.post(ev.Greeted(reached, failed, why[failed[0]] if failed else ""))

        threading.Thread(target=ask, name="greet", daemon=True).start()

    def _do_wake(self, command: do.WakeAt) -> None:
        self._wake_at = min(self._wake_at or command.t, command.t)

    _handlers: ClassVar[dict[type, Callable[..., Any]]] = {
        do.List: _do_list,
        do.Read: _do_read,
        do.Watch: _do_watch,
        do.PutMembers: _do_put,
        do.DropMembers: _do_drop,
        do.Propose: _do_propose,
        do.Probe: _do_probe,
        do.Greet: _do_greet,
        do.WakeAt: _do_wake,
    }

    # -- the store -----------------------------------------------------------------------------

    _seen_revision = 0

    def _listed(self) -> ev.Listed:
        return self._read(self.store.range(self.keys.prefix, prefix=True))

    def _read(self, listing: Listing) -> ev.Listed:
        self._seen_revision = listing.revision
        record, revision = None, 0
        members = []
        for item in listing.items:
            try:
                if item.key == self.keys.record:
                    record, revision = Record.decode(item.value), item.modified
                elif item.key.startswith(self.keys.members):
                    members.append((item.created, decode_member(self._id(item.key), item.value)))
            except ValueError as error:
                raise ConfigError(
                    f"job {self.site.job!r} expects what an elastic-run of this version writes at "
                    f"{item.key}, got something else ({error}); take another --rdzv-id"
                ) from None
        return ev.Listed(record, revision, tuple(members))

    def _on_change(self, change: Changed | Relisted) -> None:
        try:
            self._take_change(change)
        except ValueError:  # nothing that we wrote: the loop's thread shall meet it, and say so
            self._inbox.put(self._list_again)

    def _take_change(self, change: Changed | Relisted) -> None:
        if isinstance(change, Relisted):
            self._inbox.put(self._list_again)
            return
        # The record first: that a key was dropped with it must not look like a loss.
        for item in sorted(change.puts, key=lambda item: item.key != self.keys.record):
            self._on_put(item)
        for key in change.deletes:
            if key == self.keys.record:
                self.post(ev.RecordSeen(None, change.revision))
            elif key.startswith(self.keys.members):
                self.post(ev.MemberGone(self._id(key)))

    def _on_put(self, item: KeyValue) -> None:
        if item.key == self.keys.record:
            self.post(ev.RecordSeen(Record.decode(item.value), item.modified))
        elif item.key.startswith(self.keys.members):
            self.post(ev.MemberSeen(item.created, decode_member(self._id(item.key), item.value)))

    def _granted(self) -> Lease:
        if self._lease is None:
            self._lease = self.store.grant(self.site.lease_ttl_s, self._on_lease_lost)
        return self._lease

    def _on_lease_lost(self) -> None:
        def forget() -> Any:
            self._lease = None
            return ev.LeaseLost()

        self._inbox.put(forget)

    def _note_failure(self, place: str, cause: str) -> Any:
        key = self.keys.failures + place.replace("/", "-").replace(" ", "-")
        value = cause.encode()[:16384]
        try:
            result = self.store.txn([Absent(key)], [Put(key, value)], [Get(key)])
        except StoreUnavailable:
            return None  # the worker is started again; if it is no accident it fails again
        if result.ok:
            return ev.FailureNoted(place, False, cause)
        first = result.listings[0].items[0].value.decode(errors="replace").partition("\n")[0]
        return ev.FailureNoted(
            place, True, f"failed twice at {place}:\nfirst {first}\nthen {cause}"
        )

    def _check_token(self) -> None:
        """The first agent leaves HMACs of token and CA; the others must have the same (P3)."""
        job = self.site.job
        value = f"{self._mac(job)} {self._mac(f'{job} {self.site.tls}')}".encode()
        theirs = self._left(self.keys.token, value)
        if hmac.compare_digest(theirs, value):
            return
        if hmac.compare_digest(theirs.partition(b" ")[0], value.partition(b" ")[0]):
            raise AuthError(
                f"job {job!r} was begun with another --tls-ca, or one of us without TLS: give this "
                "agent the same, or another --rdzv-id"
            )
        raise AuthError(
            f"job {job!r} was begun with another token: give this agent the same "
            "(--token-file or ELASTIC_TOKEN), or another --rdzv-id"
        )

    def _left(self, key: str, value: bytes) -> bytes:
        """Return what whoever came first has left there: nearly all agents need only read it."""
        items = self.store.range(key).items
        if not items:
            try:
                self.store.txn([Absent(key)], [Put(key, value)])
            except StoreUnavailable:  # done or not, by us or by others
                if not self.store.range(key).items:
                    raise
            items = self.store.range(key).items
        return items[0].value

    def _mac(self, text: str) -> str:
        return hmac.new(self.site.token.encode(), text.encode(), hashlib.sha256).hexdigest()

    def _key(self, id: str) -> str:
        return self.keys.members + id

    def _id(self, key: str) -> str:
        return key.removeprefix(self.keys.members)


def _few(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[i : i + KEYS_A_WRITE] for i in range(0, len(items), KEYS_A_WRITE))


def forget_job(store: Store, job: str) -> bool:
    """Delete what the store holds of a job that is over, for `--fresh`; return whether it was.

    A job whose members' keys are there is left alone.
    """
    keys = Keys(job)
    if store.range(keys.members, prefix=True).items:
        return False
    return store.txn([], [Delete(keys.prefix, prefix=True)]).ok
