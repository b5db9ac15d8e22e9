"""Ops that fold dimensions: sums, extremes, moments, norms, softmax."""

from __future__ import annotations

from functools import partial
from math import prod as product
from typing import Any

from elastic.tensor import dtypes
from elastic.tensor._dispatch import op
from elastic.tensor._errors import dimension_error
from elastic.tensor._registry import arrays

Dims = Any  # an int, a sequence of ints, or None for all


def axes(dim: Dims, ndim: int) -> Any:
    """`dim` as numpy's axis of an array of `ndim` dimensions: None for all.

    Raises: IndexError, RuntimeError for a dimension that does not exist or comes twice.
    """
    if dim is None or (dim.__class__ is int and ndim):
        return dim
    dims = [place(d, ndim) for d in ((dim,) if isinstance(dim, int) else dim)]
    if len(set(dims)) < len(dims):
        twice = next(d for k, d in enumerate(dims) if d in dims[:k])
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return tuple(dims) if dims and ndim else None


def place(dim: int, ndim: int) -> int:
    """`dim` counted from the first; a 0-d array counts as one of a single dimension."""
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise dimension_error(dim, ndim)
    return dim % max(ndim, 1)


def kept_shape(shape: tuple, dim: Dims) -> tuple:
    """`shape` with the folded dimensions as 1."""
    if dim is None:
        return (1,) * len(shape)
    dims = (dim,) if isinstance(dim, int) else dim or range(len(shape))
    folded = {d % len(shape) for d in dims} if shape else set()
    return tuple([1 if d in folded else n for d, n in enumerate(shape)])


def folded_count(shape: tuple, dim: Dims) -> int:
    """How many elements each result was folded from."""
    kept = kept_shape(shape, dim)
    return product([n for n, left in zip(shape, kept, strict=True) if left == 1])


def unfold(F: Any, g: Any, shape: tuple, dim: Dims, keepdim: bool) -> Any:
    """`g`, ready to broadcast against the input of shape `shape`."""
    return g if keepdim or dim is None else F.reshape(g, kept_shape(shape, dim))


def counted(x: Any) -> Any:
    """`x`, where numpy would count unsigned numbers in uint64, as int64."""
    return x.astype("int64") if x.dtype.kind == "u" else x


