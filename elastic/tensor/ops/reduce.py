"""Ops that fold dimensions: sums, extremes, norms, scans, softmax."""

from __future__ import annotations

from functools import partial
from math import prod as product
from typing import Any

from elastic.tensor._dispatch import op

Dims = Any  # an int, a sequence of ints, or None for all


def axes(dim: Dims) -> Any:
    """`dim` as numpy's axis: None for all dimensions."""
    if dim is None or isinstance(dim, int):
        return dim
    return tuple(dim) or None


def kept_shape(shape: tuple, dim: Dims) -> tuple:
    """`shape` with the folded dimensions as 1."""
    dims = range(len(shape)) if axes(dim) is None else (dim,) if isinstance(dim, int) else dim
    folded = {d % len(shape) for d in dims} if shape else set()
    return tuple(1 if d in folded else n for d, n in enumerate(shape))


def folded_count(shape: tuple, dim: Dims) -> int:
    """How many elements each result was folded from."""
    return product(shape) // (product(kept_shape(shape, dim)) or 1) if 0 not in shape else 0


def unfold(F: Any, g: Any, shape: tuple, dim: Dims, keepdim: bool) -> Any:
    """`g`, ready to broadcast against the input of shape `shape`."""
    return g if keepdim or dim is None else F.reshape(g, kept_shape(shape, dim))


def _counted(x: Any) -> Any:
    """`x`, where numpy would count unsigned numbers in uint64, as int64."""
    return x.astype("int64") if x.dtype.kind == "u" else x


def _spread(F: Any, g: Any, x_shape: tuple, dim: Dims, keepdim: bool) -> Any:
    return F.expand(unfold(F, g, x_shape, dim, keepdim), x_shape)


def _mean_vjp(F: Any, g: Any, x_shape: tuple, dim: Dims, keepdim: bool) -> Any:
    return _spread(F, g / folded_count(x_shape, dim), x_shape, dim, keepdim)


op(
    "sum",
    lambda xp, x, dim=None, keepdim=False: _counted(x).sum(axes(dim), keepdims=keepdim),
    _spread,
)
op(
    "mean",
    lambda xp, x, dim=None, keepdim=False: (
        x.sum(axes(dim), keepdims=keepdim) / folded_count(x.shape, dim)
    ),
    _mean_vjp,
)


def _prod_vjp(F: Any, g: Any, x: Any, out: Any, dim: Dims, keepdim: bool) -> Any:
    shape = tuple(x.shape)
    g, out = (unfold(F, each, shape, dim, keepdim) for each in (g, out))
    if not F.any(x == 0):
        return g * (out / x)
    return g * _others(F, x, dim)


def _others(F: Any, x: Any, dim: Dims) -> Any:
    """For each element the product of all others of its fold, right also where some are 0."""
    if dim is None:
        return F.reshape(_others(F, F.reshape(x, (-1,)), 0), tuple(x.shape))
    parts = [F.narrow(x, dim, k, 1) for k in range(x.shape[dim])]
    one = F.ones_like(parts[0])
    before, after = [one], [one]
    for left, right in zip(parts[:-1], parts[:0:-1], strict=True):
        before.append(before[-1] * left)
        after.append(after[-1] * right)
    return F.cat([a * b for a, b in zip(before, after[::-1], strict=True)], dim)


op(
    "prod",
    lambda xp, x, dim=None, keepdim=False: _counted(x).prod(axes(dim), keepdims=keepdim),
    _prod_vjp,
)


def _extreme_vjp(F: Any, g: Any, x: Any, out: Any, dim: Dims, keepdim: bool) -> Any:
    shape = tuple(x.shape)
    mask = x == unfold(F, out, shape, dim, keepdim)  # ties share the gradient
    return mask * (unfold(F, g, shape, dim, keepdim) / F.sum(mask, dim, dim is not None))


op("amax", lambda xp, x, dim=None, keepdim=False: x.max(axes(dim), keepdims=keepdim), _extreme_vjp)
op("amin", lambda xp, x, dim=None, keepdim=False: x.min(axes(dim), keepdims=keepdim), _extreme_vjp)


def _best(xp: Any, x: Any, dim: int, keepdim: bool, where: Any) -> tuple:
    index = xp.expand_dims(where(x, dim), dim)
    value = xp.take_along_axis(x, index, dim)
    return (value, index) if keepdim else (value.squeeze(dim), index.squeeze(dim))


def _best_vjp(F: Any, g: Any, out: tuple, x_shape: tuple, dim: int, keepdim: bool) -> Any:
    kept = kept_shape(x_shape, dim)
    zeros = F.expand(F.zeros_like(F.reshape(g, kept)), x_shape)
    return F.scatter(zeros, dim, F.reshape(out[1], kept), F.reshape(g, kept))


def _at_0d(function: Any) -> Any:
    """`function` along a dim, also of a 0-d array, which PyTorch takes for one of length 1."""

    def along(xp: Any, x: Any, dim: int, keepdim: bool = False) -> tuple:
        if x.ndim:
            return function(xp, x, dim, keepdim)
        return x.copy(), xp.zeros((), xp.int64)

    return along


