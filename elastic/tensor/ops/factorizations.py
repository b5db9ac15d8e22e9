"""Factorizations of matrices: Cholesky, LU, LDL, QR, eigenvalues, singular values.

Sources of the rules: M. Giles, "An extended collection of matrix derivative results" (2008);
I. Murray, "Differentiation of the Cholesky decomposition" (2016); Z. Wan and S. Zhang, "Automatic
differentiation for complex valued SVD" (2019); H. Walter and L. Lehmann, "Algorithmic
differentiation of linear algebra functions" (2012) for QR; S. Axen, "Differentiating the LU
decomposition" (2021). They are written with adjoints, so that they hold for complex numbers too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

from elastic.tensor import backend
from elastic.tensor._dispatch import op
from elastic.tensor._registry import is_complex
from elastic.tensor.ops.products import turned

factorization = partial(op, method=False, holomorphic=False)


def adjoint(F: Any, x: Any) -> Any:
    """The conjugate transpose of the last two dimensions."""
    return F.conj(turned(F, x)) if is_complex(x) else turned(F, x)


def diagonal(F: Any, x: Any) -> Any:
    """The diagonals of the last two dimensions."""
    return F.diagonal(x, 0, -2, -1)


def embedded(F: Any, x: Any) -> Any:
    """Diagonal matrices of the vectors in the last dimension."""
    return F._diagonal_place(x, (*x.shape, x.shape[-1]), 0, -2, -1)


def gradients(g: Any, *places: int) -> list:
    """The gradients of these outputs, None where there is none."""
    return [g.get(k) for k in places]


def over_batch(xp: Any, function: Callable, *arrays: Any) -> tuple:
    """What `function` of single matrices, in the host's memory, gives for a batch, stacked."""
    batch = arrays[0].shape[:-2]
    flat = [backend.to_host(a).reshape((prod(batch), *a.shape[len(batch) :])) for a in arrays]
    results = [function(*parts) for parts in zip(*flat, strict=True)]
    stacked = (xp.stack([xp.asarray(each) for each in part]) for part in zip(*results, strict=True))
    return tuple(each.reshape((*batch, *each.shape[1:])) for each in stacked)


def lapack(name: str, A: Any) -> Callable:
    """LAPACK's function of that name for the dtype of `A`."""
    return backend.scipy_linalg().get_lapack_funcs((name,), (backend.to_host(A),))[0]


def is_large(xp: Any, A: Any) -> bool:
    """Whether scipy's LAPACK, in the dtype of `A`, is faster than numpy's, which is in float64.

    Numpy loops over a batch without Python, which counts for small matrices.
    """
    return xp.__name__ == "numpy" and min(A.shape[-2:]) >= 64 and A.size > 0


# Cholesky


def _cholesky_ex(xp: Any, A: Any, upper: bool = False) -> tuple:
    if upper:
        L, info = _cholesky_ex(xp, A.swapaxes(-1, -2).conj())
        return L.swapaxes(-1, -2).conj(), info
    if is_large(xp, A):
        factor = partial(lapack("potrf", A), lower=1, clean=1)
        L, info = over_batch(xp, factor, A)
        return L, info.astype(xp.int32)
    try:
        return xp.linalg.cholesky(A), xp.zeros(A.shape[:-2], xp.int32)
    except xp.linalg.LinAlgError:
        (info,) = over_batch(xp, lambda each: (_bad_minor(xp, each),), A)
    good = xp.where((info > 0)[..., None, None], xp.eye(A.shape[-1], dtype=A.dtype), A)
    return xp.linalg.cholesky(good), info


def _bad_minor(xp: Any, A: Any) -> Any:
    """The order of the first leading minor that is not positive, 0 when all are."""
    for k in range(1, len(A) + 1):
        try:
            xp.linalg.cholesky(A[:k, :k])
        except xp.linalg.LinAlgError:
            return xp.int32(k)
    return xp.int32(0)


def _cholesky_vjp(F: Any, g: Any, out: tuple, upper: bool) -> Any:
    L, g = (adjoint(F, out[0]), adjoint(F, g)) if upper else (out[0], g)
    LH = adjoint(F, L)
    inner = F.matmul(LH, g)
    low = F.tril(inner, -1)
    inner = (low + adjoint(F, low) + embedded(F, diagonal(F, inner))) / 2
    left = F.linalg_solve_triangular(LH, inner, True)
    return F.linalg_solve_triangular(L, left, False, False)