def _fold(how: str, prepare: Any = lambda x: x) -> Any:
    """The forward of a fold that numpy has as a method."""

    def forward(xp: Any, x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
        return getattr(prepare(x), how)(axes(dim, x.ndim), keepdims=keepdim)

    return forward


def _spread(F: Any, g: Any, x_shape: tuple, dim: Dims, keepdim: bool) -> Any:
    return F.expand(unfold(F, g, x_shape, dim, keepdim), x_shape)


def _mean(xp: Any, x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    return x.sum(axes(dim, x.ndim), keepdims=keepdim) / folded_count(x.shape, dim)


def _mean_vjp(F: Any, g: Any, x_shape: tuple, dim: Dims, keepdim: bool) -> Any:
    return _spread(F, g / folded_count(x_shape, dim), x_shape, dim, keepdim)


op("sum", _fold("sum", counted), _spread)
op("mean", _mean, _mean_vjp)


def _prod_vjp(F: Any, g: Any, x: Any, out: Any, dim: Dims, keepdim: bool) -> Any:
    shape = tuple(x.shape)
    g, out = (unfold(F, each, shape, dim, keepdim) for each in (g, out))
    if not F.any(x == 0):
        return g * (out / x)
    return g * _others(F, x, dim)


def _others(F: Any, x: Any, dim: Dims) -> Any:
    """For each element the product of all others of its fold, right also where some are 0."""
    if dim is None or not x.ndim:
        return F.reshape(_others(F, F.reshape(x, (-1,)), 0), tuple(x.shape))
    parts = [F.narrow(x, dim, k, 1) for k in range(x.shape[dim])]
    one = F.ones_like(parts[0])
    before, after = [one], [one]
    for left, right in zip(parts[:-1], parts[:0:-1], strict=True):
        before.append(before[-1] * left)
        after.append(after[-1] * right)
    return F.cat([a * b for a, b in zip(before, after[::-1], strict=True)], dim)


op("prod", _fold("prod", counted), _prod_vjp)

# Extremes


def _extreme_vjp(F: Any, g: Any, x: Any, out: Any, dim: Dims, keepdim: bool) -> Any:
    shape = tuple(x.shape)
    mask = x == unfold(F, out, shape, dim, keepdim)  # ties share the gradient
    return mask * (unfold(F, g, shape, dim, keepdim) / F.sum(mask, dim, dim is not None))


op("amax", _fold("max"), _extreme_vjp)
op("amin", _fold("min"), _extreme_vjp)


def _best(find: str) -> Any:
    """The forward that gives the values and places of what `find` finds along a dim."""

    def forward(xp: Any, x: Any, dim: int, keepdim: bool = False) -> tuple:
        if not x.ndim:
            return x.copy(), xp.zeros(axes(dim, 0) or (), xp.int64)
        index = getattr(x, find)(dim, keepdims=True)
        value = xp.take_along_axis(x, index, dim)
        return (value, index) if keepdim else (value.squeeze(dim), index.squeeze(dim))

    return forward


def chosen_vjp(F: Any, g: Any, out: tuple, x_shape: tuple, dim: int, keepdim: bool) -> Any:
    """`g` at the places in `out` that one element each was chosen from along `dim`."""
    kept = kept_shape(x_shape, dim)
    zeros = F._new_zeros(g, x_shape)
    return F.scatter(zeros, dim, F.reshape(out[1], kept), F.reshape(g, kept))


op("_max_dim", _best("argmax"), chosen_vjp, title="MaxBackward0")
op("_min_dim", _best("argmin"), chosen_vjp, title="MinBackward0")
op("argmax", _fold("argmax"))
op("argmin", _fold("argmin"))


def _nonzero(x: Any) -> Any:
    return x if x.dtype.kind == "b" else x != 0


def _truth(how: str) -> Any:
    """The forward of any and all: uint8 stays uint8, as in PyTorch; the rest gives bool."""
    fold = _fold(how, _nonzero)

    def forward(xp: Any, x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
        found = fold(xp, x, dim, keepdim)
        return found.astype(x.dtype) if x.dtype == xp.uint8 else found

    return forward


op("any", _truth("any"))
op("all", _truth("all"))
op("count_nonzero", lambda xp, x, dim=None: xp.asarray(_nonzero(x).sum(axes(dim, x.ndim))))


def _xor(xp: Any, x: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """The bits of all elements as float64, integers as int64, folded by exclusive or."""
    wide = x.astype(xp.float64 if dtypes.rank(dtypes.FROM_NUMPY[x.dtype]) > 1 else xp.int64)
    bits = wide.view(xp.uint64)
    return xp.bitwise_xor.reduce(bits, axes(dim, x.ndim), keepdims=keepdim)


op("_xor", _xor)

# Moments and norms


def _var_vjp(F: Any, g: Any, x: Any, dim: Dims, correction: float, keepdim: bool) -> Any:
    shape = tuple(x.shape)
    count = max(folded_count(shape, dim) - correction, 0)
    centred = x - F.mean(x, dim, dim is not None)
    return unfold(F, g, shape, dim, keepdim) * centred * (2 / count if count else float("nan"))


def _std_vjp(F: Any, g: Any, x: Any, out: Any, dim: Dims, correction: float, keepdim: bool) -> Any:
    scaled = F.masked_fill(g / (2 * out), out == 0, 0.0)
    return _var_vjp(F, scaled, x, dim, correction, keepdim)


def _var(xp: Any, x: Any, dim: Dims = None, correction: float = 1, keepdim: bool = False) -> Any:
    centred = x - _mean(xp, x, dim, dim is not None)
    squares = centred * centred if x.dtype.kind != "c" else centred.real**2 + centred.imag**2
    total = squares.sum(axes(dim, x.ndim), keepdims=keepdim)
    return total / max(folded_count(x.shape, dim) - correction, 0)


op("var", _var, _var_vjp, holomorphic=False)
op(
    "std",
    lambda xp, x, dim=None, correction=1, keepdim=False: xp.sqrt(
        _var(xp, x, dim, correction, keepdim)
    ),
    _std_vjp,
    holomorphic=False,
)


def _norm(xp: Any, x: Any, p: float = 2, dim: Dims = None, keepdim: bool = False) -> Any:
    fold = partial(_folded, axis=axes(dim, x.ndim), keepdims=keepdim)
    if p == 2:
        return xp.sqrt(fold(x * x if x.dtype.kind != "c" else x.real**2 + x.imag**2, "sum"))
    if p == 0:
        return fold(x != 0, "sum").astype(x.real.dtype)
    size = arrays(xp).abs(x)
    if abs(p) == float("inf"):
        return fold(size, "max" if p > 0 else "min")
    return fold(size**p, "sum") ** (1 / p)


def _folded(x: Any, how: str, axis: Any, keepdims: bool) -> Any:
    if how == "max" and not x.size:
        return x.max(axis, keepdims=keepdims, initial=0)
    return getattr(x, how)(axis, keepdims=keepdims)


def _norm_vjp(F: Any, g: Any, x: Any, out: Any, p: float, dim: Dims, keepdim: bool) -> Any:
    g, out = (unfold(F, each, tuple(x.shape), dim, keepdim) for each in (g, out))
    if abs(p) == float("inf"):
        mask = F.abs(x) == out
        return F.sgn(x) * mask * (g / F.sum(mask, dim, dim is not None))
    if p in (0, 1):
        return g * F.sgn(x) * p
    # where the norm is 0 its subgradient is 0, and so is what an element of 0 adds when p < 2
    size, none = F.abs(x), out == 0
    ratio = x if p == 2 else x * F.where(size == 0, 0.0, F.where(size == 0, 1.0, size) ** (p - 2))
    return ratio * F.where(none, 0.0, g / F.where(none, 1.0, out) ** (p - 1))


op("norm", _norm, _norm_vjp, title="LinalgVectorNormBackward0", holomorphic=False)

# Softmax


def _logsumexp(xp: Any, x: Any, dim: Dims, keepdim: bool = False) -> Any:
    axis = axes(dim, x.ndim)
    if not x.size:
        return xp.log(x.sum(axis, keepdims=keepdim))
    top = x.real.max(axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, top.dtype.type(0))
    total = xp.log(xp.exp(x - top).sum(axis, keepdims=True)) + top
    return total if keepdim else total.squeeze(axis)


def _shifted(xp: Any, x: Any, dim: int) -> Any:
    """A copy of `x` whose largest element along `dim` is 0."""
    axis = axes(dim, x.ndim)
    return xp.asarray(x - x.max(axis, keepdims=True)) if x.size else x.copy()


def _softmax(xp: Any, x: Any, dim: int) -> Any:
    weights = _shifted(xp, x, dim)
    xp.exp(weights, out=weights)
    weights /= weights.sum(axes(dim, x.ndim), keepdims=True)
    return weights


def _log_softmax(xp: Any, x: Any, dim: int) -> Any:
    shifted = _shifted(xp, x, dim)
    shifted -= xp.log(xp.exp(shifted).sum(axes(dim, x.ndim), keepdims=True))
    return shifted


op(
    "logsumexp",
    _logsumexp,
    lambda F, g, x, out, x_shape, dim, keepdim: (
        unfold(F, g, x_shape, dim, keepdim) * F.exp(x - unfold(F, out, x_shape, dim, keepdim))
    ),
    operands=(0,),
    to_float=True,
)
op("softmax", _softmax, lambda F, g, out, dim: (g - F.sum(g * out, dim, True)) * out)
op("log_softmax", _log_softmax, lambda F, g, out, dim: g - F.exp(out) * F.sum(g, dim, True))
