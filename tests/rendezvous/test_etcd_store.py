"""What only the store on etcd promises; what all stores do is in test_store.py."""

from __future__ import annotations

import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import grpc
import pytest

from elastic.errors import ConfigError, StoreUnavailable
from elastic.rendezvous._etcd_messages import method
from elastic.rendezvous.etcd_store import EtcdLease, EtcdStore
from elastic.rendezvous.store import Absent, Changed, Put, Relisted, StoreSettings
from tests.etcd import EtcdServer, etcd_server

IMPATIENT = StoreSettings(timeout_s=0.5)


class Inbox:
    """Where a watch delivers, and a test waits."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Changed | Relisted] = queue.Queue()
        self.deliver = self._queue.put

    def next(self, timeout_s: float = 10.0) -> Changed | Relisted:
        return self._queue.get(timeout=timeout_s)

    def values(self, count: int) -> list[bytes]:
        changes = [self.next() for _ in range(count)]
        return [kv.value for change in changes for kv in change.puts]


@contextmanager
def open_store(*endpoints: str, settings: StoreSettings = IMPATIENT) -> Iterator[EtcdStore]:
    store = EtcdStore(endpoints, settings)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An endpoint that refuses connections, and stays so: bound, but not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def fake_etcd(answer: Callable[..., object] | None) -> Iterator[str]:
    """Serve `KV/Txn` by a function; without one, nothing that etcd serves."""
    txn = method("KV", "Txn")
    server = grpc.server(ThreadPoolExecutor(1))
    if answer is not None:
        handler = grpc.unary_unary_rpc_method_handler(
            answer, txn.request.FromString, txn.response.SerializeToString
        )
        service = grpc.method_handlers_generic_handler("etcdserverpb.KV", {"Txn": handler})
        server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


# -- without an etcd ---------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["etcd", "etcd:", ":2379", "http://etcd:2379", "etcd:70000"])
def test_an_endpoint_is_host_and_port(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="host:port, got"):
        EtcdStore(["127.0.0.1:2379", endpoint])
    with pytest.raises(ConfigError, match="got none"):
        EtcdStore([])


def test_nobody_there_is_said_within_the_deadline(nobody: str, silent: str) -> None:
    """M1: each call has a deadline; the error names all endpoints that were tried."""
    with open_store(nobody, silent) as store:
        start = time.monotonic()
        with pytest.raises(StoreUnavailable) as caught:
            store.range("/a")
        assert time.monotonic() - start < IMPATIENT.timeout_s + 0.5
    assert f"{nobody}: UNAVAILABLE" in str(caught.value)
    assert f"{silent}: DEADLINE_EXCEEDED" in str(caught.value)


def test_a_server_that_is_no_etcd_is_named() -> None:
    with (
        fake_etcd(None) as endpoint,
        open_store(endpoint) as store,
        pytest.raises(ConfigError, match=f"{endpoint} refuses .*UNIMPLEMENTED"),
    ):
        store.txn([], [])


def test_a_transaction_of_unknown_fate_is_never_reported_as_lost() -> None:
    """M3: the attempt that broke may be what made the compares of the next one fail."""
    response = method("KV", "Txn").response
    attempts: list[object] = []

    def break_once(request: object, context: grpc.ServicerContext) -> object:
        attempts.append(request)
        if len(attempts) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        return response(succeeded=False)

    with fake_etcd(break_once) as endpoint, open_store(endpoint) as store:
        with pytest.raises(StoreUnavailable, match="unknown fate"):
            store.txn([Absent("/a")], [Put("/a", b"")])
        assert not store.txn([Absent("/a")], [Put("/a", b"")]).ok
    assert len(attempts) == 3


def test_close_ends_the_threads_of_watches_and_leases_that_find_nobody(nobody: str) -> None:
    with open_store(nobody) as store:
        store.watch("/a", True, 1, print)
        assert _store_threads()
    assert not _store_threads()


def test_close_ends_a_call_that_waits(silent: str) -> None:
    patient = StoreSettings(timeout_s=60.0)
    with open_store(silent, settings=patient) as store, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.range, "/a")
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.2)
        store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            waiting.result(timeout=5.0)


def _store_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("elastic-store")]


# -- with one ----------------------------------------------------------------------------------


@pytest.mark.etcd
def test_another_endpoint_answers_when_one_is_gone_or_silent(
    shared_etcd: EtcdServer, nobody: str, silent: str
) -> None:
    """M1: failover."""
    with open_store(nobody, silent, shared_etcd.endpoint) as store:
        revision = store.txn([], [Put("/failover", b"1")]).revision
        assert store.range("/failover").items[0].modified == revision


@pytest.mark.etcd
def test_a_watch_finds_its_way_to_another_endpoint(shared_etcd: EtcdServer, nobody: str) -> None:
    inbox = Inbox()
    with (
        open_store(shared_etcd.endpoint) as writer,
        open_store(nobody, shared_etcd.endpoint) as store,
    ):
        start = writer.range("/failover").revision + 1
        store.watch("/failover", False, start, inbox.deliver)
        writer.txn([], [Put("/failover", b"2")])
        assert inbox.values(1) == [b"2"]


@pytest.mark.etcd
def test_a_watch_leaves_an_endpoint_that_fell_silent(etcd: EtcdServer) -> None:
    """M1: a host that vanishes without a word breaks no connection; unanswered pings do."""
    inbox, alert = Inbox(), StoreSettings(timeout_s=0.5, keepalive_s=0.5)
    with (
        etcd_server() as other,
        open_store(other.endpoint) as writer,
        open_store(etcd.endpoint, other.endpoint, settings=alert) as store,
    ):
        store.watch("/a", False, 1, inbox.deliver)
        store.txn([], [Put("/a", b"first")])
        assert inbox.values(1) == [b"first"]
        etcd.pause()
        for number in range(9):
            writer.txn([], [Put("/a", b"%d" % number)])
        assert inbox.values(1) == [b"1"]  # revision 3: the one after that of "first"


@pytest.mark.etcd
def test_a_lease_is_kept_alive_for_longer_than_it_lasts(shared_etcd: EtcdServer) -> None:
    lost, gone = threading.Event(), Inbox()
    with open_store(shared_etcd.endpoint) as store:
        lease = store.grant(1.0, lost.set)
        last = store.txn([], [Put("/kept", b"", lease.id)]).revision
        store.watch("/kept", False, last + 1, gone.deliver)
        assert lease.ttl_s == 1.0
        with pytest.raises(queue.Empty):
            gone.next(timeout_s=2.5)
        assert not lost.is_set()


@pytest.mark.etcd
def test_a_renewal_without_an_answer_is_asked_for_again_in_time() -> None:
    """M8: each attempt has a third of the lease, so that one lost answer does not end it."""
    asked: queue.Queue[float] = queue.Queue()

    class Cluster:
        settings = StoreSettings(timeout_s=60.0)

        def spawn(self, name: str, run: Callable[[], None], ended: threading.Event) -> None:
            self.thread, self.ended = threading.Thread(target=run), ended
            self.thread.start()

        def call(self, rpc: Any, request: Any, within_s: float) -> Any:
            asked.put(within_s)
            raise StoreUnavailable("no answer")

    cluster: Any = Cluster()
    EtcdLease(cluster, 7, 0.3, print)
    assert [asked.get(timeout=10.0) for _ in range(3)] == [pytest.approx(0.1)] * 3
    cluster.ended.set()
    cluster.thread.join()


def test_a_lease_whose_owner_is_gone_expires(shared_etcd: EtcdServer) -> None:
    gone = Inbox()
    with open_store(shared_etcd.endpoint) as observer:
        with open_store(shared_etcd.endpoint) as owner:
            lease = owner.grant(1.0, print)
            last = owner.txn([], [Put("/mortal", b"", lease.id)]).revision
            observer.watch("/mortal", False, last + 1, gone.deliver)
        assert gone.next().deletes == ("/mortal",)


@pytest.mark.etcd
def test_the_owner_of_a_lease_is_told_once_that_it_is_gone(shared_etcd: EtcdServer) -> None:
    told: queue.Queue[int] = queue.Queue()
    with open_store(shared_etcd.endpoint) as store:
        lease = store.grant(1.0, lambda: told.put(lease.id))
        _revoke_behind_its_back(shared_etcd.endpoint, lease.id)
        assert told.get(timeout=5.0) == lease.id
        with pytest.raises(queue.Empty):
            told.get(timeout=1.0)


def _revoke_behind_its_back(endpoint: str, lease_id: int) -> None:
    revoke = method("Lease", "LeaseRevoke")
    with grpc.insecure_channel(endpoint) as channel:
        call = channel.unary_unary(
            revoke.path, revoke.request.SerializeToString, revoke.response.FromString
        )
        call(revoke.request(ID=lease_id), timeout=5.0)


@pytest.mark.etcd
def test_a_frozen_etcd_costs_a_deadline_and_nothing_else(etcd: EtcdServer) -> None:
    """M1, M8: silence is no lost lease; afterwards leases and watches go on."""
    inbox, lost = Inbox(), threading.Event()
    with open_store(etcd.endpoint) as store:
        lease = store.grant(3.0, lost.set)
        last = store.txn([], [Put("/leased", b"0", lease.id)]).revision
        store.watch("/leased", False, last + 1, inbox.deliver)
        etcd.pause()
        for _ in range(3):  # long enough that a renewal meets the silence, too
            start = time.monotonic()
            with pytest.raises(StoreUnavailable, match=f"{etcd.endpoint}: DEADLINE_EXCEEDED"):
                store.range("/leased")
            assert time.monotonic() - start < IMPATIENT.timeout_s + 0.5
        assert not lost.is_set()
        etcd.resume()
        store.txn([], [Put("/leased", b"1", lease.id)])
        assert inbox.values(1) == [b"1"]
        with pytest.raises(queue.Empty):  # the lease outlives its term: it is renewed again
            inbox.next(timeout_s=4.0)
        assert not lost.is_set()


@pytest.mark.etcd
def test_a_watch_loses_nothing_when_etcd_is_killed_and_started_again(etcd: EtcdServer) -> None:
    """M8: what was written before, during and after the outage arrives, once and in order."""
    inbox, seen, numbers = Inbox(), [], iter(range(100))
    with open_store(etcd.endpoint, settings=StoreSettings(timeout_s=10.0)) as store:

        def write(count: int) -> None:
            for number in islice(numbers, count):
                store.txn([], [Put(f"/n/{number % 7}", b"%d" % number)])

        store.watch("/n/", True, 1, inbox.deliver)
        for _ in range(3):
            write(5)
            seen += inbox.values(5)
            write(5)  # no one knows how many of these arrive before the end
            etcd.kill()
            etcd.start()
            write(5)
            seen += inbox.values(10)
    assert seen == [b"%d" % number for number in range(45)]


@pytest.mark.etcd
def test_the_store_is_found_again_soon_after_a_long_outage(etcd: EtcdServer) -> None:
    """M8: within 0.5 s of its return; gRPC's own back-off would have grown to seconds by then."""
    inbox, lost = Inbox(), threading.Event()
    with open_store(etcd.endpoint) as store, open_store(etcd.endpoint) as early:
        store.grant(1.0, lost.set)
        store.watch("/a", False, store.range("/a").revision + 1, inbox.deliver)
        etcd.kill()
        for _ in range(8):
            with pytest.raises(StoreUnavailable):
                store.range("/a")
        etcd.start()
        returned = time.monotonic()
        early.txn([], [Put("/a", b"back")])
        assert inbox.values(1) == [b"back"]
        assert time.monotonic() - returned < 1.0  # twice the promise: the machine may be busy


