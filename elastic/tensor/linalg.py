"""torch.linalg: functions of matrices, and of batches of them."""

from __future__ import annotations

import builtins
import itertools
import math
from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

from elastic.tensor import dtypes, return_types
from elastic.tensor._errors import LinAlgError, dimension_error
from elastic.tensor._grad_mode import mode
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, requires, wrap
from elastic.tensor.functions.products import cross as _cross_of_torch
from elastic.tensor.functions.products import multiplied

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh",
    "eigvals", "eigvalsh", "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex",
    "ldl_solve", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp",
    "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet",
    "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve",
    "vander", "vecdot", "vector_norm",
]  # fmt: skip

_published = partial(public, function=False, method=False, out=True)

# What is asked of arguments


def check_floating(name: str, x: Tensor, low: bool = False) -> None:
    """Raises: RuntimeError for integers and, unless `low`, for halves."""
    if dtypes.rank(x.dtype) < 2:
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {x.dtype.title}"
        )
    if not low and x.dtype in dtypes.HALVES:
        raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {x.dtype.title}")


def check_matrix(name: str, x: Tensor, argument: str = "A") -> None:
    """Raises: RuntimeError for less than two dimensions."""
    if x._array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")


def check_square(name: str, x: Tensor, argument: str = "A") -> None:
    """Raises: RuntimeError for what is not a matrix of as many rows as columns."""
    check_matrix(name, x, argument)
    m, n = x._array.shape[-2:]
    if m != n:
        raise RuntimeError(
            f"{name}: {argument} must be batches of square matrices, but they are {m} by {n} "
            "matrices"
        )


def _check_info(name: str, info: Tensor, why: str) -> None:
    """Raises: LinAlgError where a matrix of the batch has an `info` that is not 0."""
    numbers = info._array.reshape(-1)
    if not numbers.any():
        return
    k = int(numbers.nonzero()[0][0])
    where = f"(Batch element {k}): " if info._array.ndim else ""
    raise LinAlgError(f"{name}: {where}{why.format(info=int(numbers[k]))}")


_SINGULAR = (
    "The diagonal element {info} is zero, the inversion could not be completed because the input "
    "matrix is singular."
)
_NOT_POSITIVE = (
    "The factorization could not be completed because the input is not positive-definite (the "
    "leading minor of order {info} is not positive-definite)."
)
_UNSOLVABLE = "The solver failed because the input matrix is singular."


def _wants_gradient(*tensors: Tensor) -> bool:
    return mode.enabled and builtins.any(requires(each) for each in tensors)


# Products


@_published()
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """input @ other."""
    return F.matmul(input, other)


@_published()
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along `dim`, which is of size 3."""
    return _cross_of_torch(input, other, dim)


@_published()
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


@_published()
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


@_published()
def matrix_power(A: Tensor, n: int) -> Tensor:
    """A multiplied by itself: `n` factors, or of the inverse for negative `n`."""
    check_square("linalg.matrix_power", A)
    if n < 0:
        return matrix_power(inv(A), -n)
    if n == 0:
        return identity_like(A)
    out: Any = None
    while True:  # by the binary digits of n
        if n & 1:
            out = A if out is None else F.matmul(out, A)
        n >>= 1
        if not n:
            return F.clone(out) if out is A else out
        A = F.matmul(A, A)


def identity_like(A: Tensor) -> Tensor:
    """Identity matrices of the shape and dtype of `A`."""
    return F._identity_like(A)


@_published()
def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Vandermonde's matrix: the powers 0 to N - 1 of each element, in rows."""
    x = x if x._array.ndim else F.unsqueeze(x, 0)
    N = x._array.shape[-1] if N is None else N
    if N <= 1:
        raise RuntimeError("N must be greater than 1.")
    if dtypes.rank(x.dtype) == 0:
        x = x.to(dtypes.int64)
    column = F.unsqueeze(x, -1)
    powers = F.cumprod(F.expand(column, (*x._array.shape, N - 1)), -1)
    return F.cat([F.ones_like(column), powers], -1)


