"""Products of matrices and vectors, and what is made of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from elastic.tensor import dtypes
from elastic.tensor._errors import dimension_error
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor
from elastic.tensor.functions.products import cross as _cross_of_torch
from elastic.tensor.functions.products import multiplied
from elastic.tensor.linalg._checks import (
    SINGULAR,
    check_floating,
    check_info,
    check_square,
    published,
)

# Products


@published()
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """input @ other."""
    return F.matmul(input, other)


@published()
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along `dim`, which is of size 3."""
    return _cross_of_torch(input, other, dim)


@published()
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sum of conj(x) * y along `dim`."""
    if x._array.dtype != y._array.dtype:
        raise RuntimeError(
            "linalg.vecdot: Expected x and y to have the same dtype, but found x of type "
            f"{x.dtype.title} and y of type {y.dtype.title} instead"
        )
    if x._array.ndim == y._array.ndim == 1:
        return F.dot(F.conj(x) if x.dtype.is_complex else x, y)
    return F.sum((F.conj(x) if x.dtype.is_complex else x) * y, dim)


@published()
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of two or more matrices, in the order that costs least.

    The first may be a vector (a row), and the last (a column).
    """
    tensors = list(tensors)
    _check_chain(tensors)
    row, column = tensors[0]._array.ndim == 1, tensors[-1]._array.ndim == 1
    if row:
        tensors[0] = F.unsqueeze(tensors[0], 0)
    if column:
        tensors[-1] = F.unsqueeze(tensors[-1], -1)
    for k, (a, b) in enumerate(itertools.pairwise(tensors)):
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {k} and {k + 1} with shapes {list(a.shape)} and "
                f"{list(b.shape)} cannot be multiplied"
            )
    out = multiplied(tensors)
    out = F.squeeze(out, 0) if row else out
    return F.squeeze(out, -1) if column else out


def _check_chain(tensors: list) -> None:
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    last = len(tensors) - 1
    for k, each in enumerate(tensors):
        ndim = each._array.ndim
        if k in (0, last) and ndim not in (1, 2):
            place = "last" if k else "first"
            raise RuntimeError(f"multi_dot(): the {place} tensor must be 1D or 2D but got {ndim}D")
        if k not in (0, last) and ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {k} must be 2D but got {ndim}D")
    for k, each in enumerate(tensors):
        if each.dtype is not tensors[0].dtype:
            a, b = (t.dtype.name.replace("float64", "double").replace("float32", "float")
                    for t in (tensors[0], each))  # fmt: skip
            raise RuntimeError(
                "multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                f"{a} and tensor {k} {b}"
            )


@published()
def matrix_power(A: Tensor, n: int) -> Tensor:
    """A multiplied by itself: `n` factors, or of the inverse for negative `n`."""
    check_square("linalg.matrix_power", A)
    if n < 0:
        return matrix_power(_inverse(A), -n)
    if n == 0:
        return identity_like(A)
    if n == 1:
        return F.clone(A)
    out: Any = None
    while True:  # by the binary digits of n
        if n & 1:
            out = A if out is None else F.matmul(out, A)
        n >>= 1
        if not n:
            return out
        A = F.matmul(A, A)


def _inverse(A: Tensor) -> Tensor:
    check_floating("linalg.inv", A)
    inverse, info = F.linalg_inv_ex(A)
    check_info("linalg.inv", info, SINGULAR)
    return inverse


def identity_like(A: Tensor) -> Tensor:
    """Identity matrices of the shape and dtype of `A`."""
    return F._identity_like(A)


@published()
def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Vandermonde's matrix: the powers 0 to N - 1 of each element, in rows."""
    x = x if x._array.ndim else F.unsqueeze(x, 0)
    N = x._array.shape[-1] if N is None else N
    if N <= 1:
        raise RuntimeError("N must be greater than 1.")
    if x.dtype is dtypes.bool_:
        raise RuntimeError(
            "linalg.vander supports floating point, complex, and integer tensors, but got Bool"
        )
    column = F.unsqueeze(x, -1)
    powers = F.cumprod(F.expand(column, (*x._array.shape, N - 1)), -1)
    return F.cat([F.ones_like(column), powers], -1)


@published()
def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the diagonals of the last two dimensions."""
    ndim = A._array.ndim
    for d in (dim1, dim2):
        if not -ndim <= d < ndim:
            raise dimension_error(d, ndim)
    if dim1 % ndim == dim2 % ndim:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return F.diagonal(A, offset, dim1, dim2)
