"""Messages between members over gRPC.

Who wants to receive opens the stream: each member listens, and reads from every other one through
a call of its own, `Subscribe(hello) -> stream of frames`. So a listener takes in nothing but small
hellos, and what it sends goes to members of the job only. A stream that ends well is a goodbye, and
comes after all that was sent; any other end is a lost peer, told by the reader alone.

The reader's thread polls its connection itself (SingleThreadedUnaryStream), which saves a hand-over
a message. Measured, four processes that exchange 1 KB on two cores: 0.6 ms CPU a round and process;
streams of requests with threads or `grpc.aio`, one or two for each pair, 0.7 to 0.8 ms.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # nothing forks after gRPC (PROTOCOL P1)

import grpc
import grpc.experimental

from elastic.collectives.frames import Assembler, Message
from elastic.collectives.outbox import Ending, Outbox
from elastic.collectives.settings import GroupSettings
from elastic.errors import AuthError, ConfigError
from elastic.wire import Vocabulary
from elastic.world import Member

__all__ = ["Hello", "Inbox", "Transport"]

VERSION = 1
SERVICE = "/elastic.Collectives/"
METHOD = SERVICE + "Subscribe"
FETCH = SERVICE + "Fetch"
NOTE = SERVICE + "Note"
PROOF = "elastic-proof"
GENERATION = "elastic-generation"
MAX_HELLO_BYTES = 4096
FRAME_MARGIN_BYTES = 1 << 20
"""Headers of large messages: tag, and 8 bytes a blob."""
CLOSE_TIMEOUT_S = 0.5


@dataclass(frozen=True)
class Hello:
    """What opens a stream (PROTOCOL P4): send me, `source`, what you, `target`, have for me."""

    version: int
    job: str
    source: str
    target: str
    generation: int
    nonce: str


@dataclass(frozen=True)
class Note:
    """A word between a member and a newcomer, who have no round in common (S9).

    With an address: `source` has State for you there, in a feed. Without: it is at `step`.
    """

    version: int
    job: str
    source: str
    target: str
    generation: int
    step: int
    address: str = ""


VOCABULARY = Vocabulary([Hello])
NOTES = Vocabulary([Note])


class Inbox(Protocol):
    """Who hears of what the transport receives; called from its threads."""

    def message(self, source: str, message: Message) -> None:
        """A message is wholly here."""

    def lost(self, id: str, reason: str) -> None:
        """The connection to a peer broke or was refused."""

    def left(self, id: str) -> None:
        """A peer said goodbye."""

    def superseded(self, id: str, generation: int, reason: str) -> None:
        """A peer has entered a newer generation without this member."""

    def wait_readable(self, source: str) -> None:
        """Return when more may be read from `source`."""

    def note(self, note: Note) -> None:
        """A word of a newcomer, or for one."""


class Transport:
    """One member's door: its server, an outbox for each peer, a reader for each peer.

    Raises:
        ConfigError: there is no token, and `bind` is not a loopback address (PROTOCOL P3).
    """

    def __init__(
        self,
        job: str,
        token: str | None,
        bind: str,
        inbox: Inbox,
        settings: GroupSettings,
    ):
        self.job = job
        self.inbox = inbox
        self.settings = settings
        self.me = ""
        self.generation = -1
        self.strangers = 0
        """Calls refused for want of the job's token."""
        self._token = (token or "").encode()
        self._former: set[str] = set()
        self._peers: frozenset[str] = frozenset()
        self._outboxes: dict[str, Outbox] = {}
        self._readers: dict[str, Reader] = {}
        self.feeds: dict[str, Outbox] = {}
        """What is on its way to newcomers, beside all rounds."""
        self._note_channels: dict[str, Any] = {}
        self._notes: set[Any] = set()
        self._changed = threading.Condition()
        host, port = _split_bind(bind, secret=bool(token))
        self._server = grpc.server(_DaemonThreads(), [_Doors(self)], options=_options(settings))
        try:
            port = self._server.add_insecure_port(f"{_bracket(host)}:{port}")
        except RuntimeError as error:
            raise ConfigError(f"collectives cannot listen on {bind}: {error}") from None
        self.address = f"{_bracket(_reachable(host))}:{port}"
        self._server.start()

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
        self._drop_readers(keep=set(addresses))
        self._drop_outboxes(keep=set(addresses))
        for id, address in addresses.items():
            if broken:
                self.outbox(id).purge(generation)
            if id not in self._readers or not self._readers[id].alive:
                self._readers[id] = Reader(self, id, address, self._hello(id))

    def outbox(self, id: str) -> Outbox:
        """Return what is on its way to a member."""
        with self._changed:
            return self._outboxes.setdefault(id, Outbox())

    def abandon(self) -> None:
        """Send no more of what is on its way."""
        for outbox in list(self._outboxes.values()):
            outbox.abandon()

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
        nonce = secrets.token_hex(16)
        hello = Hello(VERSION, self.job, self.me, source, generation, nonce)
        return Reader(self, source, address, hello, inbox, FETCH)

    def note(self, to: str, address: str, generation: int, step: int, mine: str = "") -> None:
        """Send a note, and do not wait; if it is lost, whoever misses it does without."""
        request = NOTES.encode(Note(VERSION, self.job, self.me, to, generation, step, mine))
        with self._changed:
            channel = self._note_channels.get(address)
            if channel is None:
                channel = grpc.insecure_channel(address, _options(self.settings))
                self._note_channels[address] = channel
        proof = ((PROOF, self.proof(request).hex()),)
        with suppress(ValueError):  # the channel was closed meanwhile: the note is of the past
            note = channel.unary_unary(NOTE).future(
                request, timeout=self.settings.connect_timeout_s, metadata=proof
            )
            self._notes.add(note)  # gRPC cancels a call that nobody holds
            note.add_done_callback(self._notes.discard)

    def _drop_note_channels(self) -> None:
        with self._changed:
            channels, self._note_channels = self._note_channels, {}
        for channel in channels.values():
            channel.close()

    # -- the two ends of a hello ---------------------------------------------------------------

    def _hello(self, target: str) -> Hello:
        nonce = secrets.token_hex(16)
        return Hello(VERSION, self.job, self.me, target, self.generation, nonce)

    def proof(self, data: bytes) -> bytes:
        """Return what only one who has the job's token can make of `data`."""
        return hmac.digest(self._token, data, hashlib.sha256)

    def admit(self, request: bytes, proof: str, words: Vocabulary = VOCABULARY) -> Any:
        """Return the Hello (or Note) of a process of this job, else the Ending of the call."""
        if not hmac.compare_digest(self.proof(request).hex().encode(), proof.encode()):
            with self._changed:
                self.strangers += 1
            return Ending("UNAUTHENTICATED", "the job's token is wrong or missing")
        try:
            hello = words.decode(request)
        except ValueError as error:
            return Ending("INVALID_ARGUMENT", f"a garbled hello: {error}")
        mine = f"version {VERSION}, job {self.job!r}"
        if (theirs := f"version {hello.version}, job {hello.job!r}") != mine:
            return Ending("INVALID_ARGUMENT", f"{mine} here, not {theirs}")
        return self._why_not(hello) or hello

    def _why_not(self, hello: Hello | Note) -> Ending | None:
        with self._changed:  # a member may be known to others a moment before it knows its own id
            self._changed.wait_for(
                lambda: hello.target == self.me or hello.target in self._former,
                self.settings.connect_timeout_s,
            )
            if hello.target != self.me:
                return Ending("NOT_FOUND", f"{hello.target} is {self.me} now")
            if hello.generation < self.generation and hello.source not in self._peers:
                over = f"generation {hello.generation} is over"
                return Ending("FAILED_PRECONDITION", over, self.generation)
        return None