op(
    "_max_dim",
    lambda xp, x, dim, keepdim=False: _best(xp, x, dim, keepdim, xp.argmax),
    _best_vjp,
    title="MaxBackward0",
)
op(
    "_min_dim",
    lambda xp, x, dim, keepdim=False: _best(xp, x, dim, keepdim, xp.argmin),
    _best_vjp,
    title="MinBackward0",
)
op("argmax", lambda xp, x, dim=None, keepdim=False: x.argmax(dim, keepdims=keepdim))
op("argmin", lambda xp, x, dim=None, keepdim=False: x.argmin(dim, keepdims=keepdim))
op("any", lambda xp, x, dim=None, keepdim=False: (x != 0).any(axes(dim), keepdims=keepdim))
op("all", lambda xp, x, dim=None, keepdim=False: (x != 0).all(axes(dim), keepdims=keepdim))
op("count_nonzero", lambda xp, x, dim=None: xp.asarray((x != 0).sum(axes(dim))))

# Moments and norms


def _var_vjp(F: Any, g: Any, x: Any, dim: Dims, correction: float, keepdim: bool) -> Any:
    shape = tuple(x.shape)
    count = folded_count(shape, dim) - correction
    return (
        unfold(F, g, shape, dim, keepdim)
        * (x - F.mean(x, dim, dim is not None))
        * (2 / count if count else float("nan"))
    )


def _std_vjp(F: Any, g: Any, x: Any, out: Any, dim: Dims, correction: float, keepdim: bool) -> Any:
    return _var_vjp(F, F.where(out == 0, 0.0, g / (2 * out)), x, dim, correction, keepdim)


op(
    "var",
    lambda xp, x, dim=None, correction=1, keepdim=False: x.var(
        axes(dim), ddof=correction, keepdims=keepdim
    ),
    _var_vjp,
    holomorphic=False,
)
op(
    "std",
    lambda xp, x, dim=None, correction=1, keepdim=False: x.std(
        axes(dim), ddof=correction, keepdims=keepdim
    ),
    _std_vjp,
    holomorphic=False,
)


def _norm(xp: Any, x: Any, p: float = 2, dim: Dims = None, keepdim: bool = False) -> Any:
    fold = partial(_fold, axis=axes(dim), keepdims=keepdim)
    if p == 2:
        return xp.sqrt(fold(xp.abs(x * x), "sum"))
    if p == 0:
        return fold(x != 0, "sum").astype(x.dtype)
    if abs(p) == float("inf"):
        return fold(abs(x), "max" if p > 0 else "min")
    return fold(abs(x) ** p, "sum") ** (1 / p)


def _fold(x: Any, how: str, axis: Any, keepdims: bool) -> Any:
    return getattr(x, how)(axis, keepdims=keepdims)


def _norm_vjp(F: Any, g: Any, x: Any, out: Any, p: float, dim: Dims, keepdim: bool) -> Any:
    g, out = (unfold(F, each, tuple(x.shape), dim, keepdim) for each in (g, out))
    if abs(p) == float("inf"):
        mask = F.abs(x) == out
        return F.sign(x) * mask * (g / F.sum(mask, dim, dim is not None))
    if p in (0, 1):
        return g * F.sign(x) * p
    ratio = x if p == 2 else x * F.abs(x) ** (p - 2)
    return F.where(out == 0, 0.0, g * ratio / F.where(out == 0, 1.0, out) ** (p - 1))


op("norm", _norm, _norm_vjp, title="LinalgVectorNormBackward0")

# Scans


def _cumsum_vjp(F: Any, g: Any, dim: int) -> Any:
    return F.flip(F.cumsum(F.flip(g, (dim,)), dim), (dim,))


op("cumsum", lambda xp, x, dim: _counted(x).cumsum(dim), _cumsum_vjp)


def _cumprod_vjp(F: Any, g: Any, x: Any, out: Any, dim: int) -> Any:
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


op("cumprod", lambda xp, x, dim: _counted(x).cumprod(dim), _cumprod_vjp)

# Softmax


def _logsumexp(xp: Any, x: Any, dim: Dims, keepdim: bool = False) -> Any:
    top = x.max(axes(dim), keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0)
    total = xp.log(xp.exp(x - top).sum(axes(dim), keepdims=True)) + top
    return total if keepdim else total.squeeze(axes(dim))


def _softmax(xp: Any, x: Any, dim: int) -> Any:
    weights = xp.exp(x - x.max(dim, keepdims=True))
    return weights / weights.sum(dim, keepdims=True)


def _log_softmax(xp: Any, x: Any, dim: int) -> Any:
    shifted = x - x.max(dim, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(dim, keepdims=True))


op(
    "logsumexp",
    _logsumexp,
    lambda F, g, x, out, x_shape, dim, keepdim: (
        unfold(F, g, x_shape, dim, keepdim) * F.exp(x - unfold(F, out, x_shape, dim, keepdim))
    ),
)
op("softmax", _softmax, lambda F, g, out, dim: (g - F.sum(g * out, dim, True)) * out)
op("log_softmax", _log_softmax, lambda F, g, out, dim: g - F.exp(out) * F.sum(g, dim, True))
