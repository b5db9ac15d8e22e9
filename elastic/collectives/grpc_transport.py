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

import hmac
import os
import resource
import secrets
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # nothing forks after gRPC (PROTOCOL P1)

import grpc
import grpc.experimental

from elastic.clock import monotonic
from elastic.collectives.admission import (
    MAX_HELLO_BYTES,
    VERSION,
    VOCABULARY,
    Hello,
    Nonces,
    Note,
    Prover,
    equal,
)
from elastic.collectives.binding import bracket, reachable, split_bind
from elastic.collectives.frames import Assembler, Message
from elastic.collectives.outbox import Ending, Outbox
from elastic.collectives.settings import GroupSettings
from elastic.errors import AuthError, ConfigError
from elastic.telemetry.refusals import Refusals
from elastic.tls import TLSFiles
from elastic.world import Member

__all__ = ["Inbox", "Transport"]

SERVICE = "/elastic.Collectives/"
METHOD = SERVICE + "Subscribe"
FETCH = SERVICE + "Fetch"
NOTE = SERVICE + "Note"
HELLO = "elastic-hello-bin"
PROOF = "elastic-proof"
GENERATION = "elastic-generation"
FRAME_MARGIN_BYTES = 1 << 20
"""Headers of large messages: tag, and 8 bytes a blob."""
CLOSE_TIMEOUT_S = 0.5
CUT_OFF = Ending("UNAVAILABLE", "cut off for a test")
IDLE_S = 10.0
"""A connection without a stream is nobody's; members' always have one."""
STREAMS_A_CONNECTION = 4
"""A member opens one."""


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
        self._nonces = {method: Nonces() for method in (METHOD, FETCH, NOTE)}
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
        self._server = grpc.server(_DaemonThreads(), [_Doors(self)], options=_options(settings))
        try:
            port = self._add_port(f"{bracket(host)}:{port}")
        except RuntimeError as error:
            raise ConfigError(f"collectives cannot listen on {bind}: {error}") from None
        self.address = f"{bracket(reachable(host))}:{port}"
        self._server.start()

    def _add_port(self, address: str) -> int:
        if self._pem is None:
            return self._server.add_insecure_port(address)
        ca, cert, key = self._pem
        asks = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
        return self._server.add_secure_port(address, asks)

    def channel(self, address: str) -> grpc.Channel:
        """Return a connection to a member, which begins when it is first used."""
        options = _options(self.settings, reader=True)
        if self._pem is None:
            return grpc.insecure_channel(address, options)
        ca, cert, key = self._pem
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert), options)

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
                self._readers[id] = Reader(self, id, address, self._hello(id))

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
        nonce = secrets.token_hex(16)
        hello = Hello(VERSION, self.job, self.me, source, generation, nonce)
        return Reader(self, source, address, hello, inbox, FETCH)

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

    def _hello(self, target: str) -> Hello:
        nonce = secrets.token_hex(16)
        return Hello(VERSION, self.job, self.me, target, self.generation, nonce)

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


# -- sending -----------------------------------------------------------------------------------


_Told = Generator[bytes, None, Ending]
"""The frames of an answer, and how it ends."""


