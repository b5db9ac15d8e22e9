"""The store's verbs on etcd v3, by gRPC.

Each call goes to the endpoint that answered last, and on to the others when it fails, round after
round until its deadline. A watch is a stream with a thread of its own, which opens it again after
the last revision that it has seen. A lease has a thread that renews it.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # what matters is in the errors that we raise

import grpc

from elastic.clock import monotonic
from elastic.errors import AuthError, ConfigError, ElasticError, ProtocolError, StoreUnavailable
from elastic.rendezvous._etcd_messages import Method, message, method
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
    StoreSettings,
    TxnResult,
    ValueIs,
)
from elastic.tls import EtcdLogin

__all__ = ["EtcdLease", "EtcdStore", "EtcdWatch"]

RANGE = method("KV", "Range")
TXN = method("KV", "Txn")
WATCH = method("Watch", "Watch")
GRANT = method("Lease", "LeaseGrant")
REVOKE = method("Lease", "LeaseRevoke")
AUTHENTICATE = method("Auth", "Authenticate")
KEEP_ALIVE = method("Lease", "LeaseKeepAlive")

MAX_ANSWER_BYTES = 64 << 20
"""A bound on what is read at once; 100,000 members are about 20 MB."""

_Metadata = tuple[tuple[str, str], ...]
_NEEDS_LEADER: _Metadata = (("hasleader", "true"),)
"""An etcd that has lost its cluster then ends the stream instead of keeping silent."""

# What another endpoint, or a later attempt, cannot cure.
_FINAL: dict[grpc.StatusCode, type[ElasticError]] = {
    grpc.StatusCode.NOT_FOUND: LeaseGone,
    grpc.StatusCode.INVALID_ARGUMENT: ProtocolError,
    grpc.StatusCode.UNIMPLEMENTED: ConfigError,
    grpc.StatusCode.UNAUTHENTICATED: AuthError,
    grpc.StatusCode.PERMISSION_DENIED: AuthError,
}


class EtcdStore:
    """`Store` on the etcd at `endpoints`, each host:port; any one that answers will do."""

    def __init__(
        self,
        endpoints: Sequence[str],
        settings: StoreSettings | None = None,
        login: EtcdLogin | None = None,
    ):
        self.settings = settings or StoreSettings()
        self._cluster = _Cluster(endpoints, self.settings, login or EtcdLogin())

    def range(self, key: str, prefix: bool = False) -> Listing:
        """Return the key, or all keys that start with it."""
        return _listing(self._cluster.call(RANGE, RANGE.request(**_range_fields(key, prefix))))

    def txn(
        self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()
    ) -> TxnResult:
        """Return what was done, at once and whole: `then` if all compares hold."""
        request = TXN.request(
            compare=[_compare(compare) for compare in compares],
            success=[_request_op(op) for op in then],
            failure=[_request_op(op) for op in otherwise],
        )
        return _txn_result(self._cluster.call(TXN, request))

    def watch(self, key: str, prefix: bool, from_revision: int, deliver: Deliver) -> EtcdWatch:
        """Return a watch that delivers each change at or after `from_revision`."""
        return EtcdWatch(self._cluster, (key, prefix), from_revision, deliver)

    def grant(self, ttl_s: float, on_lost: Callable[[], None]) -> EtcdLease:
        """Return a lease that is kept alive; etcd rounds `ttl_s` up to whole seconds."""
        answer = self._cluster.call(GRANT, GRANT.request(TTL=math.ceil(ttl_s)))
        return EtcdLease(self._cluster, answer.ID, float(answer.TTL), on_lost)

    def close(self) -> None:
        """End all watches, threads and connections; leases are left to expire."""
        self._cluster.close()


class EtcdWatch:
    """A watch: one stream, opened again where it broke, and one thread that reads it."""

    def __init__(
        self, cluster: _Cluster, watched: tuple[str, bool], from_revision: int, deliver: Deliver
    ):
        self._cluster = cluster
        self._watched = watched
        self._next = from_revision
        self._deliver = deliver
        self._stream: Any = None
        self._ended = threading.Event()
        cluster.spawn(f"watch {watched[0]}", self._run, self._ended)

    def close(self) -> None:
        """Deliver no more; does not wait for a delivery that is under way."""
        self._ended.set()
        if self._stream is not None:
            self._stream.cancel()

    def _run(self) -> None:
        retry_s = 0.0
        while not self._ended.wait(retry_s):
            self._cluster.follow(self._open, self._read)
            retry_s = self._cluster.settings.retry_s

    def _open(self, channel: grpc.Channel, login: _Metadata) -> Any:
        create = message("etcdserverpb.WatchCreateRequest")(
            **_range_fields(*self._watched), start_revision=self._next
        )
        # The stream is open both ways, but etcd goes on when the client has said its last word: so
        # it is opened as one request, and needs no second thread that waits for more to send.
        open_stream = _callable(channel.unary_stream, WATCH)
        self._stream = open_stream(
            WATCH.request(create_request=create), metadata=_NEEDS_LEADER + login
        )
        if self._ended.is_set():  # by a close() that did not see this stream
            self._stream.cancel()
        return self._stream

    def _read(self, stream: Any) -> None:
        for answer in stream:
            if self._cannot_resume(answer):
                stream.cancel()
                self._relist()
                return
            for change in _changes(answer.events):
                self._tell(change, change.revision)

    def _cannot_resume(self, answer: Any) -> bool:
        """Compacted, or wiped: then the store is younger than what we have seen of it."""
        wiped = answer.created and answer.header.revision < self._next - 1
        return bool(answer.compact_revision) or wiped

    def _relist(self) -> None:
        request = RANGE.request(**_range_fields(*self._watched))
        try:
            listing = _listing(self._cluster.call(RANGE, request))
        except StoreUnavailable:
            return  # the stream is opened again, and leads here again
        self._tell(Relisted(listing), listing.revision)

    def _tell(self, news: Changed | Relisted, revision: int) -> None:
        self._next = revision + 1
        if not self._ended.is_set():
            self._deliver(news)


class EtcdLease:
    """A lease and the thread that renews it."""

    def __init__(self, cluster: _Cluster, id: int, ttl_s: float, on_lost: Callable[[], None]):
        self.id = id
        self.ttl_s = ttl_s
        self._cluster = cluster
        self._on_lost = on_lost
        self._ended = threading.Event()
        cluster.spawn(f"lease {id:x}", self._run, self._ended)

    def revoke(self) -> None:
        """End it and delete its keys; `on_lost` is not called."""
        self._ended.set()
        with suppress(LeaseGone):
            self._cluster.call(REVOKE, REVOKE.request(ID=self.id))

    def _run(self) -> None:
        due = monotonic() + self.ttl_s / 3
        while not self._ended.wait(max(0.0, due - monotonic())):
            due = monotonic() + self.ttl_s / 3  # from the question on: its answer may be slow
            try:
                alive = self._renew()
            except ElasticError:  # silence is no verdict: the store may yet know the lease
                due = monotonic() + self._cluster.settings.retry_s
                continue
            if not alive and not self._ended.is_set():
                self._ended.set()
                self._on_lost()

    def _renew(self) -> bool:
        # A stream in etcd's API; one request and one answer of it are a plain call on the wire.
        # What gets no answer is asked again before it is too late.
        within_s = min(self.ttl_s / 3, self._cluster.settings.timeout_s)
        answer = self._cluster.call(KEEP_ALIVE, KEEP_ALIVE.request(ID=self.id), within_s)
        return bool(answer.TTL > 0)


# -- endpoints ---------------------------------------------------------------------------------


class _Cluster:
    """The endpoints, a channel to each, and which of them answered last."""

    def __init__(self, endpoints: Sequence[str], settings: StoreSettings, login: EtcdLogin):
        self.settings = settings
        self._login, self._token = login, ""
        self._endpoints = _checked(endpoints)
        options = _channel_options(settings)
        self._channels = [_channel(name, login, options) for name in self._endpoints]
        self._current = 0
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._running: list[tuple[threading.Thread, threading.Event]] = []

    def call(self, rpc: Method, request: Any, within_s: float | None = None) -> Any:
        """Return the first answer of an endpoint, by default within `timeout_s` of the settings."""
        failures: dict[str, str] = {}
        for place, timeout_s in self._attempts(within_s or self.settings.timeout_s):
            try:
                answer = self._invoke(place, rpc, request, timeout_s)
            except grpc.RpcError as error:
                failures[self._endpoints[place]] = self._blame(place, rpc, error)
                continue
            # An attempt that seemed to fail may have been applied, and then be the very reason
            # why the compares of this one did not hold: a "no" would be a lie.
            if not (failures and rpc is TXN and not answer.succeeded):
                return answer
            failures[self._endpoints[place]] = "compares fail after an attempt of unknown fate"
            break
        raise self._unavailable(failures)

    def follow(
        self, open_stream: Callable[[grpc.Channel, _Metadata], Any], read: Callable[[Any], None]
    ) -> None:
        """Read a stream of the current endpoint until it breaks."""
        place = self._current
        try:
            self._token = ""  # etcd does not say so when a watch comes with one that has run out
            login = self._metadata(place, self.settings.timeout_s)
            read(open_stream(self._channels[place], login))
        except grpc.RpcError:
            self._leave(place)
        except ValueError:  # how gRPC says that the channel is closed
            if not self._closed.is_set():
                raise

    def spawn(self, name: str, run: Callable[[], None], ended: threading.Event) -> None:
        """Run something in a thread until `ended`, which close() sets too."""
        thread = threading.Thread(target=run, name=f"elastic-store {name}", daemon=True)
        with self._lock:
            self._check_open()
            self._running = [pair for pair in self._running if pair[0].is_alive()]
            self._running.append((thread, ended))
            thread.start()

    def close(self) -> None:
        """End all threads and channels."""
        with self._lock:
            self._closed.set()
            running, self._running = self._running, []
        for _, ended in running:
            ended.set()
        for channel in self._channels:
            channel.close()
        for thread, _ in running:
            if thread is not threading.current_thread():
                thread.join(self.settings.timeout_s)

    def _attempts(self, within_s: float) -> Iterator[tuple[int, float]]:
        """Yield (endpoint, timeout): a fair share of the time left, round after round."""
        end = monotonic() + within_s
        while True:
            for share in range(len(self._channels), 0, -1):
                left_s = end - monotonic()
                if left_s <= 0 or self._closed.is_set():
                    return
                yield self._current, left_s / share
            self._closed.wait(self.settings.retry_s)

    def _invoke(self, place: int, rpc: Method, request: Any, timeout_s: float) -> Any:
        try:
            return self._once(place, rpc, request, timeout_s)
        except grpc.RpcError as error:
            if not (self._login.user and _token_is_stale(error)):
                raise
            self._token = ""
            return self._once(place, rpc, request, timeout_s)

    def _metadata(self, place: int, timeout_s: float) -> _Metadata:
        """Return what shows who we are, after asking for a token if there is a user but none."""
        if not self._login.user:
            return ()
        if not self._token:
            who = AUTHENTICATE.request(name=self._login.user, password=self._login.password)
            ask = _callable(self._channels[place].unary_unary, AUTHENTICATE)
            self._token = ask(who, timeout=timeout_s).token
        return (("token", self._token),)

    def _once(self, place: int, rpc: Method, request: Any, timeout_s: float) -> Any:
        try:
            login = self._metadata(place, timeout_s)
            invoke = _callable(self._channels[place].unary_unary, rpc)
            return invoke(request, timeout=timeout_s, metadata=login)
        except ValueError:  # how gRPC says that the channel is closed
            self._check_open()
            raise

    def _blame(self, place: int, rpc: Method, error: grpc.RpcError) -> str:
        """Return what failed, and move on to another endpoint.

        Raises:
            ElasticError: no endpoint can do better.
        """
        text = f"{error.code().name}: {error.details()}"
        final = AuthError if _is_about_users(error) else _FINAL.get(error.code())
        if final is not None:
            raise final(f"etcd at {self._endpoints[place]} refuses {rpc.path}: {text}") from None
        self._leave(place)
        return text

    def _leave(self, place: int) -> None:
        if self._current == place:  # else another thread has already moved on
            self._current = (place + 1) % len(self._channels)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise StoreUnavailable(f"the store at {','.join(self._endpoints)} is closed")

    def _unavailable(self, failures: dict[str, str]) -> StoreUnavailable:
        self._check_open()
        tried = "; ".join(f"{name}: {text}" for name, text in failures.items())
        return StoreUnavailable(
            f"the store expects an answer within {self.settings.timeout_s:g} s, got none from "
            f"{tried}; it will be tried again, or check --rdzv-endpoint"
        )


def _channel(endpoint: str, login: EtcdLogin, options: Sequence[tuple[str, int]]) -> grpc.Channel:
    if login.tls is None:
        return grpc.insecure_channel(endpoint, options)
    ca, cert, key = login.tls.pem()
    return grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(ca, key, cert), options)


def _token_is_stale(error: grpc.RpcError) -> bool:
    """Etcd forgets tokens: when it starts again, after minutes, after a change of users."""
    said = str(error.details())
    return "invalid auth token" in said or "revision of auth store is old" in said


def _is_about_users(error: grpc.RpcError) -> bool:
    said = str(error.details())
    return "authentication failed" in said or "authentication is not enabled" in said


def _checked(endpoints: Sequence[str]) -> tuple[str, ...]:
    for endpoint in endpoints:
        host, _, port = endpoint.rpartition(":")
        if not host or "/" in host or not (port.isdecimal() and 0 < int(port) < 65536):
            raise ConfigError(f"an endpoint of the store is host:port, got {endpoint!r}")
    if not endpoints:
        raise ConfigError("the store expects an endpoint, got none; give host:port of an etcd")
    return tuple(endpoints)


def _channel_options(settings: StoreSettings) -> list[tuple[str, int]]:
    def ms(seconds: float) -> int:
        return round(1000 * seconds)

    return [
        # gRPC would wait up to two minutes between attempts to connect, and twenty seconds for one.
        ("grpc.initial_reconnect_backoff_ms", ms(settings.reconnect_s)),
        ("grpc.max_reconnect_backoff_ms", ms(settings.reconnect_s)),
        ("grpc.min_reconnect_backoff_ms", ms(settings.connect_timeout_s)),
        # A host that vanished without a word must not leave a watch waiting for ever. An answer
        # is awaited by the first of these two in older releases of gRPC, by the second in newer.
        ("grpc.keepalive_time_ms", ms(settings.keepalive_s)),
        ("grpc.keepalive_timeout_ms", ms(settings.timeout_s)),
        ("grpc.http2.ping_timeout_ms", ms(settings.timeout_s)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ("grpc.enable_http_proxy", 0),  # the store is near; an http_proxy is for the web
    ]


# -- our words to etcd's and back --------------------------------------------------------------


def _callable(kind: Callable[..., Any], rpc: Method) -> Any:
    return kind(
        rpc.path,
        request_serializer=rpc.request.SerializeToString,
        response_deserializer=rpc.response.FromString,
    )


def _range_fields(key: str, prefix: bool) -> dict[str, bytes]:
    """Return etcd's half-open range; that of a prefix ends at the next string of its length."""
    first = key.encode()
    if not prefix:
        return {"key": first}
    return {"key": first, "range_end": first[:-1] + bytes([first[-1] + 1])}  # UTF-8 has no 0xFF


