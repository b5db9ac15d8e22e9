"""Resampling along dimensions: padding, interpolation and adaptive means are one op.

Each result along a dimension is a weighted sum of a few inputs. A table, made once for each
combination of sizes and kept, says of which. The op goes through the dimensions one by one; its
derivative is the same op with the table turned around, so it has derivatives of every order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from elastic.tensor._dispatch import op

# A rule names a row of `_SOURCES`, the size of the input, that of the output, and more.
Rule = tuple
# For the t-th input of each output: which outputs have one (None: all), where, and its weight.
Table = tuple[tuple[Any, Any, Any], ...]


def _padding(n: int, out: int, before: int, mode: str) -> list:
    """Where each cell of a padded dimension comes from; `before` cells are in front."""
    k = np.arange(out) - before
    if mode == "circular":  # around what negative padding has left
        start, end = max(-before, 0), n - max(n + before - out, 0)
        k = start + (k - start) % (end - start)
    elif mode == "replicate":
        k = k.clip(0, n - 1)
    else:
        k = (n - 1) - np.abs((n - 1) - np.abs(k))
    return [[(int(each), 1.0)] for each in k]


def _means(n: int, out: int) -> list:
    """Adaptive windows: output k covers k/out to (k+1)/out of the input, in whole cells."""
    windows = [range(k * n // out, -(-(k + 1) * n // out)) for k in range(out)]
    return [[(i, 1 / len(window)) for i in window] for window in windows]


def _scale(n: int, out: int, align_corners: bool, factor: float | None, real: Any) -> Any:
    """How far apart two neighbours of the output are in the input, in the precision `real`."""
    if align_corners:
        return real(n - 1) / real(out - 1) if out > 1 else real(0)
    return real(1.0 / factor) if factor else real(n) / real(out)


def _nearest(n: int, out: int, factor: float | None, middle: bool) -> list:
    scale = _scale(n, out, False, factor, np.float32)
    if not middle and out == n:
        k = np.arange(n)
    elif not middle and out == 2 * n:
        k = np.arange(out) >> 1
    else:
        k = np.floor((np.arange(out, dtype=np.float32) + np.float32(middle / 2)) * scale)
    return [[(min(int(each), n - 1), 1.0)] for each in k]


def _positions(n: int, out: int, align_corners: bool, factor: float | None, real: Any) -> Any:
    """Where the outputs lie in the input, in cells."""
    scale, k = _scale(n, out, align_corners, factor, real), np.arange(out, dtype=real)
    return k * scale if align_corners else (k + real(0.5)) * scale - real(0.5)


def _linear(n: int, out: int, align_corners: bool, factor: float | None, double: bool) -> list:
    real = np.float64 if double else np.float32
    at = np.maximum(_positions(n, out, align_corners, factor, real), 0)
    first = np.minimum(np.floor(at), n - 1)
    share = np.clip(at - first, 0, 1)
    return [
        [(int(k), float(1 - s)), (min(int(k) + 1, n - 1), float(s))]
        for k, s in zip(first, share, strict=True)
    ]


def _cubic_weight(t: Any, a: float) -> Any:
    """Keys' kernel. Source: Keys, "Cubic Convolution Interpolation", 1981."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def _cubic(n: int, out: int, align_corners: bool, factor: float | None, double: bool) -> list:
    real = np.float64 if double else np.float32
    at = _positions(n, out, align_corners, factor, real)
    rows = []
    for x in at:
        first = math.floor(x)
        weights = _cubic_weight(x - (first + np.arange(-1, 3)), -0.75)
        places = np.clip(first + np.arange(-1, 3), 0, n - 1)
        rows.append(list(zip(places.tolist(), weights.tolist(), strict=True)))
    return rows


def _lanczos_weight(t: Any) -> Any:
    """Source: Duchon, "Lanczos Filtering in One and Two Dimensions", 1979."""
    return np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0.0)


_KERNELS: dict[str, tuple[int, Any]] = {  # how far each reaches, and its weights
    "linear": (1, lambda t: np.maximum(1 - np.abs(t), 0)),
    "cubic": (2, lambda t: _cubic_weight(t, -0.5)),
    "lanczos": (3, _lanczos_weight),
}


