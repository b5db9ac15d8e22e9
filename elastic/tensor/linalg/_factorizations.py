"""Factorizations of matrices."""

from __future__ import annotations

import builtins
from typing import Any

from elastic.tensor import dtypes, return_types
from elastic.tensor._grad_mode import mode
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, requires
from elastic.tensor.linalg._checks import (
    NOT_POSITIVE,
    SINGULAR,
    ZERO_IN_U,
    check_floating,
    check_info,
    check_kernel,
    check_matrix,
    check_square,
    published,
)
from elastic.tensor.linalg._products import identity_like

# Factorizations


@published()
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """(L, info): A = L L^H, and the order of the first minor that is not positive, or 0."""
    check_square("linalg.cholesky", A)
    check_floating("linalg.cholesky", A, "cholesky_cpu")
    L, info = F.linalg_cholesky_ex(A, upper)
    if check_errors:
        check_info("linalg.cholesky_ex", info, NOT_POSITIVE)
    return return_types.linalg_cholesky_ex(L, info)


@published()
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L of A = L L^H (or `upper` U of U^H U). Raises: LinAlgError when A is not positive."""
    L, info = cholesky_ex(A, upper=upper)
    check_info("linalg.cholesky", info, NOT_POSITIVE)
    return L


@published()
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """(LU, pivots, info): both triangles in one matrix, and the first zero on U's diagonal."""
    _check_lu("torch.lu_factor", A)
    LU, pivots, info = F.linalg_lu_factor_ex(A, pivot)
    if check_errors:
        check_info("torch.linalg.lu_factor_ex", info, ZERO_IN_U, RuntimeError)
    return return_types.linalg_lu_factor_ex(LU, pivots, info)


@published()
def lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """(LU, pivots), for `lu_solve`. Raises: LinAlgError, where U has a zero on its diagonal."""
    LU, pivots, info = lu_factor_ex(A, pivot=pivot)
    check_info("torch.linalg.lu_factor", info, ZERO_IN_U, RuntimeError)
    return return_types.linalg_lu_factor(LU, pivots)


@published()
def lu(A: Tensor, *, pivot: bool = True) -> Any:
    """(P, L, U): A = P L U. Without `pivot`, P is empty."""
    _check_lu("linalg.lu", A)
    LU, pivots, _ = F.linalg_lu_factor_ex(A, pivot)
    P, L, U = unpacked(LU, pivots)
    return return_types.linalg_lu(P if pivot else empty_like(A), L, U)


def _check_lu(name: str, A: Tensor) -> None:
    if A._array.ndim < 2:
        raise RuntimeError(
            f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(A.shape)} instead"
        )
    check_kernel("lu_cpu", A)


def unpacked(LU: Tensor, pivots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U out of one matrix and the rows that were exchanged."""
    m, n = LU._array.shape[-2:]
    k = builtins.min(m, n)
    lower = F.tril(F.narrow(LU, -1, 0, k), -1)
    rows = LU.new_zeros((*LU._array.shape[:-1], m))
    P = F._permute_rows(identity_like(rows), pivots, True)
    return P, lower + identity_like(lower), F.triu(F.narrow(LU, -2, 0, k))


def empty_like(A: Tensor) -> Tensor:
    """A tensor without elements."""
    return A.new_empty((0,))


@published()
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Any:
    """(LD, pivots, info): A = L D L^T, of a symmetric A, packed as LAPACK does."""
    check_square("torch.linalg.ldl_factor_ex", A)
    check_floating("torch.linalg.ldl_factor_ex", A, "ldl_factor_kernel_cpu")
    LD, pivots, info = F.linalg_ldl_factor_ex(A, hermitian)
    if check_errors:
        check_info("torch.linalg.ldl_factor_ex", info, SINGULAR)
    return return_types.linalg_ldl_factor_ex(LD, pivots, info)


@published()
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> Any:
    """(LD, pivots), for `ldl_solve`."""
    LD, pivots, info = ldl_factor_ex(A, hermitian=hermitian)
    check_info("torch.linalg.ldl_factor_ex", info, SINGULAR)
    return return_types.linalg_ldl_factor(LD, pivots)


@published()
def qr(A: Tensor, mode: str = "reduced") -> Any:
    """(Q, R): A = Q R. `mode` "complete" gives a square Q, "r" an empty one."""
    check_matrix("linalg.qr", A)
    check_floating("linalg.qr", A, "geqrf_cpu")
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), "
            "'r', or 'complete'"
        )
    return return_types.linalg_qr(*F.linalg_qr(A, mode))


@published()
def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """(eigenvalues, eigenvectors) of a Hermitian matrix, of which one triangle is read."""
    _check_eigh(A, UPLO)
    return return_types.linalg_eigh(*F._linalg_eigh(A, UPLO.upper()))


@published()
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of a Hermitian matrix, in ascending order."""
    _check_eigh(A, UPLO)
    return F._linalg_eigh(A, UPLO.upper(), _wants_gradient(A))[0]


def _check_eigh(A: Tensor, UPLO: str) -> None:
    check_square("linalg.eigh", A)
    check_kernel("linalg_eigh_cpu", A)
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")


@published()
def eig(A: Tensor) -> Any:
    """(eigenvalues, eigenvectors) of any square matrix: complex numbers."""
    _check_eig("linalg.eig", A)
    return return_types.linalg_eig(*F.linalg_eig(A))


@published()
def eigvals(A: Tensor) -> Tensor:
    """The eigenvalues of any square matrix: complex numbers."""
    _check_eig("linalg.eigvals", A)
    return F.linalg_eig(A)[0]


def _check_eig(name: str, A: Tensor) -> None:
    check_square(name, A)
    if dtypes.rank(A.dtype) < 2:
        raise RuntimeError(f"Unknown Complex ScalarType for {A.dtype.title}")
    check_kernel("linalg_eig_out_cpu", A)
    if not bool(F.all(F.isfinite(A))):
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")


@published()
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """(U, S, Vh): A = U diag(S) Vh, the singular values in descending order."""
    _check_svd(A, driver)
    return return_types.linalg_svd(*F._linalg_svd(A, full_matrices))


@published()
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values, in descending order."""
    _check_svd(A, driver)
    return F._linalg_svd(A, False, _wants_gradient(A))[1]


def _check_svd(A: Tensor, driver: str | None) -> None:
    check_matrix("linalg.svd", A)
    check_floating("linalg.svd", A, "linalg_svd_cpu")
    if driver is not None:
        raise RuntimeError(
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with "
            "cuSOLVER backend."
        )


@published()
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
    if tau._array.ndim != A._array.ndim - 1:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal "
            f"to {tau._array.ndim} and input.ndim is equal to {A._array.ndim}"
        )
    if tau._array.shape[:-1] != A._array.shape[:-2]:
        raise RuntimeError(
            f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got "
            f"{list(tau.shape[:-1])}"
        )
    if tau._array.dtype != A._array.dtype:
        raise RuntimeError(
            f"{name}: tau dtype {tau.dtype.title} does not match input dtype {A.dtype.title}"
        )
    check_kernel("orgqr_cpu", A)
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


def _wants_gradient(A: Tensor) -> bool:
    return mode.enabled and requires(A)
