"""Functions of matrices in the namespace itself: the older names of those in `torch.linalg`."""

from __future__ import annotations

from typing import Any

from elastic.tensor import linalg, return_types
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor


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
    linalg.check_square("linalg.slogdet", input)
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
    return linalg.cholesky(input, upper=upper)


@public(out=True)
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X of AX = input, where A = L L^H (or U^H U)."""
    for name, each in (("b", input), ("u", L)):
        if each._array.ndim < 2:
            raise RuntimeError(
                f"{name} should have at least 2 dimensions, but has {each._array.ndim} "
                "dimensions instead"
            )
    return F.cholesky_solve(input, L, upper)


@public(out=True)
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A, where A = L L^H (or U^H U) and `input` is L (or U)."""
    linalg.check_square("cholesky_inverse", input)
    return cholesky_solve(linalg.identity_like(input.detach()), input, upper)


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
    P, L, U = linalg.unpacked(LU_data, LU_pivots)
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
    linalg.check_matrix("torch.geqrf", input, "input")
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
            "torch.ormqr: tau.shape[-1] must be less than or equal to input.shape[-1]"
        )
    if other._array.shape[side] != input._array.shape[-2]:
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be equal to input.shape[-2]")
    vectors = linalg.reflectors(input)
    if left:
        scale = F.conj(tau) if transpose else tau
        return linalg.reflected(vectors, scale, other, backwards=not transpose)
    scale = tau if transpose else F.conj(tau)
    turned = linalg.reflected(vectors, scale, linalg.adjoint(other), backwards=transpose)
    return linalg.adjoint(turned)


@public(out=True)
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """(U, S, V): input = U diag(S) V^H. Without `compute_uv`, U and V are zeros."""
    linalg.check_matrix("linalg.svd", input)
    if not compute_uv:
        S = linalg.svdvals(input)
        *batch, m, n = input._array.shape
        U, V = (input.new_zeros((*batch, k, k)) for k in (m, n))
        return return_types.svd(U, S, V)
    U, S, Vh = linalg.svd(input, not some)
    return return_types.svd(U, S, linalg.adjoint(Vh))