@pytest.mark.etcd
def test_a_watch_that_slept_through_a_compaction_is_relisted(etcd: EtcdServer) -> None:
    """M1: what it missed is forgotten, so it is told how things stand."""
    inbox, sleepy = Inbox(), StoreSettings(retry_s=2.0)
    with open_store(etcd.endpoint) as store, open_store(etcd.endpoint, settings=sleepy) as asleep:
        asleep.watch("/a", False, 1, inbox.deliver)
        store.txn([], [Put("/a", b"1")])
        assert inbox.values(1) == [b"1"]
        etcd.kill()  # breaks the stream; it is opened again in two seconds, after what follows
        etcd.start()
        store.txn([], [Put("/a", b"2")])
        etcd.compact(store.txn([], [Put("/a", b"3")]).revision)
        relisted = inbox.next()
        assert isinstance(relisted, Relisted)
        assert [kv.value for kv in relisted.listing.items] == [b"3"]
        store.txn([], [Put("/a", b"4")])
        assert inbox.values(1) == [b"4"]


@pytest.mark.etcd
def test_a_wiped_store_is_relisted_and_its_leases_are_lost(etcd: EtcdServer) -> None:
    """M8: an empty store after its return; agents must create their keys again."""
    inbox, lost = Inbox(), threading.Event()
    with open_store(etcd.endpoint) as store:
        lease = store.grant(2.0, lost.set)
        for number in range(5):
            last = store.txn([], [Put("/a", b"%d" % number, lease.id)]).revision
        store.watch("/a", False, last, inbox.deliver)
        assert inbox.values(1) == [b"4"]
        etcd.kill()
        etcd.wipe()
        etcd.start()
        relisted = inbox.next()
        assert isinstance(relisted, Relisted)
        assert relisted.listing.items == ()
        assert relisted.listing.revision < last
        assert lost.wait(10.0)
        store.txn([], [Put("/a", b"new")])
        assert inbox.values(1) == [b"new"]


@pytest.mark.etcd
def test_a_process_that_closes_nothing_ends_all_the_same(shared_etcd: EtcdServer) -> None:
    code = (
        "import sys; from elastic.rendezvous.etcd_store import EtcdStore\n"
        "store = EtcdStore([sys.argv[1]])\n"
        "lease = store.grant(5.0, print); store.watch('/', True, 1, lambda news: None)\n"
        "print(store.range('/').revision > 0)"
    )
    command = [sys.executable, "-c", code, shared_etcd.endpoint]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
