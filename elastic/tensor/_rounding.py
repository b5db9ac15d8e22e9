"""a * b + c with one rounding, as the fused multiply-add of a processor does it."""

from __future__ import annotations

from typing import Any

import numpy as np


def fma32(a: Any, b: Any, c: Any) -> np.ndarray:
    """a * b + c of float32 numbers with one rounding."""
    a, b, c = (np.asarray(each, np.float32).astype(np.float64) for each in (a, b, c))
    return (a * b + c).astype(np.float32)


def fma64(a: Any, b: float, c: float) -> np.ndarray:
    """a * b + c of float64 numbers with one rounding: Dekker's product, Knuth's sum."""
    split = 134217729.0  # 2 ** 27 + 1
    a_high, b_high = a * split - (a * split - a), b * split - (b * split - b)
    a_low, b_low = a - a_high, b - b_high
    product = a * b
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    total = product + c
    back = total - product
    return total + ((product - (total - back)) + (c - back) + rest)
