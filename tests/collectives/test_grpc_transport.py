"""The door: what a stranger may try, how streams end, and who gets what was sent."""

from __future__ import annotations

import dataclasses
import itertools
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from elastic.collectives.admission import (
    FETCH,
    GENERATION,
    HELLO,
    NOTE,
    PROOF,
    SUBSCRIBE,
    VERSION,
    VOCABULARY,
    Hello,
)
from elastic.collectives.frames import Header, Outgoing
from elastic.collectives.grpc_transport import Transport
from elastic.collectives.settings import GroupSettings
from elastic.world import Member

SAID = Hello(VERSION, "job", "b", "a", 1, "nonce")


class Inbox:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.told.append((name, *args))


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport("job", "secret", "127.0.0.1", Inbox(), GroupSettings(connect_timeout_s=0.2))
    made.rename("a")
    made.enter(1, [])
    yield made
    made.close()


def call(transport: Transport, request: bytes, proof: str | None = None, method: str = SUBSCRIBE):
    """The stream that a hello opens, from outside."""
    proof = transport.prover.hello(SUBSCRIBE, request) if proof is None else proof
    metadata = ((HELLO, request), (PROOF, proof))
    with grpc.insecure_channel(transport.address) as channel:
        yield from channel.unary_stream(method)(b"", metadata=metadata, timeout=10)


_nonces = itertools.count()


def hello(**changes: Any) -> bytes:
    return VOCABULARY.encode(dataclasses.replace(SAID, **{"nonce": f"{next(_nonces)}"} | changes))


def message(generation: int = 1, text: bytes = b"") -> Outgoing:
    return Outgoing(Header(generation, 0, 0, "tag"), [memoryview(text)], chunk_bytes=100)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"", "INVALID_ARGUMENT"),
        (b"\xff\x00 no JSON", "INVALID_ARGUMENT"),
        (b'{"type": "Hello", "version": 2}', "INVALID_ARGUMENT"),
        (hello(version=VERSION + 1), "INVALID_ARGUMENT"),
        (hello(job="another"), "INVALID_ARGUMENT"),
        (hello(target="nobody"), "NOT_FOUND"),
        (hello(generation=0), "FAILED_PRECONDITION"),
        (hello(nonce="x" * 9000), "RESOURCE_EXHAUSTED"),
    ],
)
def test_a_bad_hello_is_refused(transport, request_, code):
    """P4"""
    with pytest.raises(grpc.RpcError) as caught:
        list(call(transport, request_))
    assert caught.value.code().name == code
    assert next(call(transport, hello()))  # the door is still open


@pytest.mark.parametrize("method", [SUBSCRIBE, FETCH, NOTE])
@pytest.mark.parametrize("proof", ["", "x" * 64, "{}"])
def test_a_stranger_is_unauthenticated_and_counted(transport, proof, method):
    """P3"""
    with pytest.raises(grpc.RpcError) as caught:
        list(call(transport, hello(), proof, method))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert transport.refusals.total == 1


def test_a_hello_is_for_one_method(transport):
    """P3: one that was recorded on the way opens no other door."""
    request = hello()
    with pytest.raises(grpc.RpcError, match="token"):
        list(call(transport, request, transport.prover.hello(SUBSCRIBE, request), FETCH))
    with pytest.raises(grpc.RpcError, match="garbled hello: a Hello for"):
        list(call(transport, request, transport.prover.hello(NOTE, request), NOTE))


def test_a_method_that_does_not_exist(transport):
    with pytest.raises(grpc.RpcError) as caught:
        list(call(transport, hello(), method="/elastic.Collectives/Else"))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_former_id_is_refused_at_once(transport):
    transport.rename("a2")
    with pytest.raises(grpc.RpcError) as caught:
        list(call(transport, hello()))
    assert caught.value.details() == "a is a2 now"


def test_a_member_may_still_come_with_its_last_generation(transport):
    """It enters this one too; its hello was slow."""
    transport.enter(2, [Member("b", "127.0.0.1:1")])
    transport.outbox("b").put(message(2, b"new"))
    stream = call(transport, hello(generation=1, nonce="nonce"))
    assert next(stream) == transport.prover.welcome("nonce")
    assert b"new" in next(stream)


