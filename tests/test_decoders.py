"""Whatever the bytes, a decoder returns a message or raises its one error. PROTOCOL P4.

Whole messages are damaged in a thousand seeded ways: bits, cuts, splices, and JSON with values that
no honest sender would choose.
"""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from elastic import control
from elastic.agent.ping import Verdict, _Lines, _Silence, probe
from elastic.checkpoint import format
from elastic.checkpoint.manifest import Manifest, Part
from elastic.clock import monotonic
from elastic.collectives.admission import VERSION, VOCABULARY, Hello
from elastic.collectives.frames import Assembler, Header, Outgoing, as_bytes
from elastic.errors import CheckpointError
from elastic.rendezvous.record import Record, decode_member, encode_member
from elastic.world import Member

CASES = 1000
LIMIT_BYTES = 1 << 16

STRANGE: list[Any] = [
    None, True, -1, 1 << 70, 1e308, float("nan"), "", "\ud800", "x" * 5000, [], {}, [[]], {"": {}},
    {"type": "Hello"}, {"array": -1}, {"dict": [[1, 2], [1, 3]]}, {"float": "zz"}, {"bytes": "é"},
]  # fmt: skip
STRANGE_BYTES = [
    b"",
    b"\x00",
    b"null",
    b"\xff" * 40,
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"9" * 5000,
]

# -- the decoders ----------------------------------------------------------------------------------


def frames(data: bytes) -> Any:
    """Frames of a stream, each behind its length."""
    assembler, got = Assembler(LIMIT_BYTES), []
    while data:
        length, data = int.from_bytes(data[:2], "little"), data[2:]
        got.append(assembler.feed(data[:length]))
        data = data[length:]
    return got


def a_stream() -> bytes:
    """A small message, and a large one in chunks."""
    header = Header(3, 0, 1, "tag")
    blobs = [as_bytes(b"x" * 40), as_bytes(b""), as_bytes(b"y" * 70)]
    sent = [*Outgoing(header, blobs, 1000).frames(), *Outgoing(header, blobs, 30).frames()]
    return b"".join(len(frame).to_bytes(2, "little") + frame for frame in sent)


