"""Inverses, linear equations, determinants."""

from __future__ import annotations

import builtins
from math import prod
from typing import Any

from elastic.tensor import dtypes, return_types
from elastic.tensor._errors import dimension_error
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor.linalg._checks import (
    SINGULAR,
    UNSOLVABLE,
    check_floating,
    check_info,
    check_kernel,
    check_matrix,
    check_same_dtype,
    check_sides,
    check_square,
    published,
)
from elastic.tensor.linalg._factorizations import adjoint as _adjoint
from elastic.tensor.linalg._factorizations import eigvalsh, empty_like, svdvals

# Inverses and equations


@published()
def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """(inverse, info): info is the number of the first zero on the diagonal of U, or 0."""
    check_square("linalg.inv", A)
    check_floating("linalg.inv", A)
    inverse, info = F.linalg_inv_ex(A)
    if check_errors:
        check_info("linalg.inv_ex", info, SINGULAR)
    return return_types.linalg_inv_ex(inverse, info)


@published()
def inv(A: Tensor) -> Tensor:
    """The inverse. Raises: LinAlgError for a singular matrix."""
    inverse, info = inv_ex(A)
    check_info("linalg.inv", info, SINGULAR)
    return inverse


@published()
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """(X, info): AX = B (or XA = B), of matrices or of a vector B."""
    return _solved("torch.linalg.solve_ex", A, B, left, check_errors)


@published()
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X of AX = B (or XA = B). Raises: LinAlgError for a singular A."""
    return _solved("torch.linalg.solve", A, B, left, True)[0]


def _solved(name: str, A: Tensor, B: Tensor, left: bool, check: bool) -> Any:
    check_square("linalg.solve", A)
    check_floating("linalg.solve", A)
    check_same_dtype("linalg.solve", A, B)
    vector = is_vector(A, B)
    right = F.unsqueeze(B, -1) if vector else B
    check_sides("linalg.solve", A, right, left)
    X, info = F._linalg_solve_ex(A, right, left)
    if check:
        check_info(name, info, UNSOLVABLE)
    return return_types.linalg_solve_ex(F.squeeze(X, -1) if vector else X, info)


def is_vector(A: Tensor, B: Tensor) -> bool:
    """Whether `B` is a right side of vectors: one, or one for each matrix of `A`."""
    return B._array.ndim == 1 or B._array.shape == A._array.shape[:-1]


@published()
def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X of AX = B (or XA = B), where only one triangle of `A` counts (its diagonal may be 1)."""
    check_square("linalg.solve_triangular", A)
    check_kernel("triangular_solve_cpu", A)
    check_same_dtype("linalg.solve_triangular", A, B)
    check_sides("linalg.solve_triangular", A, B, left)
    return F.linalg_solve_triangular(A, B, upper, left, unitriangular)