@_published()
def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the diagonals of the last two dimensions."""
    ndim = A._array.ndim
    for d in (dim1, dim2):
        if not -ndim <= d < ndim:
            raise dimension_error(d, ndim)
    if dim1 % ndim == dim2 % ndim:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return F.diagonal(A, offset, dim1, dim2)


# Factorizations


@_published()
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """(L, info): A = L L^H, and the order of the first minor that is not positive, or 0."""
    check_square("linalg.cholesky", A)
    check_floating("linalg.cholesky", A)
    L, info = F.linalg_cholesky_ex(A, upper)
    if check_errors:
        _check_info("linalg.cholesky_ex", info, _NOT_POSITIVE)
    return return_types.linalg_cholesky_ex(L, info)


@_published()
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L of A = L L^H (or `upper` U of U^H U). Raises: LinAlgError when A is not positive."""
    L, info = cholesky_ex(A, upper=upper)
    _check_info("linalg.cholesky", info, _NOT_POSITIVE)
    return L


@_published()
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """(LU, pivots, info): both triangles in one matrix, and the first zero on U's diagonal."""
    check_matrix("torch.lu_factor", A)
    check_floating("torch.lu_factor", A)
    LU, pivots, info = F.linalg_lu_factor_ex(A, pivot)
    if check_errors:
        _check_info("torch.linalg.lu_factor_ex", info, _ZERO_IN_U)
    return return_types.linalg_lu_factor_ex(LU, pivots, info)


_ZERO_IN_U = (
    "U[{info},{info}] is zero and using it on lu_solve would result in a division by zero. If you "
    "still want to perform the factorization, consider calling linalg.lu(A, pivot) or "
    "linalg.lu_factor_ex(A, pivot)"
)


@_published()
def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """(LU, pivots), for `lu_solve`. Raises: LinAlgError, where U has a zero on its diagonal."""
    LU, pivots, info = lu_factor_ex(A, pivot=pivot)
    _check_info("torch.linalg.lu_factor", info, _ZERO_IN_U)
    return return_types.linalg_lu_factor(LU, pivots)


@_published()
def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """(P, L, U): A = P L U. Without `pivot`, P is empty."""
    check_matrix("linalg.lu", A)
    check_floating("linalg.lu", A)
    LU, pivots, _ = F.linalg_lu_factor_ex(A, pivot)
    P, L, U = unpacked(LU, pivots)
    return return_types.linalg_lu(P if pivot else _empty(A), L, U)


