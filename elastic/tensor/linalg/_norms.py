"""Norms of vectors and matrices, and condition numbers."""

from __future__ import annotations

import math
from typing import Any

from elastic.tensor import dtypes
from elastic.tensor._errors import dimension_error
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor
from elastic.tensor.linalg._checks import (
    check_floating,
    check_matrix,
    check_square,
    published,
)
from elastic.tensor.linalg._equations import inv_ex
from elastic.tensor.linalg._factorizations import svdvals

# Norms


@published()
def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The norm of the elements over `dim` (default all): the `ord`-th root of their powers."""
    check_floating("linalg.vector_norm", x, low=True)
    if isinstance(ord, str):
        raise TypeError("linalg_vector_norm(): argument 'ord' (position 2) must be Number, not str")
    x = _cast("linalg.vector_norm", x, dtype)
    if ord < 0 or ord == math.inf:
        _check_not_empty(x, ord, dim)
    return F.norm(x, ord, dim, keepdim)


def _cast(name: str, x: Tensor, dtype: Any) -> Tensor:
    """`x` in the dtype that is asked for. Raises: RuntimeError, if it is not of the same kind."""
    if dtype is None or dtype is x.dtype:
        return x
    if dtypes.rank(dtype) < 2:
        raise RuntimeError(
            f"{name}: dtype should be floating point or complex, but got {dtype.title}"
        )
    if dtype.is_complex != x.dtype.is_complex:
        kind = "complex for complex" if x.dtype.is_complex else "real for real"
        raise RuntimeError(f"{name}: dtype should be {kind} inputs, but got {dtype.title}")
    if dtypes.promote_types(x.dtype, dtype) is not dtype:
        raise RuntimeError(
            f"{name}: the dtype of the input ({x.dtype.title}) should be convertible without "
            f"narrowing to the specified dtype ({dtype.title})"
        )
    return x.to(dtype)


def _check_not_empty(x: Tensor, ord: float, dim: Any) -> None:
    shape, name = x._array.shape, "inf" if ord == math.inf else f"{ord:g}"
    if x._array.size:
        return
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {name} norm on an empty tensor because the "
            "operation does not have an identity"
        )
    for d in (dim,) if isinstance(dim, int) else dim:
        if not shape[d]:
            raise RuntimeError(
                f"linalg.vector_norm cannot compute the {name} norm on the dimension {d}because "
                "this dimension is empty and the operation does not have an identity"
            )


@published()
def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The norm of matrices: "fro", "nuc", or 1, -1, 2, -2, inf, -inf."""
    check_matrix("linalg.matrix_norm", A)
    check_floating("linalg.matrix_norm", A, low=True)
    A = _cast("linalg.matrix_norm", A, dtype)
    if len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {_listed(dim)}")
    ndim = A._array.ndim
    for d in dim:
        if not -ndim <= d < ndim:
            raise dimension_error(d, ndim)
    first, second = (d % ndim for d in dim)
    if first == second:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return F.norm(A, 2, (first, second), keepdim)
    if ord == "nuc" or (not isinstance(ord, str) and abs(ord) == 2):
        return _by_singular_values(A, ord, (first, second), keepdim)
    if isinstance(ord, str) or abs(ord) not in (1, math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    summed, largest = (first, second) if abs(ord) == 1 else (second, first)
    if not keepdim and summed < largest:
        largest -= 1
    sums = F.norm(A, 1, summed, keepdim)
    return (F.amax if ord > 0 else F.amin)(sums, largest, keepdim)


def _listed(dim: Any) -> str:
    return ", ".join(map(str, dim))


def _by_singular_values(A: Tensor, ord: Any, dims: tuple, keepdim: bool) -> Tensor:
    check_floating("linalg.matrix_norm", A)
    S = svdvals(F.movedim(A, dims, (-2, -1)))
    out = F.sum(S, -1) if ord == "nuc" else (F.amax if ord > 0 else F.amin)(S, -1)
    for d in sorted(dims) if keepdim else ():
        out = F.unsqueeze(out, d)
    return out


@published()
def norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """`vector_norm` of one dimension, `matrix_norm` of two; the 2-norm of everything by default."""
    if ord is not None and dim is None and A._array.ndim not in (1, 2):
        raise RuntimeError(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. "
            f"Got {A._array.ndim}D."
        )
    dim = (dim,) if isinstance(dim, int) else dim
    vector = A._array.ndim == 1 if dim is None else len(dim) == 1
    if ord is None or (vector and not isinstance(ord, str)):
        return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)
    dim = (-2, -1) if dim is None else tuple(dim)
    if len(dim) not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got [{_listed(dim)}]"
        )
    return matrix_norm(A, ord, dim, keepdim, dtype=dtype)


@published()
def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number: the norm of `A` times that of its inverse (inf where singular)."""
    check_matrix("linalg.cond", A, "")
    if not A._array.size:
        return A.new_zeros(A._array.shape[:-2])
    if p in (None, 2, -2):
        S = svdvals(A)
        first, last = F.select(S, -1, 0), F.select(S, -1, -1)
        return last / first if p == -2 else first / last
    check_square(f"linalg.cond(ord={p})", A)
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    inverse, info = inv_ex(A)
    product = matrix_norm(A, p) * matrix_norm(inverse, p)
    return F.where(info == 0, product, math.inf)