factorization("linalg_cholesky_ex", _cholesky_ex, _cholesky_vjp)

# LU


def _lu_factor_ex(xp: Any, A: Any, pivot: bool = True) -> tuple:
    k = min(A.shape[-2:])
    if not A.size:
        empty = xp.zeros((*A.shape[:-2], k), xp.int32)
        return A.copy(), empty, xp.zeros(A.shape[:-2], xp.int32)
    if pivot:
        LU, pivots, info = over_batch(xp, lapack("getrf", A), A)
        return LU, (pivots + 1).astype(xp.int32), info.astype(xp.int32)
    LU = _eliminated(xp, A.copy(), k)
    pivots = xp.broadcast_to(xp.arange(1, k + 1, dtype=xp.int32), (*A.shape[:-2], k)).copy()
    zero = LU.diagonal(0, -2, -1) == 0
    return LU, pivots, xp.where(zero.any(-1), zero.argmax(-1) + 1, 0).astype(xp.int32)


def _eliminated(xp: Any, A: Any, k: int) -> Any:
    for i in range(k):
        A[..., i + 1 :, i] /= A[..., i, i, None]
        A[..., i + 1 :, i + 1 :] -= A[..., i + 1 :, i, None] * A[..., i, None, i + 1 :]
    return A


def permutation(xp: Any, pivots: Any, m: int) -> Any:
    """The permutations of `m` rows that exchanges with the rows `pivots` (from 1) come to."""
    batch = pivots.shape[:-1]
    flat = pivots.reshape(prod(batch), pivots.shape[-1])
    order = xp.broadcast_to(xp.arange(m), (len(flat), m)).copy()
    rows = xp.arange(len(flat))
    for i in range(flat.shape[-1]):
        j = flat[:, i] - 1
        order[rows, i], order[rows, j] = order[rows, j], order[rows, i].copy()
    return order.reshape((*batch, m))


def _lu_vjp(F: Any, g: Any, out: tuple) -> Any:
    """P L^-H [tril(L^H gL, -1) + triu(gU U^H)] U^-H, with the rest of L or U solved from it."""
    LU, pivots = out[0], out[1]
    m, n = LU.shape[-2:]
    k = min(m, n)
    square = F.narrow(F.narrow(LU, -2, 0, k), -1, 0, k)
    upper, lower = adjoint(F, F.triu(square)), adjoint(F, F.tril(square, -1))
    gL = gU = F.narrow(F.narrow(g, -2, 0, k), -1, 0, k)
    rest = None
    if m > n:  # L2 = A2 / U
        below = F.narrow(LU, -2, k, m - k)
        rest = F.linalg_solve_triangular(upper, F.narrow(g, -2, k, m - k), False, False)
        gU = gU - F.matmul(adjoint(F, below), rest)
    if n > m:  # U2 = L \ A2
        right = F.narrow(LU, -1, k, n - k)
        rest = F.linalg_solve_triangular(lower, F.narrow(g, -1, k, n - k), True, True, True)
        gL = gL - F.matmul(rest, adjoint(F, right))
    gL, gU = F.tril(gL, -1), F.triu(gU)
    inner = F.tril(F.matmul(lower, gL) + gL, -1) + F.triu(F.matmul(gU, upper))
    x = F.linalg_solve_triangular(lower, inner, True, True, True)
    x = F.linalg_solve_triangular(upper, x, False, False)
    if rest is not None:
        x = F.cat([x, rest], -2 if m > n else -1)
    return F._permute_rows(x, pivots, True)


factorization("linalg_lu_factor_ex", _lu_factor_ex, _lu_vjp)


def _permute_rows(xp: Any, x: Any, pivots: Any, back: bool = False) -> Any:
    """The rows of `x` in the order of the permutation, or (`back`) put back in their places."""
    order = permutation(xp, pivots, x.shape[-2])
    order = xp.argsort(order, -1) if back else order
    batch = xp.broadcast_shapes(order.shape[:-1], x.shape[:-2])
    order = xp.broadcast_to(order, (*batch, order.shape[-1]))
    return xp.take_along_axis(xp.broadcast_to(x, (*batch, *x.shape[-2:])), order[..., None], -2)


op(
    "_permute_rows",
    _permute_rows,
    lambda F, g, pivots, back: F._permute_rows(g, pivots, not back),
)

