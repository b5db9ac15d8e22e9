"""Drawing a user's sampler so that the same seed gives the same list, whatever it draws with."""

from __future__ import annotations

import operator
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.errors import DataError

__all__ = ["draw_under"]


def draw_under(seed: int, sampler: Iterable[int]) -> np.ndarray:
    """Return the sampler's index list, drawn with all generators seeded by `seed`.

    `random`, `numpy.random` and ours are restored afterwards; a `generator` of the sampler's own
    is seeded, too.

    Raises:
        DataError: it yields something else than as many indices as it has promised.
    """
    own = getattr(sampler, "generator", None)
    with _all_seeded(seed):
        if own is not None:
            own.manual_seed(seed)
        indices = np.array([_index(sampler, item) for item in sampler], np.int64)
    if len(indices) != len(sampler):  # type: ignore[arg-type]
        raise DataError(
            f"{type(sampler).__name__} has a length of {len(sampler)}, "  # type: ignore[arg-type]
            f"and yielded {len(indices)} indices; both should be equal in every epoch"
        )
    return indices


def _index(sampler: Any, item: Any) -> int:
    try:
        index = operator.index(item)
    except TypeError:
        index = -1
    if index < 0:
        raise DataError(
            f"training expects {type(sampler).__name__} to yield indices from 0, got {item!r}"
        )
    return index


@contextmanager
def _all_seeded(seed: int) -> Iterator[None]:
    saved = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(seed)
        np.random.seed(seed & 0xFFFFFFFF)
        torch.manual_seed(seed)
        yield
    finally:
        random.setstate(saved[0])
        np.random.set_state(saved[1])
        torch.set_rng_state(saved[2])
