"""Random numbers that depend on where they are drawn, not on who draws them (PROTOCOL B3).

Before each micro-batch, each `update` and each fetch of a sample, Python's `random`, `numpy.random`
and our own generator are seeded with a hash of the place. So a micro-batch computed again after a
loss, or by another worker, draws the same numbers.

The hash is BLAKE2b of 8 bytes over four little-endian 64-bit words: the seed modulo 2 ** 64, the
kind of place, and the place: 1 and (step, leaf) for a micro-batch, 2 and (step, 0) for an update,
3 and (epoch, position) for a sample.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from struct import Struct
from typing import Any

import numpy as np

import elastic.tensor as torch

__all__ = ["capture", "derive", "restore", "restored", "seed_leaf", "seed_sample", "seed_update"]

_LEAF, _UPDATE, _SAMPLE = 1, 2, 3
_pack = Struct("<QQQQ").pack
_MASK = (1 << 64) - 1


def derive(seed: int, kind: int, a: int, b: int) -> int:
    """Return the 64-bit seed of a place."""
    return int.from_bytes(
        blake2b(_pack(seed & _MASK, kind, a, b), digest_size=8).digest(), "little"
    )


def seed_leaf(seed: int, step: int, leaf: int) -> None:
    """Seed all streams for one micro-batch of a step."""
    _seed_all(derive(seed, _LEAF, step, leaf))


def seed_update(seed: int, step: int) -> None:
    """Seed all streams for a step's `update`."""
    _seed_all(derive(seed, _UPDATE, step, 0))


def seed_sample(seed: int, epoch: int, position: int) -> None:
    """Seed all streams for the fetch of the sample at a position of an epoch."""
    _seed_all(derive(seed, _SAMPLE, epoch, position))


def _seed_all(seed: int) -> None:
    # The streams of numpy and ours are both MT19937 of 32 bits: other halves, or they would be one.
    random.seed(seed)
    np.random.seed(seed >> 32)
    torch.manual_seed(seed & 0xFFFFFFFF)


def capture() -> dict[str, Any]:
    """Return the state of all streams, as plain values and arrays."""
    version, words, gauss = random.getstate()
    return {
        "python": [version, np.array(words, np.uint32), gauss],
        "numpy": list(np.random.get_state()),
        "tensor": torch.get_rng_state().numpy().copy(),
    }


def restore(streams: dict[str, Any]) -> None:
    """Put the streams back to what `capture` returned."""
    version, words, gauss = streams["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    np.random.set_state(tuple(streams["numpy"]))
    torch.set_rng_state(torch.from_numpy(np.array(streams["tensor"])))


@contextmanager
def restored() -> Iterator[None]:
    """Run the block with streams of its own: afterwards they are what they were before."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