# LDL: D and the multipliers packed as LAPACK's sytrf does. PyTorch has no gradients for it.


def _ldl_factor_ex(xp: Any, A: Any, hermitian: bool = False) -> tuple:
    if not A.size:
        return A.copy(), xp.zeros(A.shape[:-1], xp.int32), xp.zeros(A.shape[:-2], xp.int32)
    factor = lapack("hetrf" if hermitian and A.dtype.kind == "c" else "sytrf", A)
    LD, pivots, info = over_batch(xp, lambda each: factor(each, lower=1), A)
    return xp.tril(LD), pivots.astype(xp.int32), info.astype(xp.int32)


op("linalg_ldl_factor_ex", _ldl_factor_ex, method=False)

# QR


def _qr(xp: Any, A: Any, mode: str = "reduced") -> tuple:
    if mode == "r":
        return xp.zeros(0, A.dtype), xp.linalg.qr(A, "r")
    if is_large(xp, A):
        factor = partial(backend.scipy_linalg().qr, mode=_MODES[mode], check_finite=False)
        return over_batch(xp, factor, A)
    return tuple(xp.linalg.qr(A, mode))


_MODES = {"reduced": "economic", "complete": "full"}


def _qr_vjp(F: Any, g: Any, out: tuple) -> Any:
    """Of A = [A1 A2], where A1 is square or tall: Q R1 = A1 and R2 = Q^H A2."""
    Q, R = out
    _check_qr(Q, R)
    gQ, gR = gradients(g, 0, 1)
    k, n = Q.shape[-1], R.shape[-1]
    if n <= k:
        return _tall_qr(F, Q, R, gQ, gR)
    rest = None
    if gR is not None:
        R2, gR2 = F.narrow(R, -1, k, n - k), F.narrow(gR, -1, k, n - k)
        rest = F.matmul(Q, gR2)
        more = F.matmul(Q, F.matmul(R2, adjoint(F, gR2)))
        gQ, gR = more if gQ is None else gQ + more, F.narrow(gR, -1, 0, k)
    first = _tall_qr(F, Q, F.narrow(R, -1, 0, k), gQ, gR)
    if rest is None:
        rest = F.zeros_like(F.matmul(Q, F.narrow(R, -1, k, n - k)))
    return F.cat([first, rest], -1)


def _check_qr(Q: Any, R: Any) -> None:
    if len(Q.shape) == 1:
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please "
            "use linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr."
        )
    if R.shape[-2] > R.shape[-1]:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."
        )


def _tall_qr(F: Any, Q: Any, R: Any, gQ: Any, gR: Any) -> Any:
    inner = 0
    if gR is not None:
        inner = F.matmul(F.triu(gR), adjoint(F, R))
    if gQ is not None:
        inner = inner - F.matmul(adjoint(F, Q), gQ)
    inner = F.triu(inner)
    symmetric = inner + adjoint(F, inner) - embedded(F, _real(F, diagonal(F, inner)))
    x = F.matmul(Q, symmetric)
    x = x if gQ is None else x + gQ
    return F.linalg_solve_triangular(adjoint(F, R), x, False, False)


def _real(F: Any, x: Any) -> Any:
    return (x + F.conj(x)) / 2 if is_complex(x) else x


factorization("linalg_qr", _qr, _qr_vjp)


def _geqrf(xp: Any, A: Any) -> tuple:
    packed, tau = xp.linalg.qr(A, "raw")
    return packed.swapaxes(-1, -2), tau.astype(A.dtype)


op("_geqrf", _geqrf, method=False)

# Eigenvalues


def _eigh(xp: Any, A: Any, UPLO: str = "L", vectors: bool = True) -> tuple:
    if is_large(xp, A):
        solve = partial(backend.scipy_linalg().eigh, lower=UPLO == "L", check_finite=False)
        if vectors:
            return over_batch(xp, partial(solve, driver="evd"), A)
        found = over_batch(xp, lambda each: (solve(each, eigvals_only=True),), A)[0]
        return found, xp.zeros(0, A.dtype)
    if vectors:
        return tuple(xp.linalg.eigh(A, UPLO))
    return xp.linalg.eigvalsh(A, UPLO), xp.zeros(0, A.dtype)