def unpacked(LU: Tensor, pivots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U out of one matrix and the rows that were exchanged."""
    m, n = LU._array.shape[-2:]
    k = builtins.min(m, n)
    lower = F.tril(F.narrow(LU, -1, 0, k), -1)
    rows = LU.new_zeros((*LU._array.shape[:-1], m))
    P = F._permute_rows(identity_like(rows), pivots, True)
    return P, lower + identity_like(lower), F.triu(F.narrow(LU, -2, 0, k))


def _empty(A: Tensor) -> Tensor:
    return A.new_empty((0,))


@_published()
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Any:
    """(LD, pivots, info): A = L D L^T, of a symmetric A, packed as LAPACK does."""
    check_square("torch.linalg.ldl_factor_ex", A)
    check_floating("torch.linalg.ldl_factor_ex", A)
    LD, pivots, info = F.linalg_ldl_factor_ex(A, hermitian)
    if check_errors:
        _check_info("torch.linalg.ldl_factor_ex", info, _SINGULAR)
    return return_types.linalg_ldl_factor_ex(LD, pivots, info)


@_published()
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> Any:
    """(LD, pivots), for `ldl_solve`."""
    LD, pivots, info = ldl_factor_ex(A, hermitian=hermitian)
    _check_info("torch.linalg.ldl_factor_ex", info, _SINGULAR)
    return return_types.linalg_ldl_factor(LD, pivots)


@_published()
def qr(A: Tensor, mode: str = "reduced") -> Any:
    """(Q, R): A = Q R. `mode` "complete" gives a square Q, "r" an empty one."""
    check_matrix("linalg.qr", A)
    check_floating("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), "
            "'r', or 'complete'"
        )
    return return_types.linalg_qr(*F.linalg_qr(A, mode))


@_published()
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """(eigenvalues, eigenvectors) of a Hermitian matrix, of which one triangle is read."""
    _check_triangle("linalg.eigh", A, UPLO)
    return return_types.linalg_eigh(*F._linalg_eigh(A, UPLO.upper()))


@_published()
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of a Hermitian matrix, in ascending order."""
    _check_triangle("linalg.eigvalsh", A, UPLO)
    return F._linalg_eigh(A, UPLO.upper(), _wants_gradient(A))[0]


def _check_triangle(name: str, A: Tensor, UPLO: str) -> None:
    check_square(name, A)
    check_floating(name, A)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")


@_published()
def eig(A: Tensor) -> Any:
    """(eigenvalues, eigenvectors) of any square matrix: complex numbers."""
    _check_eig("linalg.eig", A)
    return return_types.linalg_eig(*F.linalg_eig(A))


@_published()
def eigvals(A: Tensor) -> Tensor:
    """The eigenvalues of any square matrix: complex numbers."""
    _check_eig("linalg.eigvals", A)
    return F.linalg_eig(A)[0]


def _check_eig(name: str, A: Tensor) -> None:
    check_square(name, A)
    check_floating(name, A)
    if not bool(F.all(F.isfinite(A))):
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")


@_published()
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """(U, S, Vh): A = U diag(S) Vh, the singular values in descending order."""
    _check_svd("linalg.svd", A, driver)
    return return_types.linalg_svd(*F._linalg_svd(A, full_matrices))


@_published()
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values, in descending order."""
    _check_svd("linalg.svd", A, driver)
    return F._linalg_svd(A, False, _wants_gradient(A))[1]


def _check_svd(name: str, A: Tensor, driver: str | None) -> None:
    check_matrix(name, A)
    check_floating(name, A)
    if driver is not None:
        raise RuntimeError(
            f"{name}: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER "
            "backend."
        )


@_published()
def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first columns of the product of reflections, whose vectors are the columns of `A`."""
    name = "torch.linalg.householder_product"
    if A._array.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    m, n = A._array.shape[-2:]
    if m < n:
        raise RuntimeError(
            f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]"
        )
    if n < tau._array.shape[-1]:
        raise RuntimeError(
            f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]"
        )
    if tau._array.shape[:-1] != A._array.shape[:-2]:
        raise RuntimeError(
            f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got "
            f"{list(tau.shape[:-1])}"
        )
    if tau._array.dtype != A._array.dtype:
        raise RuntimeError(
            f"tau dtype {tau.dtype.title} does not match input dtype {A.dtype.title}"
        )
    vectors = reflectors(A)
    return reflected(vectors, tau, identity_like(A), backwards=True)


def reflectors(A: Tensor) -> Tensor:
    """The vectors of the reflections that are packed below the diagonal of `A`."""
    return F.tril(A, -1) + identity_like(A)


def reflected(vectors: Tensor, tau: Tensor, C: Tensor, backwards: bool) -> Tensor:
    """`C` after the reflections 1 - tau v v^H, one after the other: the last first, `backwards`."""
    order = range(tau._array.shape[-1])
    for k in reversed(order) if backwards else order:
        v = F.narrow(vectors, -1, k, 1)
        row = F.matmul(adjoint(v), C)
        C = C - F.matmul(v * F.unsqueeze(F.narrow(tau, -1, k, 1), -1), row)
    return C


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions."""
    turned = F.transpose(x, -1, -2)
    return F.conj(turned) if x.dtype.is_complex else turned


# Inverses and equations


@_published()
def inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """(inverse, info): info is the number of the first zero on the diagonal of U, or 0."""
    check_square("linalg.inv", A)
    check_floating("linalg.inv", A)
    inverse, info = F.linalg_inv_ex(A)
    if check_errors:
        _check_info("linalg.inv_ex", info, _SINGULAR)
    return return_types.linalg_inv_ex(inverse, info)


@_published()
def inv(A: Tensor) -> Tensor:
    """The inverse. Raises: LinAlgError for a singular matrix."""
    inverse, info = inv_ex(A)
    _check_info("linalg.inv", info, _SINGULAR)
    return inverse


@_published()
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """(X, info): AX = B (or XA = B), of matrices or of a vector B."""
    return _solved("linalg.solve_ex", A, B, left, check_errors)


@_published()
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X of AX = B (or XA = B). Raises: LinAlgError for a singular A."""
    return _solved("torch.linalg.solve", A, B, left, True)[0]