@published()
def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X of AX = B (or XA = B, or with A^H), from what `lu_factor` made of A."""
    _check_lu_solve(LU, pivots, B)
    check_sides("linalg.lu_solve", LU, B, left)
    if not left:
        return _adjoint(lu_solve(LU, pivots, _adjoint(B), adjoint=not adjoint))
    triangular = F.linalg_solve_triangular
    if adjoint:
        turned = _adjoint(LU)
        X = triangular(turned, triangular(turned, B, False), True, True, True)
        return F._permute_rows(X, pivots, True)
    X = triangular(LU, F._permute_rows(B, pivots), False, True, True)
    return triangular(LU, X, True)


def _check_lu_solve(LU: Tensor, pivots: Tensor, B: Tensor) -> None:
    check_floating("torch.linalg.lu_solve", LU)
    check_same_dtype("linalg.lu_solve", LU, B, "LU")
    if pivots.dtype is not dtypes.int32:
        raise RuntimeError("linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    check_square("torch.linalg.lu_solve", LU)
    if pivots._array.shape[-1] != LU._array.shape[-1]:
        raise RuntimeError(
            "linalg.lu_solve: Number of pivots per batch should be same as the dimension of the "
            "matrix"
        )


@published()
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """X of AX = B, from what `ldl_factor` made of A."""
    check_square("torch.linalg.ldl_solve", LD)
    check_floating("torch.linalg.ldl_solve", LD)
    check_rows("torch.linalg.ldl_solve", LD, B)
    return F.linalg_ldl_solve(LD, pivots, B, hermitian)


def check_rows(name: str, A: Tensor, b: Tensor) -> None:
    """Raises: RuntimeError, unless each `b` has as many rows as its `A`."""
    if b._array.ndim < 2:
        raise dimension_error(-2, b._array.ndim)
    (m, n), (k, p) = A._array.shape[-2:], b._array.shape[-2:]
    if n != k:
        raise RuntimeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {m} by {n} but each b matrix "
            f"is {k} by {p}"
        )


@published()
def det(A: Tensor) -> Tensor:
    """The determinant."""
    check_square("linalg.det", A)
    check_floating("linalg.det", A, "lu_cpu")
    return F._linalg_det(A)


@published()
def slogdet(A: Tensor) -> Any:
    """(sign, logabsdet): the determinant is sign * exp(logabsdet)."""
    check_square("linalg.slogdet", A)
    check_floating("linalg.slogdet", A)
    return return_types.linalg_slogdet(*F._linalg_slogdet(A))


@published()
def matrix_exp(A: Tensor) -> Tensor:
    """The exponential: the sum of A^k / k!."""
    check_square("linalg.matrix_exp", A)
    check_floating("linalg.matrix_exp", A, low=True)
    return F.linalg_matrix_exp(A)


def _limits(A: Tensor, atol: Any, rtol: Any) -> tuple:
    """How small singular values count as 0: absolutely, and relative to the largest."""
    eps = dtypes.finfo(dtypes.FROM_NUMPY[A._array.real.dtype]).eps
    if rtol is None:
        given = atol is not None and bool((_raw(atol) > 0).any() if _is_tensor(atol) else atol > 0)
        rtol = 0.0 if given else eps * builtins.max(A._array.shape[-2:])
    return 0.0 if atol is None else atol, rtol


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _raw(value: Any) -> Any:
    return value._array if isinstance(value, Tensor) else value


@published()
def pinv(
    A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """The pseudoinverse: singular values up to max(atol, rtol * the largest) count as 0."""
    if A._array.ndim < 2 or dtypes.rank(A.dtype) < 2 or A.dtype in dtypes.HALVES:
        raise RuntimeError(
            f"linalg.pinv({A.dtype.title}{{{list(A.shape)}}}): expected a tensor with 2 or more "
            "dimensions of float, double, cfloat or cdouble types"
        )
    for name, limit in (("atol", atol), ("rtol", rtol)):
        if isinstance(limit, Tensor) and limit.dtype.is_complex:
            raise RuntimeError(
                f"torch.linalg.pinv: {name} tensor of complex type is not supported. "
                f"Got {limit.dtype.title}"
            )
    atol, rtol = _limits(A, atol, rcond if rtol is None else rtol)
    return F.linalg_pinv(A, _raw(atol), _raw(rtol), hermitian)


@published()
def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """How many singular values exceed max(atol, rtol * the largest)."""
    check_matrix("torch.linalg.matrix_rank", A, " input")
    _check_precision(A)
    if tol is not None:
        atol, rtol = tol, 0.0
    atol, rtol = _limits(A, atol, rtol)
    A = A.detach()
    S = F.abs(eigvalsh(A)) if hermitian else svdvals(A)
    if not S._array.shape[-1]:
        return wrap(F.count_nonzero(S, -1)._array)
    limit = F.maximum(F.amax(S, -1) * rtol, atol if _is_tensor(atol) else S.new_full((), atol))
    return F.sum(F.unsqueeze(limit, -1) < S, -1)


def _check_precision(A: Tensor) -> None:
    if dtypes.rank(A.dtype) < 2 or A.dtype in dtypes.HALVES:
        raise RuntimeError("This function doesn't handle types other than float and double")


@published()
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """(solution, residuals, rank, singular_values) of the least |AX - B|, of least |X|.

    What `driver` ("gelsy", "gels", "gelsd" or "gelss") does not know is empty.
    """
    _check_lstsq(A, B, driver)
    driver = driver or "gelsy"
    m, n = A._array.shape[-2:]
    vector = is_vector(A, B)
    right = F.unsqueeze(B, -1) if vector else B
    if rcond is None:
        rcond = dtypes.finfo(dtypes.FROM_NUMPY[A._array.real.dtype]).eps * builtins.max(m, n)
    X, rank, S = F._linalg_lstsq(A, right, rcond)
    S = S.detach()
    full = bool((rank._array == builtins.min(m, n)).all())
    residuals = F.narrow(F.reshape(X, (-1,)), 0, 0, 0)  # empty, yet part of the graph
    residuals = F.real(residuals) if X.dtype.is_complex else residuals
    if m > n and driver != "gelsy" and (full or driver == "gels"):
        residuals = F.sum(F.square(F.abs(F.matmul(A, X) - right)), -2)
    return return_types.linalg_lstsq(
        F.squeeze(X, -1) if vector else X,
        residuals,
        rank if driver != "gels" else rank.new_empty((0,)),
        S if driver in ("gelsd", "gelss") else empty_like(S),
    )


def _check_lstsq(A: Tensor, B: Tensor, driver: str | None) -> None:
    name = "torch.linalg.lstsq"
    if A._array.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if B._array.ndim < 1:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    if driver not in (None, "gels", "gelsd", "gelss", "gelsy"):
        raise RuntimeError(
            f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    rows = B._array.shape[-1 if is_vector(A, B) else -2]
    if rows != A._array.shape[-2]:
        size = -1 if is_vector(A, B) else -2
        raise RuntimeError(f"{name}: input.size(-2) should match other.size({size})")
    _check_precision(A)
    if A._array.dtype != B._array.dtype:
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but got input's dtype "
            f"{A.dtype.title} and other's dtype {B.dtype.title}"
        )


@published()
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of the map from the last dimensions of `A` to its first `ind`."""
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    shape = tuple(A._array.shape)
    rows, columns = prod(shape[:ind]), prod(shape[ind:])
    if rows != columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {columns} != {rows}"
        )
    return F.reshape(inv(F.reshape(A, (rows, columns))), (*shape[ind:], *shape[:ind]))


@published()
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """X whose product with `A` over all dimensions of X is `B`; `dims` of `A` are moved last."""
    if dims is not None:
        A = F.movedim(A, tuple(dims), tuple(range(-len(dims), 0)))
    shape = tuple(A._array.shape[B._array.ndim :])
    count = B._array.size
    if prod(shape) != count or A._array.size != count * count:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {prod(shape)} != "
            f"{count}"
        )
    X = solve(F.reshape(A, (count, count)), F.reshape(B, (count,)))
    return F.reshape(X, shape)
