"""Proofs of the token, and hellos that come twice. PROTOCOL P3, P4."""

from __future__ import annotations

import dataclasses
import random

import pytest

from elastic.collectives.admission import VERSION, VOCABULARY, Hello, Nonces, Prover, equal

HELLO = Hello(VERSION, "job", "b", "a", 3, "one")


def again(**changes):
    return dataclasses.replace(HELLO, **changes)


def test_proofs_differ_by_token_purpose_and_words():
    """P3: what proves one thing proves no other."""
    provers = [Prover("one"), Prover("two"), Prover(None)]
    proofs = [p.hello(m, b"n 1") for p in provers for m in ("/a", "/b")]
    proofs += [p.generation("n", 1) for p in provers] + [p.generation("n", 2) for p in provers]
    proofs += [p.welcome("n 1").hex() for p in provers] + [p.welcome("m").hex() for p in provers]
    assert len(set(proofs)) == len(proofs)
    assert equal(proofs[0], provers[0].hello("/a", b"n 1"))
    assert not equal(proofs[0], "\ud800")


def test_a_hello_is_new_once():
    """P4: one that was recorded on the way opens no stream."""
    nonces = Nonces()
    assert nonces.is_new(HELLO)
    assert not nonces.is_new(HELLO)
    assert nonces.is_new(again(nonce="two"))
    assert nonces.is_new(again(source="c"))
    assert nonces.is_new(again(generation=4))
    assert not nonces.is_new(again(nonce="three")), "its source is in generation 4"


def test_what_can_no_longer_be_admitted_is_forgotten():
    """P4: memory is bounded by the members of a generation."""
    nonces = Nonces()
    for generation in range(100):
        nonces.is_new(again(source=f"m{generation}", generation=generation))
    nonces.forget(98, keep=["m7"])
    assert set(nonces._seen) == {"m7", "m98", "m99"}
    assert not nonces.is_new(again(source="m7", generation=7))


def test_noise_is_no_hello():
    """P4: whatever the bytes, a ValueError."""
    rng, whole = random.Random(0), VOCABULARY.encode(HELLO)
    for _ in range(2000):
        bad = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        try:
            VOCABULARY.decode(bytes(bad[: rng.randint(0, len(bad))]))
        except ValueError:
            continue
    with pytest.raises(ValueError):
        VOCABULARY.decode(b"[" * 4096)
