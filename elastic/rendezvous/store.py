"""The store's verbs (PROTOCOL M1): range, transaction, watch, lease. Bytes only, no policy.

A store holds keys with values, each written at a revision: a number that grows by one with every
transaction that writes. List, then watch from `listing.revision + 1`: nothing is missed between.

    listing = store.range("/elastic/job/members/", prefix=True)
    watch = store.watch("/elastic/job/members/", True, listing.revision + 1, deliver)

`EtcdStore` speaks to etcd v3, `MemoryStore` serves a world of one and the tests. Both pass the
same tests (tests/rendezvous/test_store.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from elastic.errors import RetryableError

__all__ = [
    # values
    "KeyValue",
    "Listing",
    "TxnResult",
    # compares
    "Absent",
    "Compare",
    "Exists",
    "ModifiedIs",
    "ValueIs",
    # operations
    "Delete",
    "Get",
    "Op",
    "Put",
    # what a watch delivers
    "Changed",
    "Deliver",
    "Relisted",
    # verbs
    "Lease",
    "LeaseGone",
    "Store",
    "StoreSettings",
    "Watch",
]


class LeaseGone(RetryableError):
    """A key was to be put under a lease that the store no longer knows; grant another."""


@dataclass(frozen=True)
class StoreSettings:
    """How long to wait for the store, and how soon to come back to it. Units: seconds."""

    timeout_s: float = 2.0
    """The deadline of each call, all its attempts at all endpoints together."""
    retry_s: float = 0.05
    """Between two rounds over the endpoints, and before a broken watch is opened again."""
    reconnect_s: float = 0.2
    """Between two attempts to connect: the store is found again soon after it returns (M8)."""
    connect_timeout_s: float = 1.0
    """A connection not made by then is tried anew."""
    keepalive_s: float = 6.0
    """A connection silent for so long is pinged, and broken if it does not answer within
    `timeout_s`. etcd hangs up on clients that ping more often than every 5 s."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key, its value, and the revisions of its creation and of its last change."""

    key: str
    value: bytes
    created: int
    modified: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The keys of a range, sorted, as they were at `revision`."""

    revision: int
    items: tuple[KeyValue, ...]


# -- compares: what a transaction asks before it acts ------------------------------------------


@dataclass(frozen=True, slots=True)
class ModifiedIs:
    """The key was last changed at `revision`; 0 says that it is absent."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Exists:
    """The key is there."""

    key: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The key is not there."""

    key: str


@dataclass(frozen=True, slots=True)
class ValueIs:
    """The key is there and holds `value`."""

    key: str
    value: bytes


Compare = ModifiedIs | Exists | Absent | ValueIs


# -- operations: what it does ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Put:
    """Write a value. Under a `lease` the key vanishes with it; without one it leaves its lease."""

    key: str
    value: bytes
    lease: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a key, or all that start with it. Deleting nothing is no change."""

    key: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Get:
    """Read a key, or all that start with it; it sees what its transaction wrote before it."""

    key: str
    prefix: bool = False


Op = Put | Delete | Get


@dataclass(frozen=True, slots=True)
class TxnResult:
    """What a transaction did: `then` if `ok`, else `otherwise`; a listing for each `Get` of it."""

    ok: bool
    revision: int
    listings: tuple[Listing, ...] = ()


# -- what a watch delivers ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Changed:
    """All that one transaction changed among the watched keys, at `revision`."""

    revision: int
    puts: tuple[KeyValue, ...] = ()
    deletes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Relisted:
    """The changes in between are lost (compacted, or the store was wiped): this is how it stands.

    Changes after `listing.revision` follow. A revision lower than one seen before: wiped.
    """

    listing: Listing


Deliver = Callable[[Changed | Relisted], None]
"""Called from a thread of the store, in the order of revisions; it must not block nor raise."""


# -- the verbs ---------------------------------------------------------------------------------


class Watch(Protocol):
    """Changes of a range, delivered as they happen until closed."""

    def close(self) -> None:
        """Deliver no more; does not wait for a delivery that is under way."""


class Lease(Protocol):
    """A promise to be alive, renewed by the store's own thread until revoked or lost."""

    @property
    def id(self) -> int:
        """What `Put.lease` names."""

    @property
    def ttl_s(self) -> float:
        """How long its keys outlive the last renewal: what the store granted."""

    def revoke(self) -> None:
        """End it and delete its keys; `on_lost` is not called.

        Raises:
            StoreUnavailable: the store did not hear it; the lease expires by itself.
        """


class Store(Protocol):
    """The verbs. All may be called from any thread; each but `close` has a deadline.

    Raises:
        StoreUnavailable: no endpoint answered in time; whether a txn was applied is unknown.
    """

    def range(self, key: str, prefix: bool = False) -> Listing:
        """Return the key, or all keys that start with it."""

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()
    ) -> TxnResult:
        """Return what was done, at once and whole: `then` if all compares hold, else `otherwise`.

        Raises:
            LeaseGone: a `Put` names a lease that is no more.
            ProtocolError: the branch writes a key twice.
        """

    def watch(self, key: str, prefix: bool, from_revision: int, deliver: Deliver) -> Watch:
        """Return a watch that delivers each change at or after `from_revision`."""

    def grant(self, ttl_s: float, on_lost: Callable[[], None]) -> Lease:
        """Return a lease that is kept alive.

        `on_lost` is called once, from a thread of the store, when the store says that the lease
        is gone; never because the store is silent.
        """

    def close(self) -> None:
        """End all watches, threads and connections; leases are left to expire."""
