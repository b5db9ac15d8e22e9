"""Functions of matrices in the namespace itself: the older names of those in `torch.linalg`."""

from __future__ import annotations

from typing import Any

from elastic.tensor import dtypes, linalg, return_types
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor
from elastic.tensor.linalg._checks import (
    NOT_POSITIVE,
    check_floating,
    check_info,
    check_kernel,
    check_square,
)
from elastic.tensor.linalg._equations import check_rows
from elastic.tensor.linalg._factorizations import adjoint, reflected, reflectors, unpacked
from elastic.tensor.linalg._products import identity_like


@public(out=True)
def det(input: Tensor) -> Tensor:
    """The determinant."""
    return linalg.det(input)


@public(out=True)
def slogdet(input: Tensor) -> Any:
    """(sign, logabsdet): the determinant is sign * exp(logabsdet)."""
    return return_types.slogdet(*linalg.slogdet(input))


@public()
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant: nan where it is negative."""
    check_square("logdet", input)
    check_floating("logdet", input)
    sign, size = F._linalg_slogdet(input)
    if input.dtype.is_complex:
        return F.log(sign) + size
    return F.where(sign == -1, float("nan"), size)


@public(out=True)
def inverse(input: Tensor) -> Tensor:
    """The inverse. Raises: LinAlgError for a singular matrix."""
    return linalg.inv(input)


@public(out=True)
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudoinverse: singular values up to `rcond` times the largest count as 0."""
    return linalg.pinv(input, rcond)


@public()
def matrix_exp(input: Tensor) -> Tensor:
    """The exponential: the sum of input^k / k!."""
    return linalg.matrix_exp(input)


@public(out=True)
def matrix_power(input: Tensor, n: int) -> Tensor:
    """A matrix multiplied by itself `n` times; its inverse for negative `n`."""
    return linalg.matrix_power(input, n)


@public(method=False, out=True)
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Vandermonde's matrix of a vector: its powers, the highest first unless `increasing`."""
    if x._array.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    N = x._array.size if N is None else N
    if N < 0:
        raise RuntimeError("N must be non-negative.")
    ones = F.ones_like(F.unsqueeze(x, -1))
    if N < 2:
        powers = F.narrow(ones, -1, 0, N)
    else:
        powers = linalg.vander(x, N=N)
    return powers if increasing else F.flip(powers, (-1,))


# Cholesky


@public(out=True)
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """L of input = L L^H, or `upper` U of U^H U. Raises: LinAlgError."""
    check_square("cholesky", input)
    check_kernel("cholesky_cpu", input)
    L, info = F.linalg_cholesky_ex(input, upper)
    check_info("cholesky", info, NOT_POSITIVE)
    return L


@public(out=True)
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X of AX = input, where A = L L^H (or U^H U)."""
    for name, each in (("b", input), ("u", L)):
        if each._array.ndim < 2:
            raise RuntimeError(
                f"{name} should have at least 2 dimensions, but has {each._array.ndim} "
                "dimensions instead"
            )
    _check_equation("cholesky_solve", L, input)
    return F.cholesky_solve(input, L, upper)


def _check_equation(name: str, A: Tensor, b: Tensor) -> None:
    m, n = A._array.shape[-2:]
    if m != n:
        raise RuntimeError(
            f"A must be batches of square matrices, but they are {m} by {n} matrices"
        )
    check_rows(name, A, b)
    if A._array.dtype != b._array.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {b.dtype.title} and A "
            f"of type {A.dtype.title} instead."
        )


@public(out=True)
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A, where A = L L^H (or U^H U) and `input` is L (or U)."""
    check_square("cholesky_inverse", input)
    check_kernel("cholesky_inverse_out_cpu", input)
    return F.cholesky_solve(identity_like(input.detach()), input, upper)


# LU


@public(out=True)
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """X of AX = b, from what `linalg.lu_factor` made of A."""
    return linalg.lu_solve(LU_data, LU_pivots, b)


