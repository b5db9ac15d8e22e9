"""The source of chance: PyTorch's CPU generator, its words and its state.

The engine is mt19937, as in numpy's RandomState.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from elastic.tensor import dtypes
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor._types import device as _device

# at::CPUGeneratorImplState, 5056 bytes: this, 624 words of 8 bytes each, and that
_HEAD = struct.Struct("<QiiQ")
_TAIL = struct.Struct("<dddixxxxfBxxx")
_WORDS = 624
_STATE_BYTES = _HEAD.size + 8 * _WORDS + _TAIL.size


class Generator:
    """A stream of random numbers with PyTorch's state."""

    def __init__(self, device: Any = "cpu"):
        self.device = _device(device)
        self._engine = np.random.RandomState(0)
        self.manual_seed(_DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Itself, started anew from `seed`. Raises: ValueError for more than 64 bits."""
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise ValueError("Overflow when unpacking long long")
        self._seed = seed & 0xFFFFFFFFFFFFFFFF
        self._engine.seed(self._seed & 0xFFFFFFFF)  # a new engine would cost thirty times as much
        self._fresh = True  # no word drawn since seeding: PyTorch's state tells this apart
        self._normal: float | None = None  # the second value of Box-Muller, kept for the next call
        return self

    def clone_state(self) -> Generator:
        """Another generator at the same place."""
        return Generator(self.device).set_state(self.get_state())

    def seed(self) -> int:
        """A new seed from the system, already in use."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed it was started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """The state as 5056 bytes, laid out as PyTorch's."""
        key, position = self._engine.get_state()[1:3]  # type: ignore[index]
        following = 0 if self._fresh else position
        left = 1 if self._fresh else 625 - position
        head = _HEAD.pack(self._seed, left, 1, following)
        valid = self._normal is not None
        tail = _TAIL.pack(0.0, self._normal or 0.0, 0.0, int(valid), 0.0, 0)
        packed = b"".join((head, key.astype("<u8").tobytes(), tail))
        return wrap(np.frombuffer(packed, np.uint8).copy())

    def set_state(self, state: Tensor) -> Generator:
        """Itself, at the place that `state` (5056 bytes) tells."""
        if state.dtype is not dtypes.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        raw = state._array.tobytes()
        if len(raw) != _STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {_STATE_BYTES} but found the input RNG "
                f"state size to be {len(raw)}"
            )
        self._seed, left, _, following = _HEAD.unpack_from(raw)
        words = np.frombuffer(raw, "<u8", _WORDS, _HEAD.size).astype(np.uint32)
        _, normal, _, valid, _, _ = _TAIL.unpack_from(raw, _HEAD.size + words.size * 8)
        self._fresh = following == 0
        position = _WORDS if left == 1 else following
        self._engine.set_state(("MT19937", words, position, 0, 0.0))
        self._normal = normal if valid else None
        return self

    # Words

    def words(self, count: int) -> np.ndarray:
        """The next `count` 32-bit words."""
        self._fresh = self._fresh and not count
        return self._engine.randint(0, 2**32, count, dtype=np.uint32)

    def long_words(self, count: int) -> np.ndarray:
        """The next `count` 64-bit words, each from two 32-bit ones, the high one first."""
        pairs = self.words(2 * count).astype(np.uint64)
        return (pairs[0::2] << np.uint64(32)) | pairs[1::2]

    def uniform32(self, count: int) -> np.ndarray:
        """float32 in [0, 1), of 24 bits each."""
        return (self.words(count) & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2**-24)

    def uniform64(self, count: int) -> np.ndarray:
        """float64 in [0, 1), of 53 bits each."""
        return (self.long_words(count) & np.uint64(2**53 - 1)).astype(np.float64) * 2.0**-53


_DEFAULT_SEED = 67280421310721
default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """The default generator, started anew from `seed`."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """A new seed of the default generator, from the system."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator was started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator, 5056 bytes."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Puts the default generator at the place that `new_state` tells."""
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Puts the default generator back to where it was when the block ends."""
    state = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(state)
