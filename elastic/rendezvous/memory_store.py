"""The store's verbs in memory: a world of one, and tests without etcd.

No threads of its own: changes are delivered before the call that made them returns, unless
another delivery is under way; then that one's thread goes on with it. Leases live until a test
expires them. Revisions are counted as etcd counts them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

from elastic.errors import ProtocolError, StoreUnavailable
from elastic.rendezvous.store import (
    Absent,
    Changed,
    Compare,
    Delete,
    Deliver,
    Exists,
    Get,
    KeyValue,
    LeaseGone,
    Listing,
    ModifiedIs,
    Op,
    Put,
    Relisted,
    TxnResult,
    ValueIs,
)

__all__ = ["MemoryLease", "MemoryStore", "MemoryWatch"]


class MemoryWatch:
    """A range and who is told of it."""

    def __init__(self, key: str, prefix: bool, deliver: Deliver):
        self._key = key
        self._prefix = prefix
        self._deliver = deliver
        self.closed = False

    def close(self) -> None:
        """Deliver no more."""
        self.closed = True

    def tell(self, news: Changed | Relisted) -> None:
        """Deliver the news, if it has anything for this range."""
        if isinstance(news, Changed):
            news = self._mine(news)
            if not news.puts and not news.deletes:
                return
        if not self.closed:
            self._deliver(news)

    def _mine(self, news: Changed) -> Changed:
        puts = tuple(kv for kv in news.puts if _covers(self._key, self._prefix, kv.key))
        deletes = tuple(key for key in news.deletes if _covers(self._key, self._prefix, key))
        return Changed(news.revision, puts, deletes)


class MemoryLease:
    """A lease that lives until it is revoked or a test expires it."""

    def __init__(self, store: MemoryStore, id: int, ttl_s: float, on_lost: Callable[[], None]):
        self._store = store
        self.id = id
        self.ttl_s = ttl_s
        self.on_lost = on_lost

    def revoke(self) -> None:
        """End it and delete its keys."""
        self._store._end_lease(self.id)


class MemoryStore:
    """`Store` in the memory of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revision = 1
        self._compacted = 0
        self._items: dict[str, KeyValue] = {}
        self._lease_of: dict[str, int] = {}
        self._leases: dict[int, MemoryLease] = {}
        self._lease_ids = count(1)
        self._history: list[Changed] = []
        self._watches: list[MemoryWatch] = []
        self._outbox: deque[Callable[[], None]] = deque()
        self._delivering = False
        self._closed = False

    # -- the verbs

    def range(self, key: str, prefix: bool = False) -> Listing:
        """Return the key, or all keys that start with it."""
        with self._lock:
            self._check_open()
            return self._list(key, prefix)

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()
    ) -> TxnResult:
        """Return what was done, at once and whole: `then` if all compares hold."""
        _check_writes(then)
        _check_writes(otherwise)
        with self._lock:
            self._check_open()
            ok = all(self._holds(compare) for compare in compares)
            result = self._run(ok, then if ok else otherwise)
        self._flush()
        return result

    def watch(self, key: str, prefix: bool, from_revision: int, deliver: Deliver) -> MemoryWatch:
        """Return a watch that delivers each change at or after `from_revision`."""
        watch = MemoryWatch(key, prefix, deliver)
        with self._lock:
            self._check_open()
            for news in self._since(key, prefix, from_revision):
                self._post(watch, news)
            self._watches.append(watch)
        self._flush()
        return watch

    def grant(self, ttl_s: float, on_lost: Callable[[], None]) -> MemoryLease:
        """Return a lease; `on_lost` is called if a test expires it."""
        with self._lock:
            self._check_open()
            lease = MemoryLease(self, next(self._lease_ids), ttl_s, on_lost)
            self._leases[lease.id] = lease
        return lease

    def close(self) -> None:
        """End all watches; every later call finds the store closed."""
        with self._lock:
            self._closed = True
            for watch in self._watches:
                watch.close()

    # -- what only tests do

    def expire(self, lease_id: int) -> None:
        """Let the lease run out: its keys vanish and its owner is told."""
        lease = self._end_lease(lease_id)
        if lease is not None:
            lease.on_lost()

    def compact(self, revision: int) -> None:
        """Forget the changes up to and including `revision`."""
        with self._lock:
            self._compacted = revision
            self._history = [change for change in self._history if change.revision > revision]

    # -- inside, under the lock

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store in memory is closed")

    def _list(self, key: str, prefix: bool) -> Listing:
        if not prefix:
            return Listing(self._revision, tuple(kv for kv in [self._items.get(key)] if kv))
        found = (self._items[name] for name in sorted(self._items) if _covers(key, prefix, name))
        return Listing(self._revision, tuple(found))

    def _holds(self, compare: Compare) -> bool:
        found = self._items.get(compare.key)
        match compare:
            case ModifiedIs(revision=revision):
                return (found.modified if found else 0) == revision
            case Exists():
                return found is not None
            case Absent():
                return found is None
            case ValueIs(value=value):
                return found is not None and found.value == value

    def _run(self, ok: bool, ops: Sequence[Op]) -> TxnResult:
        for op in ops:
            if isinstance(op, Put) and op.lease is not None and op.lease not in self._leases:
                raise LeaseGone(f"put of {op.key} expects lease {op.lease}, which is gone")
        revision = self._revision + 1
        puts: dict[str, KeyValue] = {}
        deletes: list[str] = []
        reads: list[tuple[KeyValue, ...]] = []
        for op in ops:
            match op:
                case Put():
                    puts[op.key] = self._put(op, revision)
                case Delete(key, prefix):
                    deletes += self._delete(key, prefix)
                case Get(key, prefix):
                    reads.append(self._list(key, prefix).items)
        if puts or deletes:
            self._publish(Changed(revision, tuple(puts.values()), tuple(deletes)))
        listings = tuple(Listing(self._revision, items) for items in reads)
        return TxnResult(ok, self._revision, listings)

    def _put(self, op: Put, revision: int) -> KeyValue:
        old = self._items.get(op.key)
        new = KeyValue(op.key, op.value, old.created if old else revision, revision)
        self._items[op.key] = new
        self._lease_of.pop(op.key, None)
        if op.lease is not None:
            self._lease_of[op.key] = op.lease
        return new

    def _delete(self, key: str, prefix: bool) -> list[str]:
        doomed = [kv.key for kv in self._list(key, prefix).items]
        for name in doomed:
            del self._items[name]
            self._lease_of.pop(name, None)
        return doomed

    def _publish(self, change: Changed) -> None:
        self._revision = change.revision
        self._history.append(change)
        self._watches = [watch for watch in self._watches if not watch.closed]
        for watch in self._watches:
            self._post(watch, change)

    def _since(self, key: str, prefix: bool, revision: int) -> Sequence[Changed | Relisted]:
        if revision <= self._compacted:
            return [Relisted(self._list(key, prefix))]
        return [change for change in self._history if change.revision >= revision]

    def _post(self, watch: MemoryWatch, news: Changed | Relisted) -> None:
        self._outbox.append(lambda: watch.tell(news))

    # -- inside, without the lock

    def _end_lease(self, lease_id: int) -> MemoryLease | None:
        with self._lock:
            self._check_open()
            lease = self._leases.pop(lease_id, None)
            keys = [key for key, owner in self._lease_of.items() if owner == lease_id]
            self._run(True, [Delete(key) for key in keys])
        self._flush()
        return lease

    def _flush(self) -> None:
        # One delivery at a time keeps the order of revisions for every watcher, also when a
        # watcher writes or two threads do; whoever delivers goes on until the outbox is empty.
        while (deliver := self._next_delivery()) is not None:
            try:
                deliver()
            finally:
                self._delivering = False

    def _next_delivery(self) -> Callable[[], None] | None:
        with self._lock:
            if self._delivering or not self._outbox:
                return None
            self._delivering = True
            return self._outbox.popleft()


def _covers(key: str, prefix: bool, name: str) -> bool:
    return name.startswith(key) if prefix else name == key


def _check_writes(ops: Sequence[Op]) -> None:
    """etcd refuses a branch that writes a key twice; so does this store, to be caught early."""
    puts = [op.key for op in ops if isinstance(op, Put)]
    deletes = [op for op in ops if isinstance(op, Delete)]
    for key in puts:
        if puts.count(key) > 1 or any(_covers(op.key, op.prefix, key) for op in deletes):
            raise ProtocolError(f"a transaction writes each key once, this one {key} twice")