def _solved(name: str, A: Tensor, B: Tensor, left: bool, check: bool) -> Any:
    check_square("linalg.solve", A)
    check_floating("linalg.solve", A)
    _check_same_dtype("linalg.solve", A, B)
    vector = is_vector(A, B)
    if vector and not left:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for "
            "left=False. In this case linalg.solve is equivalent to B / A.squeeze(-1)"
        )
    right = F.unsqueeze(B, -1) if vector else B
    _check_sides("linalg.solve", A, right, left)
    X, info = F._linalg_solve_ex(A, right, left)
    if check:
        _check_info(name, info, _UNSOLVABLE)
    return return_types.linalg_solve_ex(F.squeeze(X, -1) if vector else X, info)


def is_vector(A: Tensor, B: Tensor) -> bool:
    """Whether `B` is a right side of vectors: one, or one for each matrix of `A`."""
    return B._array.ndim == 1 or B._array.shape == A._array.shape[:-1]


def _check_same_dtype(name: str, A: Tensor, B: Tensor) -> None:
    if A._array.dtype != B._array.dtype:
        raise RuntimeError(
            f"{name}: Expected A and B to have the same dtype, but found A of type "
            f"{A.dtype.title} and B of type {B.dtype.title} instead"
        )


def _check_sides(name: str, A: Tensor, B: Tensor, left: bool) -> None:
    check_matrix(name, B, "B")
    a, b = A._array.shape[-2:], B._array.shape[-2:]
    if (a[0] != b[0]) if left else (a[1] != b[1]):
        side = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {side} "
            f"({a[0]}x{a[1]} and {b[0]}x{b[1]})"
        )


@_published()
def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X of AX = B (or XA = B), where only one triangle of `A` counts (its diagonal may be 1)."""
    check_square("linalg.solve_triangular", A)
    _check_same_dtype("linalg.solve_triangular", A, B)
    _check_sides("linalg.solve_triangular", A, B, left)
    return F.linalg_solve_triangular(A, B, upper, left, unitriangular)


@_published()
def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X of AX = B (or XA = B, or with A^H), from what `lu_factor` made of A."""
    check_floating("torch.linalg.lu_solve", LU)
    check_square("torch.linalg.lu_solve", LU, "LU")
    _check_sides("linalg.lu_solve", LU, B, left)
    if not left:
        return _adjoint(lu_solve(LU, pivots, _adjoint(B), adjoint=not adjoint))
    triangular = F.linalg_solve_triangular
    if adjoint:
        turned = _adjoint(LU)
        X = triangular(turned, triangular(turned, B, False), True, True, True)
        return F._permute_rows(X, pivots, True)
    X = triangular(LU, F._permute_rows(B, pivots), False, True, True)
    return triangular(LU, X, True)


_adjoint = adjoint


@_published()
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """X of AX = B, from what `ldl_factor` made of A."""
    check_square("torch.linalg.ldl_solve", LD, "LD")
    check_floating("torch.linalg.ldl_solve", LD)
    return F.linalg_ldl_solve(LD, pivots, B, hermitian)


@_published()
def det(A: Tensor) -> Tensor:
    """The determinant."""
    check_square("linalg.det", A)
    check_floating("linalg.det", A)
    return F._linalg_det(A)


@_published()
def slogdet(A: Tensor) -> Any:
    """(sign, logabsdet): the determinant is sign * exp(logabsdet)."""
    check_square("linalg.slogdet", A)
    check_floating("linalg.slogdet", A)
    return return_types.linalg_slogdet(*F._linalg_slogdet(A))


@_published()
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