def _compare(compare: Compare) -> Any:
    etcd = message("etcdserverpb.Compare")
    key = compare.key.encode()
    match compare:
        case ModifiedIs(revision=revision):
            return etcd(key=key, target=etcd.MOD, result=etcd.EQUAL, mod_revision=revision)
        case Exists():
            return etcd(key=key, target=etcd.VERSION, result=etcd.GREATER, version=0)
        case Absent():
            return etcd(key=key, target=etcd.VERSION, result=etcd.EQUAL, version=0)
        case ValueIs(value=value):
            return etcd(key=key, target=etcd.VALUE, result=etcd.EQUAL, value=value)


def _request_op(op: Op) -> Any:
    etcd = message("etcdserverpb.RequestOp")
    match op:
        case Put():
            fields = {"key": op.key.encode(), "value": op.value, "lease": op.lease or 0}
            return etcd(request_put=fields)
        case Delete(key, prefix):
            return etcd(request_delete_range=_range_fields(key, prefix))
        case Get(key, prefix):
            return etcd(request_range=_range_fields(key, prefix))


def _txn_result(answer: Any) -> TxnResult:
    revision = answer.header.revision
    reads = [
        r.response_range for r in answer.responses if r.WhichOneof("response") == "response_range"
    ]
    listings = tuple(Listing(revision, tuple(map(_key_value, read.kvs))) for read in reads)
    return TxnResult(answer.succeeded, revision, listings)


def _listing(answer: Any) -> Listing:
    return Listing(answer.header.revision, tuple(map(_key_value, answer.kvs)))


def _key_value(kv: Any) -> KeyValue:
    # nothing of ours: a key that another program has left is seen, refused and named
    return KeyValue(kv.key.decode(errors="replace"), kv.value, kv.create_revision, kv.mod_revision)


def _changes(events: Sequence[Any]) -> Iterator[Changed]:
    """Yield a change for each revision; an answer of etcd may hold several."""
    put = message("mvccpb.Event").PUT
    for revision, group in groupby(events, key=lambda event: event.kv.mod_revision):
        of_revision = list(group)
        puts = tuple(_key_value(event.kv) for event in of_revision if event.type == put)
        deletes = tuple(
            event.kv.key.decode(errors="replace") for event in of_revision if event.type != put
        )
        yield Changed(revision, puts, deletes)
