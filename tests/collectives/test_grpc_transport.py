"""The door: what a stranger may try, how streams end, and who gets what was sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from elastic.collectives.frames import Header, Outgoing
from elastic.collectives.grpc_transport import (
    METHOD,
    PROOF,
    VERSION,
    VOCABULARY,
    Hello,
    Transport,
    _split_bind,
)
from elastic.collectives.settings import GroupSettings
from elastic.errors import ConfigError
from elastic.world import Member

HELLO = Hello(VERSION, "job", "b", "a", 1, "nonce")


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


def call(transport: Transport, request: bytes, proof: bytes | None = None, method: str = METHOD):
    """The stream that a hello opens, from outside."""
    channel = grpc.insecure_channel(transport.address)
    proof = transport.proof(request) if proof is None else proof
    stream = channel.unary_stream(method)(request, metadata=((PROOF, proof.hex()),), timeout=10)
    yield from stream
    channel.close()


def hello(**changes: Any) -> bytes:
    return VOCABULARY.encode(dataclasses.replace(HELLO, **changes))


def message(generation: int = 1, text: bytes = b"") -> Outgoing:
    return Outgoing(Header(generation, 0, 0, "tag"), [memoryview(text)], chunk_bytes=100)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"", "INVALID_ARGUMENT"),
        (b"\xff\x00 no JSON", "INVALID_ARGUMENT"),
        (b'{"type": "Hello", "version": 1}', "INVALID_ARGUMENT"),
        (hello(version=VERSION + 1), "INVALID_ARGUMENT"),
        (hello(job="another"), "INVALID_ARGUMENT"),
        (hello(target="nobody"), "NOT_FOUND"),
        (hello(generation=0), "FAILED_PRECONDITION"),
        (hello(nonce="x" * 5000), "RESOURCE_EXHAUSTED"),
    ],
)
def test_a_bad_hello_is_refused(transport, request_, code):
    """P4"""
    with pytest.raises(grpc.RpcError) as caught:
        list(call(transport, request_))
    assert caught.value.code().name == code
    assert next(call(transport, hello()))  # the door is still open


@pytest.mark.parametrize("proof", [b"", b"x" * 32])
def test_a_stranger_is_unauthenticated_and_counted(transport, proof):
    """P3"""
    with pytest.raises(grpc.RpcError) as caught:
        list(call(transport, hello(), proof))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert transport.strangers == 1


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
    stream = call(transport, hello(generation=1))
    assert next(stream) == transport.proof(b"welcome nonce")
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


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("127.0.0.1", ("127.0.0.1", 0)),
        ("localhost:80", ("localhost", 80)),
        ("::1", ("::1", 0)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_where_to_listen(bind, expected):
    assert _split_bind(bind, secret=False) == expected


@pytest.mark.parametrize("bind", ["0.0.0.0", "10.0.0.1:80", "a-host", "::"])
def test_no_listening_beyond_loopback_without_a_token(bind):
    """P3"""
    with pytest.raises(ConfigError, match="only with a job token"):
        _split_bind(bind, secret=False)
    assert _split_bind(bind, secret=True)