@_published()
def pinv(
    A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """The pseudoinverse: singular values up to max(atol, rtol * the largest) count as 0."""
    check_matrix("linalg.pinv", A)
    check_floating("linalg.pinv", A)
    atol, rtol = _limits(A, atol, rcond if rtol is None else rtol)
    return F.linalg_pinv(A, _raw(atol), _raw(rtol), hermitian)


@_published()
def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None
) -> Tensor:
    """How many singular values exceed max(atol, rtol * the largest)."""
    check_matrix("torch.linalg.matrix_rank", A)
    check_floating("linalg.matrix_rank", A)
    if tol is not None:
        atol, rtol = tol, 0.0
    atol, rtol = _limits(A, atol, rtol)
    A = A.detach()
    S = F.abs(eigvalsh(A)) if hermitian else svdvals(A)
    if not S._array.shape[-1]:
        return wrap(F.count_nonzero(S, -1)._array)
    limit = F.maximum(F.amax(S, -1) * rtol, atol if _is_tensor(atol) else S.new_full((), atol))
    return F.sum(F.unsqueeze(limit, -1) < S, -1)


@_published()
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
    if m > n and full and driver != "gelsy":
        residuals = F.sum(F.square(F.abs(F.matmul(A, X) - right)), -2)
    return return_types.linalg_lstsq(
        F.squeeze(X, -1) if vector else X,
        residuals,
        rank if driver != "gels" else rank.new_empty((0,)),
        S if driver in ("gelsd", "gelss") else _empty(S),
    )


def _check_lstsq(A: Tensor, B: Tensor, driver: str | None) -> None:
    name = "torch.linalg.lstsq"
    check_floating(name, A)
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
    if A._array.dtype != B._array.dtype:
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but got input's dtype "
            f"{A.dtype.title} and other's dtype {B.dtype.title}"
        )


@_published()
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of the map from the last dimensions of `A` to its first `ind`."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    shape = tuple(A._array.shape)
    rows, columns = prod(shape[:ind]), prod(shape[ind:])
    if rows != columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {columns} != {rows}"
        )
    return F.reshape(inv(F.reshape(A, (rows, columns))), (*shape[ind:], *shape[:ind]))


@_published()
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
            f"{prod(A._array.shape[: B._array.ndim])}"
        )
    X = solve(F.reshape(A, (count, count)), F.reshape(B, (count,)))
    return F.reshape(X, shape)


# Norms


@_published()
def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The norm of the elements over `dim` (default all): the `ord`-th root of their powers."""
    check_floating("linalg.vector_norm", x, low=True)
    return F.norm(x if dtype is None else x.to(dtype), ord, dim, keepdim)


@_published()
def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The norm of matrices: "fro", "nuc", or 1, -1, 2, -2, inf, -inf."""
    check_matrix("linalg.matrix_norm", A)
    check_floating("linalg.matrix_norm", A, low=True)
    A = A if dtype is None else A.to(dtype)
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


@_published()
def norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """`vector_norm` of one dimension, `matrix_norm` of two; the 2-norm of everything by default."""
    if ord is not None and dim is None and A._array.ndim not in (1, 2):
        raise RuntimeError(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. "
            f"Got {A._array.ndim}D."
        )
    if ord is None or (dim is None and A._array.ndim == 1) or isinstance(dim, int):
        return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)
    dim = (0, 1) if dim is None else tuple(dim)
    if len(dim) == 1 and not isinstance(ord, str):
        return vector_norm(A, ord, dim, keepdim, dtype=dtype)
    if len(dim) not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got [{_listed(dim)}]"
        )
    return matrix_norm(A, ord, dim, keepdim, dtype=dtype)


@_published()
def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number: the norm of `A` times that of its inverse (inf where singular)."""
    check_matrix("linalg.cond", A)
    if p in (None, 2, -2):
        S = svdvals(A)
        first, last = F.select(S, -1, 0), F.select(S, -1, -1)
        return last / first if p == -2 else first / last
    check_square("linalg.cond", A)
    inverse, info = inv_ex(A)
    product = matrix_norm(A, p) * matrix_norm(inverse, p)
    return F.where(info == 0, product, math.inf)
