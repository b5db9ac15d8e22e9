"""Products of matrices and vectors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

from elastic.tensor._dispatch import op
from elastic.tensor._errors import matmul_error
from elastic.tensor._registry import arrays


def turned(F: Any, x: Any) -> Any:
    """`x` with the last two dimensions exchanged."""
    return F.transpose(x, -1, -2)


def _product_of_arrays(xp: Any, x: Any, y: Any) -> Any:
    """x @ y, as one multiplication of matrices where only `x` has batch dimensions."""
    if x.ndim > 2 and y.ndim < 3 and x.size:
        return xp.matmul(x.reshape(-1, x.shape[-1]), y).reshape((*x.shape[:-1], *y.shape[1:]))
    return xp.matmul(x, y)


def _matmul_x(F: Any, g: Any, y: Any, x_shape: tuple) -> Any:
    if len(y.shape) == 1:
        return F.unsqueeze(g, -1) * y
    if len(x_shape) == 1:
        return F.squeeze(F.matmul(y, F.unsqueeze(g, -1)), -1)
    return F.matmul(g, turned(F, y))


def _matmul_y(F: Any, g: Any, x: Any, y_shape: tuple) -> Any:
    if len(x.shape) == 1:
        return F.unsqueeze(x, -1) * F.unsqueeze(g, -2) if len(y_shape) > 1 else x * g
    if len(y_shape) == 1:
        return F.matmul(F.reshape(g, (-1,)), _rows(F, x))
    if len(y_shape) == 2:
        return F.matmul(F.t(_rows(F, x)), _rows(F, g))
    return F.matmul(turned(F, x), g)


def _rows(F: Any, x: Any) -> Any:
    """`x` as a matrix of its last dimension's rows."""
    if len(x.shape) == 2:
        return x
    return F.reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


