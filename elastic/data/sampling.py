"""Which samples stand where: pure index arithmetic, the same on every worker (PROTOCOL D1, B2).

An epoch is a list of indices; a step takes `batch_size` of them in order, and its micro-batch
(leaf) number i takes the i-th `batch_size / micro_batches` of those. The micro-batch size never
changes: a ragged last batch has fewer leaves, the last of them possibly smaller.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import numpy as np

from elastic.errors import DataError

__all__ = [
    "derived_seed",
    "epoch_order",
    "leaf_slices",
    "micro_batch_size",
    "order_digest",
    "steps_per_epoch",
]


def derived_seed(seed: int, epoch: int) -> int:
    """Return 64 bits for one epoch's order: blake2b of the text 'order {seed} {epoch}'."""
    digest = blake2b(f"order {seed} {epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def epoch_order(seed: int, epoch: int, n: int) -> np.ndarray:
    """Return the permutation of range(n) that belongs to (seed, epoch), as int64.

    It is numpy's `Generator(PCG64(derived_seed(seed, epoch))).permutation(n)`; numpy's version is
    part of the job's identity.
    """
    return np.random.Generator(np.random.PCG64(derived_seed(seed, epoch))).permutation(n)


def order_digest(order: np.ndarray) -> str:
    """Return a digest, hex, by which workers compare the orders that they drew."""
    return blake2b(order.astype("<i8").tobytes(), digest_size=16).hexdigest()


def steps_per_epoch(n: int, batch_size: int, drop_last: bool) -> int:
    """Return how many batches n samples make."""
    return n // batch_size if drop_last else -(-n // batch_size)


def micro_batch_size(batch_size: int, micro_batches: int) -> int:
    """Return the size of a leaf.

    Raises:
        DataError: the batch cannot be divided into equal micro-batches.
    """
    if micro_batches < 1 or batch_size % micro_batches:
        fitting = [m for m in range(1, batch_size + 1) if batch_size % m == 0]
        nearest = min(fitting, key=lambda m: abs(m - micro_batches))
        raise DataError(
            "DataLoader expects micro_batches to divide batch_size (the global one), got "
            f"batch_size={batch_size} and micro_batches={micro_batches}; "
            f"try micro_batches={nearest}"
        )
    return batch_size // micro_batches


@lru_cache(16)
def leaf_slices(
    n: int, batch_size: int, micro_batches: int, step_in_epoch: int, drop_last: bool
) -> tuple[tuple[int, int], ...]:
    """Return (start, stop) within the epoch's index list, for each leaf of a step.

    Raises:
        DataError: micro_batches does not divide batch_size.
        IndexError: the epoch has no such step.
    """
    steps = steps_per_epoch(n, batch_size, drop_last)
    if not 0 <= step_in_epoch < steps:
        raise IndexError(f"step {step_in_epoch} of an epoch of {steps} steps")
    size = micro_batch_size(batch_size, micro_batches)
    begin = step_in_epoch * batch_size
    end = min(n, begin + batch_size)
    return tuple((start, min(end, start + size)) for start in range(begin, end, size))