@public(method=False, out=True)
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> Any:
    """(P, L, U) out of what `linalg.lu_factor` made; what is not asked for is empty."""
    if LU_pivots.dtype is not dtypes.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype."
        )
    pivots = LU_pivots._array
    if pivots.size and not 0 < pivots.min() <= pivots.max() <= LU_data._array.shape[-2]:
        raise RuntimeError(
            "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive."
            "Did you properly pass the result of lu_factor?"
        )
    P, L, U = unpacked(LU_data, LU_pivots)
    empty = LU_data.new_empty((0,))
    return return_types.lu_unpack(
        P if unpack_pivots else empty,
        L if unpack_data else empty,
        U if unpack_data else empty,
    )


@public()
def lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple:
    """(LU, pivots), and with `get_infos` the number of the first zero on U's diagonal."""
    found = linalg.lu_factor_ex(A, pivot=pivot)
    return tuple(found) if get_infos else tuple(found)[:2]


@public(out=True)
def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    """(X, a copy of A): X of AX = b, or of A^T X = b with `transpose`."""
    for name, each in (("b", b), ("A", A)):
        if each._array.ndim < 2:
            raise RuntimeError(
                f"torch.triangular_solve: Expected {name} to have at least 2 dimensions, but it "
                f"has {each._array.ndim} dimensions instead"
            )
    _check_equation("triangular_solve", A, b)
    side = F.transpose(A, -1, -2) if transpose else A
    X = F.linalg_solve_triangular(side, b, upper != transpose, True, unitriangular)
    return return_types.triangular_solve(X, F.clone(A))


# QR and SVD


@public(out=True)
def qr(input: Tensor, some: bool = True) -> Any:
    """(Q, R): input = Q R; Q is square unless `some`."""
    return return_types.qr(*linalg.qr(input, "reduced" if some else "complete"))


@public(out=True)
def geqrf(input: Tensor) -> Any:
    """(a, tau): R and the vectors of the reflections in one matrix, as LAPACK packs them."""
    if input._array.ndim < 2:
        raise RuntimeError("torch.geqrf: input must have at least 2 dimensions.")
    check_kernel("geqrf_cpu", input)
    return return_types.geqrf(*F._geqrf(input))


@public(out=True)
def orgqr(input: Tensor, tau: Tensor) -> Tensor:
    """The first columns of the product of reflections: see `linalg.householder_product`."""
    return linalg.householder_product(input, tau)


@public(out=True)
def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """Q @ other (or other @ Q), where Q is the full product of reflections, or its adjoint."""
    if input._array.ndim < 2:
        raise RuntimeError("torch.ormqr: input must have at least 2 dimensions.")
    if other._array.ndim < 2:
        raise RuntimeError("torch.ormqr: other must have at least 2 dimensions.")
    side = -2 if left else -1
    if tau._array.shape[-1] > input._array.shape[-1]:
        raise RuntimeError(
            "torch.ormqr: tau.shape[-1] must be equal to min(other.shape[-2], input.shape[-1])"
        )
    if other._array.shape[side] != input._array.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be equal to input.shape[-2]")
    if tau._array.dtype != input._array.dtype:
        raise RuntimeError(
            "torch.ormqr: Expected input and tau to have the same dtype, but input has dtype"
            f"{input.dtype.title} and tau has dtype {tau.dtype.title}"
        )
    vectors = reflectors(input)
    if left:
        scale = F.conj(tau) if transpose else tau
        return reflected(vectors, scale, other, backwards=not transpose)
    scale = tau if transpose else F.conj(tau)
    turned = reflected(vectors, scale, adjoint(other), backwards=transpose)
    return adjoint(turned)


@public(out=True)
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """(U, S, V): input = U diag(S) V^H. Without `compute_uv`, U and V are zeros."""
    if input._array.ndim < 2:
        raise RuntimeError(
            "linalg.svd: input should have at least 2 dimensions, but has "
            f"{input._array.ndim} dimensions instead"
        )
    if not compute_uv:
        S = linalg.svdvals(input)
        *batch, m, n = input._array.shape
        U, V = (input.new_zeros((*batch, k, k)) for k in (m, n))
        return return_types.svd(U, S, V)
    U, S, Vh = linalg.svd(input, not some)
    return return_types.svd(U, S, adjoint(Vh))
