"""The contract of the store's verbs (PROTOCOL M1), the same for every store."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from elastic.errors import ProtocolError, StoreUnavailable
from elastic.rendezvous.etcd_store import EtcdStore
from elastic.rendezvous.memory_store import MemoryStore
from elastic.rendezvous.store import (
    Absent,
    Changed,
    Compare,
    Delete,
    Exists,
    Get,
    LeaseGone,
    ModifiedIs,
    Put,
    Relisted,
    Store,
    ValueIs,
)

_numbers = itertools.count()


class Inbox:
    """Where a watch delivers, and a test waits."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Changed | Relisted] = queue.Queue()
        self.deliver = self._queue.put

    def next(self) -> Changed | Relisted:
        return self._queue.get(timeout=5.0)

    def is_empty(self) -> bool:
        return self._queue.empty()


@dataclass
class Room:
    """A store, keys that nobody else uses, and how to compact it."""

    store: Store
    compact: Callable[[int], None]
    root: str

    def put(self, name: str, value: bytes = b"", lease: int | None = None) -> int:
        return self.store.txn([], [Put(self.root + name, value, lease)]).revision

    def names(self) -> list[str]:
        found = self.store.range(self.root, prefix=True).items
        return [kv.key.removeprefix(self.root) for kv in found]


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    root = f"/room-{next(_numbers)}/"
    if request.param == "memory":
        memory = MemoryStore()
        made = Room(memory, memory.compact, root)
    else:
        etcd = request.getfixturevalue("shared_etcd")
        made = Room(EtcdStore([etcd.endpoint]), etcd.compact, root)
    yield made
    made.store.close()


def test_a_range_of_nothing_is_empty_and_has_a_revision(room: Room) -> None:
    listing = room.store.range(room.root, prefix=True)
    assert listing.items == ()
    assert listing.revision >= 1


def test_a_key_remembers_its_creation_and_its_last_change(room: Room) -> None:
    created = room.put("a", b"1")
    modified = room.put("a", b"\x00\xff")
    (found,) = room.store.range(room.root + "a").items
    assert (found.value, found.created, found.modified) == (b"\x00\xff", created, modified)
    assert modified == created + 1


def test_a_key_created_again_is_a_new_one(room: Room) -> None:
    room.put("a")
    room.store.txn([], [Delete(room.root + "a")])
    created = room.put("a")
    (found,) = room.store.range(room.root + "a").items
    assert (found.created, found.modified) == (created, created)


def test_a_prefix_lists_what_starts_with_it_sorted(room: Room) -> None:
    for name in ("m/b", "m/a", "m", "n/a", "mé", "m/ü"):
        room.put(name)
    listing = room.store.range(room.root + "m/", prefix=True)
    assert [kv.key for kv in listing.items] == [room.root + name for name in ("m/a", "m/b", "m/ü")]
    assert [kv.key for kv in room.store.range(room.root + "m").items] == [room.root + "m"]


COMPARES: list[tuple[Callable[[str, int], Compare], bool, bool]] = [
    # compare of (key, revision of the key that is there)       holds if there, if absent
    (lambda key, revision: ModifiedIs(key, revision), True, False),
    (lambda key, revision: ModifiedIs(key, revision + 1), False, False),
    (lambda key, revision: ModifiedIs(key, 0), False, True),
    (lambda key, revision: Exists(key), True, False),
    (lambda key, revision: Absent(key), False, True),
    (lambda key, revision: ValueIs(key, b"value"), True, False),
    (lambda key, revision: ValueIs(key, b"other"), False, False),
    (lambda key, revision: ValueIs(key, b""), False, False),
]


@pytest.mark.parametrize(("compare", "if_there", "if_absent"), COMPARES)
def test_what_each_compare_says(
    room: Room, compare: Callable[[str, int], Compare], if_there: bool, if_absent: bool
) -> None:
    revision = room.put("there", b"value")
    assert room.store.txn([compare(room.root + "there", revision)], []).ok is if_there
    assert room.store.txn([compare(room.root + "absent", revision)], []).ok is if_absent