def test_a_stream_of_garbage_is_a_lost_peer(transport):
    """P4: it ends that stream alone."""
    inbox = Inbox()
    reader = Transport("job", "secret", "127.0.0.1", inbox, GroupSettings())
    try:
        reader.rename("b")
        garbage = message()
        garbage._first = b"\x07garbage"
        transport.outbox("b").put(garbage)
        reader.enter(1, [Member("a", transport.address)])
        thread_is_done(reader, "a")
        assert inbox.told == [("lost", "a", "member a: a frame of unknown kind b'\\x07'")]
    finally:
        reader.close()


def thread_is_done(transport: Transport, peer: str) -> None:
    transport._readers[peer]._thread.join(10)
    assert not transport._readers[peer].alive


# -- what was recorded on the way, and who sits where a member was -------------------------------


def test_a_hello_that_was_recorded_is_refused(transport):
    """P3, P4: replaying it neither opens a stream nor ends the one of the member that sent it."""
    recorded = hello()
    stream = call(transport, recorded)
    assert next(stream)
    for old in (recorded, hello(generation=0)):
        with pytest.raises(grpc.RpcError):
            list(call(transport, old))
    transport.outbox("b").put(message(1, b"still here"))
    assert b"still here" in next(stream)


class Impostor(grpc.GenericRpcHandler):
    """A stranger at the address of a member."""

    def __init__(self, behave: Any):
        self._handler = grpc.unary_stream_rpc_method_handler(behave)

    def service(self, details: Any) -> Any:
        """It answers everything."""
        return self._handler


def hangs_up(_: bytes, context: Any) -> Iterator[bytes]:
    """Says goodbye at once, as only a member may."""
    yield from ()


def lies(generation: str, proof: str) -> Any:
    """Says that a newer group was formed."""

    def behave(_: bytes, context: Any) -> Iterator[bytes]:
        context.set_trailing_metadata(((GENERATION, generation), (PROOF, proof)))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "it is over")
        yield b""

    return behave


@pytest.mark.parametrize(
    "behave", [hangs_up, lies("999", "00" * 32), lies("none", ""), lies("9" * 50, "é")]
)
def test_the_word_of_an_impostor_is_only_a_suspicion(behave):
    """P3: neither a goodbye nor a newer generation is believed without the token's proof."""
    server = grpc.server(ThreadPoolExecutor(1), [Impostor(behave)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    inbox = Inbox()
    reader = Transport("job", "secret", "127.0.0.1", inbox, GroupSettings())
    try:
        reader.rename("b")
        reader.enter(1, [Member("a", f"127.0.0.1:{port}")])
        thread_is_done(reader, "a")
        assert [told[0] for told in inbox.told] == ["lost"]
    finally:
        reader.close()
        server.stop(None).wait()


def test_a_member_that_was_overtaken_is_believed(transport):
    """P3: the word of a listener that has the token."""
    transport.enter(7, [])
    inbox = Inbox()
    reader = Transport("job", "secret", "127.0.0.1", inbox, GroupSettings())
    try:
        reader.rename("b")
        reader.enter(1, [Member("a", transport.address)])
        thread_is_done(reader, "a")
        assert inbox.told == [("superseded", "a", 7, "generation 1 is over")]
    finally:
        reader.close()


def test_a_request_that_never_comes_holds_no_thread(transport):
    """P4: half a call is answered at once."""
    gate = threading.Event()

    def keeps_it_back() -> Iterator[bytes]:
        gate.wait(60)
        yield b""

    with grpc.insecure_channel(transport.address) as channel:
        calls = [channel.stream_stream(SUBSCRIBE)(keeps_it_back()) for _ in range(3)]
        for each in calls:
            with pytest.raises(grpc.RpcError, match="token"):
                next(each)
        gate.set()
    assert transport.refusals.total == 3


def test_a_connection_that_says_nothing_is_hung_up_on():
    """P4: it holds its descriptor for as long as a peer may take to answer, no longer."""
    settings = GroupSettings(connect_timeout_s=0.2)
    silent = Transport("job", "secret", "127.0.0.1", Inbox(), settings)
    host, _, port = silent.address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=30) as line:
            while line.recv(4096):  # the server's side of the handshake, then the end
                pass
    finally:
        silent.close()
