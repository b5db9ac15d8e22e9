"""Who may open a stream: hellos, proofs of the job's token, and hellos that come twice. No gRPC.

Each side proves that it knows the job's token by an HMAC of what the other cannot have chosen
alone: the token never travels. What a listener says of a generation is signed over the caller's
nonce: a stranger at the address of a member that is gone can break a connection, and do no more.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass

from elastic.wire import Vocabulary

__all__ = [
    "FETCH",
    "GENERATION",
    "HELLO",
    "MAX_HELLO_BYTES",
    "NOTE",
    "PROOF",
    "SUBSCRIBE",
    "VERSION",
    "VOCABULARY",
    "Hello",
    "Nonces",
    "Note",
    "Prover",
    "equal",
]

VERSION = 2
MAX_HELLO_BYTES = 4096
_SERVICE = "/elastic.Collectives/"
SUBSCRIBE, FETCH, NOTE = _SERVICE + "Subscribe", _SERVICE + "Fetch", _SERVICE + "Note"
"""The calls: of a member for its stream, of a newcomer for its feed, and for either's note."""
HELLO, PROOF, GENERATION = "elastic-hello-bin", "elastic-proof", "elastic-generation"
"""The metadata of a call: what opens it; with its end, the generation that is the reason."""


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
    nonce: str
    address: str = ""


VOCABULARY = Vocabulary([Hello, Note])


class Prover:
    """What only one who has the job's token can make; without a token all can."""

    def __init__(self, token: str | None):
        self._token = (token or "").encode()

    def hello(self, method: str, data: bytes) -> str:
        """Return the proof that comes with the hello `data` of a call of `method`."""
        return self._of(method.encode(), data).hex()

    def welcome(self, nonce: str) -> bytes:
        """Return what a listener says first to a caller that it admits."""
        return self._of(b"welcome", nonce.encode())

    def generation(self, nonce: str, generation: int) -> str:
        """Return the proof of who tells a caller that this listener is in `generation`."""
        return self._of(b"generation", f"{nonce} {generation}".encode()).hex()

    def _of(self, what: bytes, data: bytes) -> bytes:
        return hmac.digest(self._token, what + b" " + data, hashlib.sha256)


def equal(one: str, other: str) -> bool:
    """Return whether two proofs are equal, in the same time whatever they are."""
    return hmac.compare_digest(one.encode(errors="replace"), other.encode(errors="replace"))


class Nonces:
    """Refuses hellos that were recorded on the way and come again.

    A source's hellos come in the order of its generations, so those of the newest are enough.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, set[str]]] = {}

    def is_new(self, hello: Hello | Note) -> bool:
        """Return whether this hello was not here before, and remember it."""
        newest, nonces = self._seen.get(hello.source, (-1, set()))
        if hello.generation < newest or (hello.generation == newest and hello.nonce in nonces):
            return False
        if hello.generation > newest:
            nonces = set()
        nonces.add(hello.nonce)
        self._seen[hello.source] = hello.generation, nonces
        return True

    def forget(self, generation: int, keep: Collection[str]) -> None:
        """Drop those of earlier generations, whose sources in `keep` alone are still admitted."""
        self._seen = {
            source: seen
            for source, seen in self._seen.items()
            if source in keep or seen[0] >= generation
        }