def test_a_transaction_does_one_branch_only(room: Room) -> None:
    there = room.root + "there"
    room.put("there")
    then, otherwise = (
        [Put(room.root + "then", b"")],
        [Put(room.root + "otherwise", b""), Get(there)],
    )
    lost = room.store.txn([Exists(there), Absent(there)], then, otherwise)
    assert not lost.ok
    assert [kv.key for kv in lost.listings[0].items] == [there]
    assert room.names() == ["otherwise", "there"]
    won = room.store.txn([Exists(there)], then, otherwise)
    assert (won.ok, won.listings) == (True, ())
    assert room.names() == ["otherwise", "then", "there"]


def test_a_get_sees_what_its_transaction_did_before_it(room: Room) -> None:
    room.put("old")
    key = room.root + "new"
    result = room.store.txn(
        [], [Get(key), Delete(room.root + "old"), Put(key, b"x"), Get(room.root, prefix=True)]
    )
    before, after = result.listings
    assert before.items == ()
    assert [(kv.key, kv.modified) for kv in after.items] == [(key, result.revision)]
    assert before.revision == after.revision == result.revision


def test_only_a_change_makes_a_revision(room: Room) -> None:
    revision = room.put("a/1")
    assert room.store.txn([], [Delete(room.root + "none"), Get(room.root)]).revision == revision
    room.put("a/2")
    deleted = room.store.txn([], [Delete(room.root + "a/", prefix=True)])
    assert deleted.revision == revision + 2
    assert room.names() == []


@pytest.mark.parametrize("other", [Put, lambda key, _: Delete(key)], ids=["put", "delete"])
def test_a_transaction_that_writes_a_key_twice_is_refused_whole(room: Room, other) -> None:
    key = room.root + "a"
    with pytest.raises(ProtocolError):
        room.store.txn([], [Put(key, b"1"), other(key, b"2")])
    assert room.names() == []


def test_a_watch_delivers_the_past_and_then_the_future(room: Room) -> None:
    inbox = Inbox()
    first = room.put("a", b"1")
    second = room.put("a", b"2")
    room.store.watch(room.root, True, second, inbox.deliver)
    third = room.put("b", b"3")
    seen = [inbox.next(), inbox.next()]
    assert [change.revision for change in seen] == [second, third]
    assert [kv.value for change in seen for kv in change.puts] == [b"2", b"3"]
    assert seen[0].puts[0].created == first


def test_a_transaction_is_one_change(room: Room) -> None:
    inbox = Inbox()
    revision = room.put("old/1")
    room.put("old/2")
    room.store.watch(room.root, True, revision + 2, inbox.deliver)
    room.store.txn(
        [],
        [Put(room.root + "b", b""), Delete(room.root + "old/", True), Put(room.root + "a", b"")],
    )
    change = inbox.next()
    assert {kv.key for kv in change.puts} == {room.root + "a", room.root + "b"}
    assert change.deletes == (room.root + "old/1", room.root + "old/2")
    assert change.revision == revision + 2


def test_a_watch_tells_of_its_own_range_only(room: Room) -> None:
    prefix, single = Inbox(), Inbox()
    start = room.put("start") + 1
    room.store.watch(room.root + "a/", True, start, prefix.deliver)
    room.store.watch(room.root + "a", False, start, single.deliver)
    result = room.store.txn([], [Put(room.root + name, b"") for name in ("a", "a/1", "ab", "b")])
    assert [kv.key for kv in prefix.next().puts] == [room.root + "a/1"]
    assert [kv.key for kv in single.next().puts] == [room.root + "a"]
    room.put("b")
    last = room.store.txn([], [Delete(room.root + "a")]).revision
    assert single.next() == Changed(last, (), (room.root + "a",))
    assert prefix.is_empty()
    assert result.revision == start