def _eigh_vjp(F: Any, g: Any, out: tuple) -> Any:
    L, V = out
    gL, gV = gradients(g, 0, 1)
    VH = adjoint(F, V)
    if gV is None:
        return F.matmul(V * F.unsqueeze(gL, -2), VH)
    inner = _divided(F, _skew(F, F.matmul(VH, gV)) / 2, L)
    inner = inner if gL is None else inner + embedded(F, gL)
    return F.matmul(V, F.matmul(inner, VH))


def _divided(F: Any, x: Any, values: Any) -> Any:
    """x[i, j] / (values[j] - values[i]), and 0 on the diagonal."""
    gaps = F.unsqueeze(values, -2) - F.unsqueeze(values, -1)
    identity = embedded(F, F.ones_like(values))
    return (x - embedded(F, diagonal(F, x))) / (gaps + identity)


factorization("_linalg_eigh", _eigh, _eigh_vjp)


def _eig(xp: Any, A: Any) -> tuple:
    kind = xp.result_type(A.dtype, xp.complex64)
    if is_large(xp, A):
        found = over_batch(xp, partial(backend.scipy_linalg().eig, check_finite=False), A)
    else:
        found = xp.linalg.eig(A)
    return tuple(each.astype(kind) for each in found)


def _eig_vjp(F: Any, g: Any, out: tuple) -> Any:
    L, V = out
    gL, gV = gradients(g, 0, 1)
    VH, inner = adjoint(F, V), 0
    if gV is not None:
        inner = F.matmul(VH, gV)
        norms = F.matmul(VH, V * F.unsqueeze(_real(F, diagonal(F, inner)), -2))
        inner = _divided(F, inner - norms, F.conj(L))
    inner = inner if gL is None else inner + embedded(F, gL)
    return F._linalg_solve_ex(VH, F.matmul(inner, VH))[0]


factorization("linalg_eig", _eig, _eig_vjp)

# Singular values


def _svd(xp: Any, A: Any, full_matrices: bool = False, vectors: bool = True) -> tuple:
    if is_large(xp, A):
        factor = partial(backend.scipy_linalg().svd, check_finite=False)
        if vectors:
            return over_batch(xp, partial(factor, full_matrices=full_matrices), A)
        S = over_batch(xp, lambda each: (factor(each, compute_uv=False),), A)[0]
        return xp.zeros(0, A.dtype), S, xp.zeros(0, A.dtype)
    if vectors:
        return tuple(xp.linalg.svd(A, full_matrices))
    S = xp.linalg.svd(A, compute_uv=False)
    return xp.zeros(0, A.dtype), S, xp.zeros(0, A.dtype)


def _svd_vjp(F: Any, g: Any, out: tuple) -> Any:
    k = out[1].shape[-1]
    U, S, Vh = F.narrow(out[0], -1, 0, k), out[1], F.narrow(out[2], -2, 0, k)
    gU, gS, gVh = gradients(g, 0, 1, 2)
    if gU is None and gVh is None:
        return F.matmul(U * F.unsqueeze(gS, -2), Vh)
    gU = F.zeros_like(U) if gU is None else F.narrow(gU, -1, 0, k)
    gVh = F.zeros_like(Vh) if gVh is None else F.narrow(gVh, -2, 0, k)
    row, column = F.unsqueeze(S, -2), F.unsqueeze(S, -1)
    of_u = _skew(F, F.matmul(adjoint(F, U), gU))
    of_v = _skew(F, F.matmul(Vh, adjoint(F, gVh)))
    inner = _divided(F, of_u * row + column * of_v, S * S)
    if is_complex(U):
        inner = inner + embedded(F, diagonal(F, of_u) / (2 * S))
    if gS is not None:
        inner = inner + embedded(F, gS)
    x = F.matmul(U, F.matmul(inner, Vh))
    if U.shape[-2] > k:
        x = x + F.matmul(_rejected(F, gU / row, U), Vh)
    if Vh.shape[-1] > k:
        V = adjoint(F, Vh)
        x = x + F.matmul(U, adjoint(F, _rejected(F, adjoint(F, gVh / column), V)))
    return x


def _skew(F: Any, x: Any) -> Any:
    return x - adjoint(F, x)


def _rejected(F: Any, x: Any, Q: Any) -> Any:
    """The part of `x` that is orthogonal to the columns of `Q`."""
    return x - F.matmul(Q, F.matmul(adjoint(F, Q), x))


factorization("_linalg_svd", _svd, _svd_vjp)