def _linear(xp: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    out = _product_of_arrays(xp, x, weight.T)
    return out if bias is None else xp.add(out, bias, out=out)


def _of_ndim(name: str, *ndims: int) -> Any:
    def forward(xp: Any, x: Any, y: Any) -> Any:
        if (x.ndim, y.ndim) != ndims:
            raise RuntimeError(_ndim_error(name, x, y))
        if name == "bmm" and (x.shape[0] != y.shape[0] or x.shape[2] != y.shape[1]):
            raise matmul_error(name, x.shape, y.shape)
        return xp.matmul(x, y)

    return forward


def _ndim_error(name: str, x: Any, y: Any) -> str:
    if name == "dot":
        return f"1D tensors expected, but got {x.ndim}D and {y.ndim}D tensors"
    if name == "bmm":
        return f"batch{1 if x.ndim != 3 else 2} must be a 3D tensor"
    if name == "mv":
        return f"vector + matrix @ vector expected, got 1, {x.ndim}, {y.ndim}"
    return f"{'self' if x.ndim != 2 else 'mat2'} must be a matrix"


def _title(name: str) -> str:
    return "MmBackward0" if name == "matmul" else f"{name.capitalize()}Backward0"


def _product(name: str, forward: Any) -> Any:
    return op(
        name,
        forward,
        _matmul_x,
        _matmul_y,
        operands=(0, 1),
        tensors=(0, 1),
        one_dtype=True,
        title=_title(name),
    )


_product("matmul", _product_of_arrays)
_product("mm", _of_ndim("mm", 2, 2))
_product("bmm", _of_ndim("bmm", 3, 3))
_product("mv", _of_ndim("mv", 2, 1))
_product("dot", _of_ndim("dot", 1, 1))
op(
    "outer",
    lambda xp, x, y: x[:, None] * y,
    lambda F, g, y: F.mv(g, y),
    lambda F, g, x: F.mv(F.t(g), x),
    operands=(0, 1),
    title="MulBackward0",
)
op(
    "_linear",
    _linear,
    lambda F, g, weight: F.matmul(g, weight),
    lambda F, g, x: F.matmul(F.t(_rows(F, g)), _rows(F, x)),
    lambda F, g: g,
    operands=(0, 1, 2),
    one_dtype=True,
    title="AddmmBackward0",
)

# beta * input + alpha * a product


def _added(name: str, product: Callable) -> None:
    def forward(xp: Any, input: Any, x: Any, y: Any, beta: Any = 1, alpha: Any = 1) -> Any:
        out = product(xp, x, y)
        if input.shape != out.shape:
            input = arrays(xp).expand(input, out.shape)
        if alpha != 1:
            out = out * alpha
        if beta == 0:  # not even nan counts
            return out
        return xp.add(out, input if beta == 1 else input * beta, out=out)

    op(
        f"_{name}",
        forward,
        lambda F, g, beta: g if beta == 1 else g * beta,
        lambda F, g, y, x_shape, alpha: _matmul_x(F, _scaled(g, alpha), y, x_shape),
        lambda F, g, x, y_shape, alpha: _matmul_y(F, _scaled(g, alpha), x, y_shape),
        title=f"{name.capitalize()}Backward0",
    )


def _scaled(g: Any, alpha: Any) -> Any:
    return g if alpha == 1 else g * alpha


_added("addmm", _of_ndim("mm", 2, 2))
_added("addmv", _of_ndim("mv", 2, 1))
_added("baddbmm", _of_ndim("bmm", 3, 3))

# Contractions: what einsum and tensordot are made of


def _contract(xp: Any, x: Any, y: Any, terms: tuple) -> Any:
    """The sum of products that einsum writes `a,b->c` for terms = (a, b, c).

    Every letter is in two or three of the terms. Source: the pairwise form of PyTorch's einsum.
    """
    order_x, order_y, counts, order = _layout(terms)
    x, y = x.transpose(order_x), y.transpose(order_y)
    i, j, k = counts  # of the batch, of rows with it, of what is summed with the batch
    batch, rows, columns = x.shape[:i], x.shape[i:j], y.shape[k:]
    m, n, length = prod(rows), prod(columns), prod(x.shape[j:])
    out = _times(xp, x.reshape((*batch, m, length)), y.reshape((*batch, length, n)))
    return out.reshape(batch + rows + columns).transpose(order)


@lru_cache(1024)
def _layout(terms: tuple) -> tuple:
    """The dimensions of both operands as (batch, rows, summed) and (batch, summed, columns).

    Then how many these are, and the dimensions of the result.
    """
    a, b, c = terms
    batch = [each for each in a if each in b and each in c]
    summed = [each for each in a if each not in c]
    rows, columns = [e for e in a if e not in b], [e for e in b if e not in a]
    made = batch + rows + columns
    return (
        [a.index(e) for e in batch + rows + summed],
        [b.index(e) for e in batch + summed + columns],
        (len(batch), len(batch) + len(rows), len(batch) + len(summed)),
        [made.index(e) for e in c],
    )


def _times(xp: Any, x: Any, y: Any) -> Any:
    return x * y if x.shape[-1] == 1 else xp.matmul(x, y)


op(
    "_contract",
    _contract,
    lambda F, g, y, terms: F._contract(g, y, (terms[2], terms[1], terms[0])),
    lambda F, g, x, terms: F._contract(x, g, (terms[0], terms[2], terms[1])),
    operands=(0, 1),
    one_dtype=True,
    title="BmmBackward0",
)

# Vectors


def _cross_axis(xp: Any, x: Any, y: Any, dim: int = -1) -> Any:
    if x.ndim != y.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    if -x.ndim <= dim < x.ndim and not x.shape[dim] == y.shape[dim] == 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. "
            f"Got {x.shape[dim]} and {y.shape[dim]}"
        )
    return xp.cross(x, y, axis=dim)


op(
    "linalg_cross",
    _cross_axis,
    lambda F, g, y, dim: F.linalg_cross(y, g, dim),
    lambda F, g, x, dim: F.linalg_cross(g, x, dim),
    operands=(0, 1),
)


def _euclidean_dist(xp: Any, x: Any, y: Any, by_product: bool) -> Any:
    """The distances of all rows; `by_product` costs less memory and some digits."""
    if not by_product:
        return xp.sqrt(xp.square(x[..., :, None, :] - y[..., None, :, :]).sum(-1))
    ones = (xp.ones((*each.shape[:-1], 1), each.dtype) for each in (x, y))
    squares = (xp.square(each).sum(-1, keepdims=True) for each in (x, y))
    left = xp.concatenate([-2 * x, next(squares), next(ones)], -1)
    right = xp.concatenate([y, next(ones), next(squares)], -1)
    out = xp.matmul(left, right.swapaxes(-1, -2))
    return xp.sqrt(xp.maximum(out, 0, out=out), out=out)


def _pulled(F: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    """The gradient of the distances of rows `x` to rows `y`, for `x`; none where they meet."""
    near = out == 0
    ratio = F.where(near, 0.0, g / F.where(near, 1.0, out))
    return x * F.sum(ratio, -1, True) - F.matmul(ratio, y)


op(
    "_euclidean_dist",
    _euclidean_dist,
    lambda F, g, x, y, out: _pulled(F, g, x, y, out),
    lambda F, g, x, y, out: _pulled(F, turned(F, g), y, x, turned(F, out)),
    operands=(0, 1),
)
