"""What only the store in memory promises; the rest is in test_store.py."""

from __future__ import annotations

import threading

import pytest

from elastic.rendezvous.memory_store import MemoryStore
from elastic.rendezvous.store import Changed, Put, Relisted


def test_a_change_is_delivered_before_its_call_returns() -> None:
    store, seen = MemoryStore(), []
    store.watch("/", True, 1, seen.append)
    result = store.txn([], [Put("/a", b"")])
    assert [change.revision for change in seen] == [result.revision]


def test_an_expired_lease_takes_its_keys_along_and_tells_its_owner() -> None:
    store, seen, lost = MemoryStore(), [], []
    lease = store.grant(0.5, lambda: lost.append(store.range("/", prefix=True).items))
    assert lease.ttl_s == 0.5
    last = store.txn([], [Put("/a", b"", lease.id)]).revision
    store.watch("/", True, last + 1, seen.append)
    store.expire(lease.id)
    store.expire(lease.id)
    assert seen == [Changed(last + 1, (), ("/a",))]
    assert lost == [()]  # once, when the keys were gone


def test_all_watchers_see_the_same_order_when_one_writes() -> None:
    store, first, second = MemoryStore(), [], []

    def deliver(change: Changed | Relisted) -> None:
        first.append(change)
        if len(first) < 4:
            store.txn([], [Put("/a", b"%d" % len(first))])

    store.watch("/", True, 1, deliver)
    store.watch("/", True, 1, second.append)
    store.txn([], [Put("/a", b"0")])
    assert [change.revision for change in first] == [2, 3, 4, 5]
    assert second == first


def test_a_store_has_no_threads() -> None:
    before = threading.active_count()
    store = MemoryStore()
    store.grant(1.0, print)
    store.watch("/", True, 1, print)
    assert threading.active_count() == before


def test_a_watcher_that_raises_does_not_silence_the_others() -> None:
    store, seen = MemoryStore(), []

    def fail(change: Changed | Relisted) -> None:
        raise LookupError("a bug of the watcher")

    broken = store.watch("/", True, 1, fail)
    store.watch("/", True, 1, seen.append)
    with pytest.raises(LookupError):
        store.txn([], [Put("/a", b"")])
    broken.close()
    store.txn([], [Put("/b", b"")])
    assert [change.revision for change in seen] == [2, 3]