# -- sending -----------------------------------------------------------------------------------


class _Doors(grpc.GenericRpcHandler):
    """The service: who calls, and what it gets."""

    def __init__(self, transport: Transport):
        self._transport = transport
        self._handlers = {
            METHOD: grpc.unary_stream_rpc_method_handler(self._subscribe),
            FETCH: grpc.unary_stream_rpc_method_handler(self._fetch),
            NOTE: grpc.unary_unary_rpc_method_handler(self._note),
        }

    def service(self, details: Any) -> Any:
        """Return the handler of a call; None for a method that does not exist."""
        return self._handlers.get(details.method)

    def _admit(self, request: bytes, context: grpc.ServicerContext, *words: Vocabulary) -> Any:
        metadata = dict(context.invocation_metadata())
        return self._transport.admit(request, str(metadata.get(PROOF, "")), *words)

    def _note(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        note = self._admit(request, context, NOTES)
        if isinstance(note, Ending):
            _end(context, note)
        else:
            self._transport.inbox.note(note)
        return b""

    def _fetch(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        hello = self._admit(request, context)
        feed = None if isinstance(hello, Ending) else self._transport.feeds.get(hello.source)
        if feed is None or feed.generation != hello.generation:
            over = Ending("FAILED_PRECONDITION", "there is no such feed")
            _end(context, hello if isinstance(hello, Ending) else over)
            return
        yield from self._stream(hello, feed, context)

    def _subscribe(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        hello = self._admit(request, context)
        if isinstance(hello, Ending):
            _end(context, hello)
            return
        yield from self._stream(hello, self._transport.outbox(hello.source), context)

    def _stream(
        self, hello: Hello, outbox: Outbox, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        queue = outbox.subscribe(hello.generation)
        if isinstance(queue, Ending):
            _end(context, queue)
            return
        if not context.add_callback(lambda: outbox.hang_up(queue)):
            return  # it has hung up already
        yield self._transport.proof(b"welcome " + hello.nonce.encode())
        yield from outbox.frames(queue)
        _end(context, outbox.ending)


def _end(context: grpc.ServicerContext, ending: Ending) -> None:
    if ending.generation is not None:
        context.set_trailing_metadata(((GENERATION, str(ending.generation)),))
    context.set_code(grpc.StatusCode[ending.code])
    context.set_details(ending.reason)


# -- receiving ---------------------------------------------------------------------------------


class Reader:
    """Reads from one peer, in a thread of its own, until the stream ends or is closed."""

    def __init__(
        self,
        transport: Transport,
        peer: str,
        address: str,
        hello: Hello,
        inbox: Inbox | None = None,
        method: str = METHOD,
    ):
        self.alive = True
        self._transport = transport
        self._inbox = inbox or transport.inbox
        self._peer = peer
        self._welcome = transport.proof(b"welcome " + hello.nonce.encode())
        self._closing = False
        self._late = False
        self._channel = grpc.insecure_channel(address, _options(transport.settings, reader=True))
        request = VOCABULARY.encode(hello)
        self._call = self._channel.unary_stream(method)(
            request,
            metadata=((PROOF, transport.proof(request).hex()),),
            wait_for_ready=transport.settings.patient,
        )
        name = f"elastic-read-{peer}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the stream; nobody is suspected."""
        self._closing = True
        self._call.cancel()

    def _run(self) -> None:
        tell: Callable[[], None]
        try:
            self._shake_hands()
            self._read()
            tell = partial(self._inbox.left, self._peer)
        except grpc.RpcError:
            tell = self._verdict()
        except (ValueError, AuthError) as error:
            tell = self._lost(str(error))
        self.alive = False
        self._call.cancel()
        self._channel.close()
        if not self._closing:
            tell()

    def _shake_hands(self) -> None:
        timer = threading.Timer(self._transport.settings.connect_timeout_s, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            welcome = next(self._call)
        except StopIteration:
            return
        finally:
            timer.cancel()
        if not hmac.compare_digest(welcome, self._welcome):
            raise AuthError(f"who answers at the address of {self._peer} has not the job's token")

    def _read(self) -> None:
        assembler = Assembler(self._transport.settings.max_message_bytes)
        for frame in self._call:
            message = assembler.feed(frame)
            if message:
                self._inbox.message(self._peer, message)
                self._inbox.wait_readable(self._peer)

    def _give_up(self) -> None:
        self._late = True
        self._call.cancel()

    def _lost(self, reason: str) -> Callable[[], None]:
        return partial(self._inbox.lost, self._peer, f"member {self._peer}: {reason}")

    def _verdict(self) -> Callable[[], None]:
        """Return what the inbox is told about a stream that broke."""
        code, details = self._call.code(), self._call.details()
        if self._late:
            return self._lost(f"no answer in {self._transport.settings.connect_timeout_s} s")
        if code is grpc.StatusCode.FAILED_PRECONDITION:
            trailing = dict(self._call.trailing_metadata() or ())
            generation = int(trailing.get(GENERATION, 0))
            return partial(self._inbox.superseded, self._peer, generation, str(details))
        # A stranger may sit where a member was, so no refusal is more than a suspicion.
        return self._lost(f"{code.name.lower()}: {details}")


# -- gRPC's own matters ------------------------------------------------------------------------


class _DaemonThreads(Executor):
    """A thread for each call. ThreadPoolExecutor's threads would keep a process from ending."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future:
        """Run a call in a new thread."""
        future: Future = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it is the future's to raise
                future.set_exception(error)

        threading.Thread(target=run, name="elastic-send", daemon=True).start()
        return future


def _options(settings: GroupSettings, reader: bool = False) -> list[tuple[str, Any]]:
    keepalive_ms = int(settings.keepalive_s * 1000)
    connect_ms = int(settings.connect_timeout_s * 1000)
    frame_bytes = settings.chunk_bytes + FRAME_MARGIN_BYTES
    options = [
        ("grpc.max_send_message_length", MAX_HELLO_BYTES if reader else frame_bytes),
        ("grpc.max_receive_message_length", frame_bytes if reader else MAX_HELLO_BYTES),
        ("grpc.http2.max_frame_size", 16777215),  # measured: two to three times the bandwidth
        ("grpc.http2.bdp_probe", 0),  # a stream is at full speed at once, also after a recovery
        ("grpc.http2.lookahead_bytes", 4 * settings.chunk_bytes),
        ("grpc.so_reuseport", 0),  # two members must never share a port
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", keepalive_ms // 2),
    ]
    if not reader:
        return options
    return [
        *options,
        ("grpc.use_local_subchannel_pool", 1),  # no back-off inherited from an earlier reader
        ("grpc.initial_reconnect_backoff_ms", 50),
        (
            "grpc.min_reconnect_backoff_ms",
            2 * connect_ms,
        ),  # an attempt may take this: our timer ends first
        ("grpc.max_reconnect_backoff_ms", 500),
        (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
    ]


def _split_bind(bind: str, secret: bool) -> tuple[str, int]:
    """Return host and port (0: any) of 'host' or 'host:port'."""
    host, colon, port = bind.rpartition(":")
    if not colon or (bind.count(":") > 1 and not bind.startswith("[")):
        host, port = bind, "0"
    host = host.strip("[]")
    if not secret and not _is_loopback(host):
        raise ConfigError(
            f"collectives listen on {host} only with a job token, and there is none; "
            "give the same ELASTIC_TOKEN to all, or bind to 127.0.0.1"
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _reachable(host: str) -> str:
    """Return how others reach what listens on `host`."""
    return socket.gethostname() if host in ("0.0.0.0", "::") else host


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
