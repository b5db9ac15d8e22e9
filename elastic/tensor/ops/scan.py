"""Ops whose results run along a dimension: each element folds all up to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from elastic.tensor._dispatch import op
from elastic.tensor._registry import is_complex
from elastic.tensor.ops.reduce import place

_DOUBLE = {np.dtype("f4"): np.dtype("f8"), np.dtype("c8"): np.dtype("c16")}


def _scan(how: str) -> Any:
    """The forward of a scan that numpy has: single precision is added up in double."""

    def forward(xp: Any, x: Any, dim: int) -> Any:
        axis = place(dim, x.ndim)
        within = xp.int64 if x.dtype.kind in "biu" else _DOUBLE.get(x.dtype, x.dtype)
        out = getattr(x.reshape(x.shape or 1), how)(axis, dtype=within).reshape(x.shape)
        return out.astype(x.dtype) if x.dtype in _DOUBLE else out

    return forward


def _cumsum_vjp(F: Any, g: Any, dim: int) -> Any:
    return F.flip(F.cumsum(F.flip(g, (dim,)), dim), (dim,))


op("cumsum", _scan("cumsum"), _cumsum_vjp)


def _cumprod_vjp(F: Any, g: Any, x: Any, out: Any, dim: int) -> Any:
    if not x.ndim:
        return g
    if not F.any(x == 0):
        return _cumsum_vjp(F, g * out, dim) / x
    rows = [_cumprod_row(F, g, x, dim, k) for k in range(x.shape[dim])]
    return F.cat(rows, dim)


def _cumprod_row(F: Any, g: Any, x: Any, dim: int, k: int) -> Any:
    """The gradient of element `k`: its later outputs, each divided by it without dividing."""
    later = x.shape[dim] - k
    before = F.prod(F.narrow(x, dim, 0, k), dim, True)
    ones = F.ones_like(F.narrow(x, dim, k, 1))
    rest = F.cumprod(F.cat([ones, F.narrow(x, dim, k + 1, later - 1)], dim), dim)
    return before * F.sum(F.narrow(g, dim, k, later) * rest, dim, True)


op("cumprod", _scan("cumprod"), _cumprod_vjp)


def _running_best(better: str) -> Any:
    """The forward of cummax and cummin: the best so far, and the last place that it was met."""

    def forward(xp: Any, x: Any, dim: int) -> tuple:
        axis = place(dim, x.ndim)
        if not x.ndim:
            return x.copy(), xp.zeros((), xp.int64)
        values = getattr(xp, better).accumulate(x, axis)
        places = xp.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - axis - 1))
        met = xp.where((x == values) | (x != x), places, 0)
        return values, xp.maximum.accumulate(met, axis)

    return forward


def _running_vjp(F: Any, g: Any, out: tuple, x_shape: tuple, dim: int) -> Any:
    return F.scatter_add(F._new_zeros(g, x_shape), dim, out[1], g)


op("cummax", _running_best("maximum"), _running_vjp)
op("cummin", _running_best("minimum"), _running_vjp)


def _logcumsumexp(xp: Any, x: Any, dim: int) -> Any:
    axis = place(dim, x.ndim)
    if not x.size or not x.ndim:
        return x.copy()
    if x.dtype.kind != "c":
        return xp.logaddexp.accumulate(x, axis)
    out = x.copy()
    rows = xp.moveaxis(out, axis, 0)
    for k in range(1, len(rows)):  # one by one: the angle of a sum goes on from that of its terms
        swap = rows[k].real > rows[k - 1].real
        top, low = xp.where(swap, rows[k], rows[k - 1]), xp.where(swap, rows[k - 1], rows[k])
        rows[k] = top + xp.log1p(xp.exp(low - top))
    return out


def _logcumsumexp_vjp(F: Any, g: Any, x: Any, out: Any, dim: int) -> Any:
    """The sum of g * exp(x - out) over all later outputs, without overflow."""
    if not x.ndim:
        return g
    if is_complex(x):
        return _complex_vjp(F, g, x, out, dim)
    parts = []
    for sign in (1, -1):
        positive = g * sign > 0
        logs = F.log(F.where(positive, g * sign, 1.0)) - out
        logs = F.where(positive, logs, float("-inf"))
        parts.append(F.exp(F.flip(F.logcumsumexp(F.flip(logs, (dim,)), dim), (dim,)) + x))
    return parts[0] - parts[1]


def _complex_vjp(F: Any, g: Any, x: Any, out: Any, dim: int) -> Any:
    """The same sum pair by pair: complex terms have no logarithm to add them in."""
    g, x, out = (F.movedim(each, dim, -1) for each in (g, x, out))
    ratios = F.tril(F.exp(F.tril(F.unsqueeze(x, -2) - F.unsqueeze(out, -1))))
    return F.movedim(F.sum(F.unsqueeze(g, -1) * ratios, -2), -1, dim)


op("logcumsumexp", _logcumsumexp, _logcumsumexp_vjp)