def _antialiased(
    n: int, out: int, align_corners: bool, factor: float | None, double: bool, kernel: str
) -> list:
    """By a kernel as wide as the outputs are apart."""
    real = np.float64 if double else np.float32
    scale = _scale(n, out, align_corners, factor, real)
    width, weight = _KERNELS[kernel]
    reach = real(width) * max(scale, real(1))
    inverse = real(1) / scale if scale >= 1 else real(1)
    rows = []
    for k in range(out):
        center = scale * real(k + 0.5)
        first = max(int(center - reach + real(0.5)), 0)
        last = min(int(center + reach + real(0.5)), n)
        t = (np.arange(first, last) - center + real(0.5)) * inverse
        weights = weight(t)
        weights = weights / weights.sum()
        rows.append(list(zip(range(first, last), weights.tolist(), strict=True)))
    return rows


_SOURCES: dict[str, Callable[..., list]] = {
    "pad": _padding,
    "mean": _means,
    "nearest": _nearest,
    "linear": _linear,
    "cubic": _cubic,
    "antialiased": _antialiased,
}


@lru_cache(256)
def _table(rule: Rule, back: bool) -> tuple[int, Table]:
    """The size of the result, and what it is made of."""
    name, n, out, *rest = rule
    rows = _SOURCES[name](n, out, *rest)
    if back:
        rows = _turned(rows, n)
    columns = []
    for t in range(max(map(len, rows), default=0)):
        have = [k for k, row in enumerate(rows) if len(row) > t]
        where = np.array([rows[k][t][0] for k in have])
        weights = np.array([rows[k][t][1] for k in have])
        plain = bool((weights == 1).all())
        columns.append(
            (None if len(have) == len(rows) else np.array(have), where, None if plain else weights)
        )
    return len(rows), tuple(columns)


def _turned(rows: Iterable, n: int) -> list:
    turned: list = [[] for _ in range(n)]
    for k, row in enumerate(rows):
        for source, weight in row:
            turned[source].append((k, weight))
    return turned


def _along(xp: Any, x: Any, axis: int, rule: Rule, back: bool) -> Any:
    """`x` resampled along one dimension."""
    size, table = _table(rule, back)
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    if not table:
        return xp.zeros(shape, x.dtype)
    if x.dtype.kind in "iu" and any(weights is not None for _, _, weights in table):
        return _along_whole(xp, x, axis, table)
    out = None
    for have, where, weights in table:
        part = xp.take(x, xp.asarray(where), axis)
        if weights is not None:
            part = part * _column(xp, weights, x.ndim - axis).astype(x.real.dtype)
        if have is None:
            out = part if out is None else xp.add(out, part, out=out)
        else:
            out = xp.zeros(shape, x.dtype) if out is None else out
            out[(slice(None),) * axis + (xp.asarray(have),)] += part
    return out


def _column(xp: Any, weights: Any, ndim: int) -> Any:
    return xp.asarray(weights).reshape((-1,) + (1,) * (ndim - 1))


def _along_whole(xp: Any, x: Any, axis: int, table: Table) -> Any:
    """As for images of bytes: weights are whole numbers of 15 bits, results rounded and cut."""
    given = [(have, where, 1.0 if w is None else w) for have, where, w in table]
    largest = max(float(np.max(w)) for _, _, w in given)
    bits = next(b for b in range(23) if b == 22 or int(0.5 + largest * 2 ** (b + 1)) >= 2**15)
    rows = len(table[0][1])
    total = xp.full((*x.shape[:axis], rows, *x.shape[axis + 1 :]), 1 << max(bits - 1, 0), xp.int64)
    for have, where, w in given:
        whole = np.trunc(np.broadcast_to(w, len(where)) * 2.0**bits + np.copysign(0.5, w))
        part = xp.take(x, xp.asarray(where), axis) * _column(
            xp, whole.astype(np.int64), x.ndim - axis
        )
        total[(slice(None),) * axis + (slice(None) if have is None else xp.asarray(have),)] += part
    limits = np.iinfo(x.dtype)
    return xp.clip(total >> bits, limits.min, limits.max).astype(x.dtype)


def _resample(xp: Any, x: Any, rules: tuple[Rule, ...], back: bool = False) -> Any:
    """`x` with its last dimensions resampled, one rule each."""
    out = x
    for k in reversed(range(len(rules))):
        out = _along(xp, out, x.ndim - len(rules) + k, rules[k], back)
    return out


op("_resample", _resample, lambda F, g, rules, back: F._resample(g, rules, not back))