def ping(data: bytes) -> Any:
    """What the ping door reads of one connection."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            threading.Thread(target=_send, args=(theirs.dup(), data), daemon=True).start()
        return _Lines(ours, monotonic() + 60).receive()


def _send(line: socket.socket, data: bytes) -> None:
    with line, suppress(OSError):  # hung up on
        line.sendall(data)


def state(data: bytes) -> Any:
    """The header of a State, and its arrays as they would be there."""
    specs = format.sizes(data, LIMIT_BYTES)
    return format.unpack(data, [np.zeros(s.shape, format.DTYPES[s.dtype]) for s in specs])


TREE = {"w": np.zeros((2, 3)), "n": [1, 2.5, None, True], "t": (b"bytes", "text"), 5: np.float32(1)}
RECORD = Record(3, ("a", "b"), "why", joined=("b",), result={"steps": 3})
MANIFEST = Manifest(1, 2, "model", "lineage", 3.5, {"arrays": Part(5, "sha256:ab")})
ADMISSION = control.Admission("a", 1, None)
COMMITTED = control.Committed(3, 1.5, {"loss": 0.5}, {"step": 3})
SUSPECT = control.Suspect(1, "b", "it hung up", 0.5)
SUSPECT_ALL = control.Group(2, (Member("a", "h:1", "h:2"),), "why", lost=("b",))


@dataclass(frozen=True)
class Decoder:
    """A whole message, who reads it, and what that raises for any other."""

    whole: bytes
    decode: Callable[[bytes], Any]
    error: type[Exception] | tuple[type[Exception], ...] = ValueError


DECODERS = {
    "frames": Decoder(a_stream(), frames),
    "hello": Decoder(VOCABULARY.encode(Hello(VERSION, "j", "a", "b", 1, "n")), VOCABULARY.decode),
    "from agent": Decoder(control.FROM_AGENT.encode(SUSPECT_ALL), control.FROM_AGENT.decode),
    "from agent, short": Decoder(control.FROM_AGENT.encode(ADMISSION), control.FROM_AGENT.decode),
    "from worker": Decoder(control.FROM_WORKER.encode(COMMITTED), control.FROM_WORKER.decode),
    "a suspicion": Decoder(control.FROM_WORKER.encode(SUSPECT), control.FROM_WORKER.decode),
    "record": Decoder(RECORD.encode(), Record.decode),
    "member": Decoder(
        encode_member(Member("a", "h:1", "h:2")), lambda data: decode_member("a", data)
    ),
    "ping": Decoder(b'{"nonce": "ab", "member": "m", "proof": "cd"}\n', ping, (_Silence, OSError)),
    "state": Decoder(format.pack(TREE)[0], state, CheckpointError),
    "manifest": Decoder(MANIFEST.to_bytes(), Manifest.from_bytes, CheckpointError),
}

# -- the damage ------------------------------------------------------------------------------------


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """Return something that is near a whole message, or not at all."""
    kind = rng.randrange(6)
    data = bytearray(whole)
    if kind == 0:
        return rng.choice([rng.randbytes(rng.randrange(200)), *STRANGE_BYTES])
    if kind == 1:
        return bytes(data[: rng.randrange(len(data))])
    if kind == 2:
        at = rng.randrange(len(data))
        return bytes(data[:at] + rng.choice(STRANGE_BYTES)[:5000] + data[at:])
    if kind == 3 or not whole.startswith(b"{"):
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    return json.dumps(strange(json.loads(whole), rng)).encode() + b"\n"


def strange(value: Any, rng: random.Random) -> Any:
    """Return JSON with one value, somewhere, that should not be there."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {**value, rng.choice(["id", "", "type", key + "x"]): rng.choice(STRANGE)}
        return {**value, key: strange(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], strange(value[at], rng), *value[at + 1 :]]
    return rng.choice(STRANGE)


@pytest.mark.parametrize("name", DECODERS)
def test_whole_messages_are_read(name):
    decoder = DECODERS[name]
    decoder.decode(decoder.whole)


@pytest.mark.parametrize("name", DECODERS)
def test_any_bytes_are_a_message_or_the_one_error(name):
    """P4: nothing else is raised, and nothing is allocated that was only announced."""
    decoder = DECODERS[name]
    refused = 0
    for seed in range(CASES):
        data = damaged(decoder.whole, random.Random(seed))
        try:
            decoder.decode(data)
        except decoder.error:
            refused += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {data[:200]!r}") from error
    assert refused > CASES // 2


@pytest.mark.parametrize(
    "said", [b"", b"\n", b"{}\n" * 3, b'{"nonce": "\\ud800"}\n{"proof": "\\ud800"}\n']
)
def test_an_agent_that_speaks_nonsense_is_silent(said):
    """M6, P3: whoever answers in an agent's place, there is a verdict."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "{}:{}".format(*server.getsockname())
        threading.Thread(target=_answer_all, args=(server, said), daemon=True).start()
        verdict = probe(address, address, "m", "token", timeout_s=5.0)
    assert isinstance(verdict, Verdict)
    assert "silent" in verdict.reason


def _answer_all(server: socket.socket, said: bytes) -> None:
    try:
        while True:
            line, _ = server.accept()
            _send(line, said)
    except OSError:  # closed
        pass


@pytest.mark.parametrize(
    "address", ["", ":1", "a..b:1", "x" * 300 + ":1", "a\0b:1", "h:99999", "h"]
)
def test_an_address_that_is_none_has_a_verdict(address):
    """M6: what the store says is not to be trusted."""
    assert isinstance(probe(address, address, "m", "token", timeout_s=0.05), Verdict)