class _Doors(grpc.GenericRpcHandler):
    """The service: who calls, and what it gets.

    The hello is in the call's metadata, and the handler is one of streams: so its thread begins at
    once, and no stranger can hold one by keeping his request back.
    """

    def __init__(self, transport: Transport):
        self._transport = transport
        self._handlers = {
            method: grpc.stream_stream_rpc_method_handler(partial(self._answer, method, answer))
            for method, answer in (
                (METHOD, self._subscribe),
                (FETCH, self._fetch),
                (NOTE, self._note),
            )
        }

    def service(self, details: Any) -> Any:
        """Return the handler of a call; None for a method that does not exist."""
        if details.method not in self._handlers:
            self._transport.refusals.count("an unknown method")
        return self._handlers.get(details.method)

    def _answer(
        self, method: str, answer: Callable[..., _Told], _: Any, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Hand an admitted call to `answer`; how it ends is told last, with the proof."""
        metadata = dict(context.invocation_metadata())
        request, proof = metadata.get(HELLO, b""), str(metadata.get(PROOF, ""))
        hello = self._transport.admit(method, request, proof)
        ending = hello
        if not isinstance(hello, Ending):
            ending = yield from answer(hello, context)
        self._end(context, ending, request)

    def _note(self, note: Note, context: grpc.ServicerContext) -> _Told:
        self._transport.inbox.note(note)
        yield b""
        return Ending()

    def _fetch(self, hello: Hello, context: grpc.ServicerContext) -> _Told:
        feed = self._transport.feeds.get(hello.source)
        if feed is None or feed.generation != hello.generation:
            return Ending("FAILED_PRECONDITION", "there is no such feed")
        return (yield from self._stream(hello, feed, context))

    def _subscribe(self, hello: Hello, context: grpc.ServicerContext) -> _Told:
        outbox = self._transport.outbox(hello.source)
        return (yield from self._stream(hello, outbox, context))

    def _stream(self, hello: Hello, outbox: Outbox, context: grpc.ServicerContext) -> _Told:
        queue = outbox.subscribe(hello.generation)
        if isinstance(queue, Ending):
            return queue
        if not context.add_callback(lambda: outbox.hang_up(queue)):
            return Ending()  # it has hung up already
        yield self._transport.prover.welcome(hello.nonce)
        yield from outbox.frames(queue)
        return outbox.ending

    def _end(self, context: grpc.ServicerContext, ending: Ending, hello: bytes) -> None:
        if ending.generation is not None:
            nonce = VOCABULARY.decode(hello).nonce
            proof = self._transport.prover.generation(nonce, ending.generation)
            context.set_trailing_metadata(((GENERATION, str(ending.generation)), (PROOF, proof)))
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
        self._nonce = hello.nonce
        self._closing = False
        self._late = False
        self._channel = transport.channel(address)
        request = VOCABULARY.encode(hello)
        self._call = self._channel.unary_stream(method)(
            b"",
            metadata=((HELLO, request), (PROOF, transport.prover.hello(method, request))),
            wait_for_ready=transport.settings.patient,
        )
        name = f"elastic-read-{peer}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the stream; nobody is suspected."""
        self._closing = True
        self._call.cancel()

    def cut(self) -> None:
        """Break the stream: the peer counts as lost."""
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
        if self._transport.is_cut_off:
            raise ValueError(CUT_OFF.reason)
        timer = threading.Timer(self._transport.settings.connect_timeout_s, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            welcome = next(self._call, b"")
        finally:
            timer.cancel()
        if not hmac.compare_digest(welcome, self._transport.prover.welcome(self._nonce)):
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
        generation = self._proven_generation()
        if code is grpc.StatusCode.FAILED_PRECONDITION and generation is not None:
            return partial(self._inbox.superseded, self._peer, generation, str(details))
        # A stranger may sit where a member was, so no refusal is more than a suspicion.
        return self._lost(f"{code.name.lower()}: {details}")

    def _proven_generation(self) -> int | None:
        """Return the newer generation that a member says it is in; a stranger's word is none."""
        trailing = {key: str(value) for key, value in self._call.trailing_metadata() or ()}
        said = trailing.get(GENERATION, "")
        if not (said.isascii() and said.isdecimal() and len(said) < 20):
            return None
        proof = self._transport.prover.generation(self._nonce, int(said))
        return int(said) if equal(proof, trailing.get(PROOF, "")) else None


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
    options = [
        ("grpc.http2.max_frame_size", 16777215),  # measured: two to three times the bandwidth
        ("grpc.http2.bdp_probe", 0),  # a stream is at full speed at once, also after a recovery
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    return options + (_reader_options(settings) if reader else _listener_options(settings))


def _listener_options(settings: GroupSettings) -> list[tuple[str, Any]]:
    """A listener takes in hellos, and no more of a stranger than it must (PROTOCOL P4)."""
    keepalive_ms = int(settings.keepalive_s * 1000)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (1 << 20) if files == resource.RLIM_INFINITY else files // 2
    return [
        ("grpc.max_send_message_length", settings.chunk_bytes + FRAME_MARGIN_BYTES),
        ("grpc.max_receive_message_length", MAX_HELLO_BYTES),
        ("grpc.max_metadata_size", MAX_HELLO_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * MAX_HELLO_BYTES),
        ("grpc.max_concurrent_streams", STREAMS_A_CONNECTION),
        ("grpc.max_allowed_incoming_connections", most),  # the rest is for the user's files
        ("grpc.server_handshake_timeout_ms", int(settings.connect_timeout_s * 1000)),
        ("grpc.max_connection_idle_ms", int(IDLE_S * 1000)),
        ("grpc.so_reuseport", 0),  # two members must never share a port
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", keepalive_ms // 2),
    ]


def _reader_options(settings: GroupSettings) -> list[tuple[str, Any]]:
    connect_ms = int(settings.connect_timeout_s * 1000)
    return [
        ("grpc.max_send_message_length", MAX_HELLO_BYTES),
        ("grpc.max_receive_message_length", settings.chunk_bytes + FRAME_MARGIN_BYTES),
        ("grpc.http2.lookahead_bytes", 4 * settings.chunk_bytes),
        ("grpc.use_local_subchannel_pool", 1),  # no back-off inherited from an earlier reader
        ("grpc.initial_reconnect_backoff_ms", 50),
        # an attempt may take this: our timer ends first
        ("grpc.min_reconnect_backoff_ms", 2 * connect_ms),
        ("grpc.max_reconnect_backoff_ms", 500),
        (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
    ]