def test_a_closed_watch_is_silent(room: Room) -> None:
    closed, fence = Inbox(), Inbox()
    start = room.put("start") + 1
    watch = room.store.watch(room.root, True, start, closed.deliver)
    room.store.watch(room.root, True, start, fence.deliver)
    room.put("a")
    closed.next()
    watch.close()
    watch.close()
    room.put("b")
    assert [fence.next(), fence.next()][1].puts[0].key == room.root + "b"
    assert closed.is_empty()


def test_a_watch_from_a_forgotten_revision_is_relisted(room: Room) -> None:
    """M1: after compaction a watch re-lists, and goes on from there."""
    inbox = Inbox()
    start = room.put("a", b"1")
    room.put("gone")
    room.store.txn([], [Delete(room.root + "gone")])
    last = room.put("a", b"2")
    room.compact(last)
    room.store.watch(room.root, True, start, inbox.deliver)
    relisted = inbox.next()
    assert isinstance(relisted, Relisted)
    assert [(kv.key, kv.value) for kv in relisted.listing.items] == [(room.root + "a", b"2")]
    following = room.put("b")
    assert inbox.next().revision == following


def test_a_watcher_may_write(room: Room) -> None:
    inbox = Inbox()
    start = room.put("start") + 1

    def deliver(change: Changed | Relisted) -> None:
        if change.revision == start:
            room.put("answer")
        inbox.deliver(change)

    room.store.watch(room.root, True, start, deliver)
    room.put("question")
    assert [inbox.next().puts[0].key for _ in range(2)] == [
        room.root + "question",
        room.root + "answer",
    ]


def test_a_revoked_lease_takes_its_keys_along(room: Room) -> None:
    inbox, lost = Inbox(), threading.Event()
    lease = room.store.grant(10.0, lost.set)
    assert lease.ttl_s >= 10.0
    room.put("kept")
    last = room.put("mine", lease=lease.id)
    room.store.watch(room.root, True, last + 1, inbox.deliver)
    lease.revoke()
    assert inbox.next().deletes == (room.root + "mine",)
    assert room.names() == ["kept"]
    assert not lost.is_set()
    lease.revoke()  # a second time changes nothing


def test_a_key_put_again_without_a_lease_outlives_it(room: Room) -> None:
    lease = room.store.grant(10.0, lambda: None)
    room.put("a", lease=lease.id)
    room.put("a")
    lease.revoke()
    assert room.names() == ["a"]


def test_a_put_under_a_lease_that_is_gone_changes_nothing(room: Room) -> None:
    lease = room.store.grant(10.0, lambda: None)
    lease.revoke()
    with pytest.raises(LeaseGone, match="lease"):
        room.store.txn([], [Put(room.root + "a", b""), Put(room.root + "b", b"", lease.id)])
    assert room.names() == []


def test_one_of_many_writers_wins_each_revision(room: Room) -> None:
    """M3: a transaction that compares the record's revision has one winner."""
    inbox, key = Inbox(), room.root + "record"
    start = room.put("record", b"0")

    def add_ten() -> None:
        for _ in range(10):
            done = False
            while not done:
                (found,) = room.store.range(key).items
                new = Put(key, b"%d" % (int(found.value) + 1))
                done = room.store.txn([ModifiedIs(key, found.modified)], [new]).ok

    room.store.watch(key, False, start + 1, inbox.deliver)
    writers = [threading.Thread(target=add_ten) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    seen = [inbox.next().puts[0] for _ in range(40)]
    assert [kv.value for kv in seen] == [b"%d" % n for n in range(1, 41)]
    assert [kv.modified for kv in seen] == list(range(start + 1, start + 41))


def test_a_closed_store_says_so(room: Room) -> None:
    lease = room.store.grant(10.0, lambda: None)
    room.store.close()
    calls: list[Callable[[], object]] = [
        lambda: room.store.range(room.root),
        lambda: room.store.txn([], []),
        lambda: room.store.watch(room.root, True, 1, print),
        lambda: room.store.grant(10.0, print),
        lease.revoke,
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="closed"):
            call()
    room.store.close()
