"""Inverses, linear equations, determinants, the matrix exponential.

Source of the rules: M. Giles, "An extended collection of matrix derivative results" (2008).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from elastic.tensor import backend
from elastic.tensor._dispatch import op
from elastic.tensor._registry import is_complex
from elastic.tensor.ops.factorizations import adjoint, embedded, is_large, lapack, over_batch
from elastic.tensor.ops.products import turned

solver = partial(op, method=False)


def _regular(xp: Any, A: Any) -> tuple:
    """`A` with the identity in place of singular matrices, and where in U each one has a zero."""
    info = over_batch(xp, lapack("getrf", A), A)[2].astype(xp.int32)
    return xp.where((info > 0)[..., None, None], xp.eye(A.shape[-1], dtype=A.dtype), A), info


def _inv_ex(xp: Any, A: Any) -> tuple:
    if is_large(xp, A):
        inverse, info = over_batch(xp, partial(_inverse, lapack("getrf", A), lapack("getri", A)), A)
        return inverse, info.astype(xp.int32)
    try:
        return xp.linalg.inv(A), xp.zeros(A.shape[:-2], xp.int32)
    except xp.linalg.LinAlgError:
        good, info = _regular(xp, A)
        return xp.linalg.inv(good), info


def _inverse(factor: Callable, invert: Callable, A: Any) -> tuple:
    LU, pivots, info = factor(A)
    return (LU if info else invert(LU, pivots)[0]), info


def _inv_vjp(F: Any, g: Any, out: tuple) -> Any:
    inverse = turned(F, out[0])
    return -F.matmul(inverse, F.matmul(g, inverse))


solver("linalg_inv_ex", _inv_ex, _inv_vjp)


def _solve_ex(xp: Any, A: Any, B: Any, left: bool = True) -> tuple:
    if not left:
        X, info = _solve_ex(xp, A.swapaxes(-1, -2), B.swapaxes(-1, -2))
        return X.swapaxes(-1, -2), info
    if is_large(xp, A):
        batch = xp.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        A, B = (xp.broadcast_to(each, (*batch, *each.shape[-2:])) for each in (A, B))
        solve = lapack("gesv", A)
        X, info = over_batch(xp, lambda a, b: solve(a, b)[2:], A, B)
        return X, info.astype(xp.int32)
    try:
        return xp.linalg.solve(A, B), xp.zeros(A.shape[:-2], xp.int32)
    except xp.linalg.LinAlgError:
        good, info = _regular(xp, A)
        return xp.linalg.solve(good, B), info


def _outer(F: Any, x: Any, out: Any, left: bool) -> Any:
    """The gradient of A in AX = B (or XA = B) from that of B."""
    return -F.matmul(x, turned(F, out)) if left else -F.matmul(turned(F, out), x)


def _solve_a(F: Any, g: Any, A: Any, out: tuple, left: bool) -> Any:
    return _outer(F, F._linalg_solve_ex(turned(F, A), g, left)[0], out[0], left)


solver(
    "_linalg_solve_ex",
    _solve_ex,
    _solve_a,
    lambda F, g, A, left: F._linalg_solve_ex(turned(F, A), g, left)[0],
    operands=(0, 1),
    title="LinalgSolveExBackward0",
)

_FEW = 8  # rows that are solved one by one


def _solve_triangular(
    xp: Any, A: Any, B: Any, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    """X of AX = B (or XA = B); every case is turned into that of a lower triangle on the left."""
    if not left:
        A, B = A.swapaxes(-1, -2), B.swapaxes(-1, -2)
        return _solve_triangular(xp, A, B, not upper, True, unitriangular).swapaxes(-1, -2)
    batch = xp.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    X = xp.array(xp.broadcast_to(B, (*batch, *B.shape[-2:])))
    if upper:
        _substitute(xp, A[..., ::-1, ::-1], X[..., ::-1, :], unitriangular)
    else:
        _substitute(xp, A, X, unitriangular)
    return X


def _substitute(xp: Any, A: Any, X: Any, unit: bool) -> None:
    """Solves the lower triangle `A` in place of its right side: by halves, mostly one product.

    Source: E. Elmroth et al., "Recursive blocked algorithms" (2004).
    """
    n = A.shape[-1]
    if n > _FEW:
        h = n // 2
        _substitute(xp, A[..., :h, :h], X[..., :h, :], unit)
        X[..., h:, :] -= xp.matmul(A[..., h:, :h], X[..., :h, :])
        _substitute(xp, A[..., h:, h:], X[..., h:, :], unit)
        return
    for k in range(n):
        if k:
            X[..., k, :] -= xp.matmul(A[..., k : k + 1, :k], X[..., :k, :])[..., 0, :]
        if not unit:
            X[..., k, :] /= A[..., k, k, None]


def _triangular_a(
    F: Any, g: Any, A: Any, out: Any, upper: bool, left: bool, unitriangular: bool
) -> Any:
    x = F.linalg_solve_triangular(turned(F, A), g, not upper, left, unitriangular)
    x, edge = _outer(F, x, out, left), int(unitriangular)
    return F.triu(x, edge) if upper else F.tril(x, -edge)


solver(
    "linalg_solve_triangular",
    _solve_triangular,
    _triangular_a,
    lambda F, g, A, upper, left, unitriangular: F.linalg_solve_triangular(
        turned(F, A), g, not upper, left, unitriangular
    ),
    operands=(0, 1),
)


def _cholesky_solve(xp: Any, input: Any, L: Any, upper: bool = False) -> Any:
    lower = L.swapaxes(-1, -2).conj() if upper else L
    y = _solve_triangular(xp, lower, input, False)
    return _solve_triangular(xp, lower.swapaxes(-1, -2).conj(), y, True)


def _cholesky_factor(F: Any, g: Any, L: Any, out: Any, upper: bool) -> Any:
    x = F.matmul(F.cholesky_solve(g, L, upper), adjoint(F, out))
    x = x + adjoint(F, x)
    return -F.matmul(L, x) if upper else -F.matmul(x, L)


op(
    "cholesky_solve",
    _cholesky_solve,
    lambda F, g, L, upper: F.cholesky_solve(g, L, upper),
    _cholesky_factor,
    operands=(0, 1),
    holomorphic=False,
)

# Determinants


def _det_vjp(F: Any, g: Any, A: Any, out: Any) -> Any:
    scale = F.unsqueeze(F.unsqueeze(g, -1), -1)
    if not F.any(out == 0):
        whole = F.unsqueeze(F.unsqueeze(g * out, -1), -1)
        return whole * turned(F, F.linalg_inv_ex(A)[0])
    return scale * turned(F, _adjugate(F, A))


def _adjugate(F: Any, A: Any) -> Any:
    """det(A) A^-1, also of a singular matrix: from the products of all but one singular value."""
    U, S, Vh = F._linalg_svd(A, True)
    identity = embedded(F, F.ones_like(S))
    others = F.prod(F.where(identity == 1, identity, F.unsqueeze(S, -2)), -1)
    if is_complex(U):
        others = others * (F.conj(U[..., 0, 0] * 0) + 1)  # complex, for the products below
    sign = F.unsqueeze(F.unsqueeze(F._linalg_det(F.matmul(U, Vh)), -1), -1)
    return sign * F.matmul(adjoint(F, Vh) * F.unsqueeze(others, -2), adjoint(F, U))


solver("_linalg_det", lambda xp, A: xp.linalg.det(A), _det_vjp)


def _slogdet_vjp(F: Any, g: Any, A: Any, out: tuple) -> Any:
    gsign, glog = (g.get(0), g.get(1))
    inverse = adjoint(F, F.linalg_inv_ex(A)[0])
    scale = 0 if glog is None else glog
    if is_complex(A) and gsign is not None:
        scale = scale - F.imag(F.conj(gsign) * out[0]) * 1j
    elif glog is None:
        return F.zeros_like(A)
    return F.unsqueeze(F.unsqueeze(scale, -1), -1) * inverse


solver(
    "_linalg_slogdet",
    lambda xp, A: tuple(xp.linalg.slogdet(A)),
    _slogdet_vjp,
    holomorphic=False,
)

# Functions of a matrix

op(
    "_identity_like",
    lambda xp, x: xp.broadcast_to(xp.eye(*x.shape[-2:], dtype=x.dtype), x.shape).copy(),
    lambda F, g: F.zeros_like(g),
)


def _matrix_exp(xp: Any, A: Any) -> Any:
    return xp.asarray(backend.scipy_linalg().expm(backend.to_host(A))) if A.size else A.copy()


def _matrix_exp_vjp(F: Any, g: Any, A: Any) -> Any:
    """The corner of exp([[A, g], [0, A]]). Source: N. Higham, "Functions of Matrices", 3.6."""
    n, t = A.shape[-1], turned(F, A)
    rows = [F.cat([t, g], -1), F.cat([F.zeros_like(t), t], -1)]
    corner = F.linalg_matrix_exp(F.cat(rows, -2))
    return F.narrow(F.narrow(corner, -2, 0, n), -1, n, n)


solver("linalg_matrix_exp", _matrix_exp, _matrix_exp_vjp)


def _pinv(xp: Any, A: Any, atol: Any = 0.0, rtol: Any = 0.0, hermitian: bool = False) -> Any:
    """The pseudoinverse, which takes singular values up to max(atol, rtol * largest) for 0."""
    if not A.size:
        return xp.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)
    if hermitian:
        values, V = xp.linalg.eigh(A)
        U = V
    else:
        U, values, Vh = xp.linalg.svd(A, False)
        V = Vh.swapaxes(-1, -2).conj()
    size = abs(values)
    limit = xp.maximum(xp.asarray(atol), xp.asarray(rtol) * size.max(-1))[..., None]
    inverse = xp.where(size > limit, 1 / xp.where(size > limit, values, 1), 0).astype(values.dtype)
    return xp.matmul(V * inverse[..., None, :], U.swapaxes(-1, -2).conj())


def _pinv_vjp(F: Any, g: Any, A: Any, out: Any) -> Any:
    """Source: G. Golub and V. Pereyra, "The differentiation of pseudo-inverses" (1973)."""
    P, PH, gH = out, adjoint(F, out), adjoint(F, g)
    times = F.matmul
    K = times(gH, P)
    left = times(K, PH)
    return (
        left
        - adjoint(F, times(P, K))
        - times(times(A, P), left)
        + times(times(PH, P), gH - times(K, A))
    )


solver("linalg_pinv", _pinv, _pinv_vjp, holomorphic=False)


def _lstsq(xp: Any, A: Any, B: Any, rcond: float = 0.0) -> tuple:
    """The least-squares solution of least norm, the rank and the singular values of `A`."""
    if not A.size:
        batch = xp.broadcast_shapes(A.shape[:-2], B.shape[:-2])
        zeros = xp.zeros((*batch, A.shape[-1], B.shape[-1]), B.dtype)
        values = xp.zeros((*A.shape[:-2], min(A.shape[-2:])), A.real.dtype)
        return zeros, xp.zeros(A.shape[:-2], xp.int64), values
    U, S, Vh = xp.linalg.svd(A, False)
    keep = rcond * S.max(-1, keepdims=True) < S
    inverse = xp.where(keep, 1 / xp.where(keep, S, 1), 0).astype(S.dtype)
    X = xp.matmul(U.swapaxes(-1, -2).conj(), B) * inverse[..., None]
    return xp.matmul(Vh.swapaxes(-1, -2).conj(), X), keep.sum(-1), S


def _lstsq_a(F: Any, g: Any, A: Any, B: Any) -> Any:
    P = F.linalg_pinv(A)
    return _pinv_vjp(F, F.matmul(g, adjoint(F, B)), A, P)


solver(
    "_linalg_lstsq",
    _lstsq,
    lambda F, g, A, B: _lstsq_a(F, g.get(0), A, B),
    lambda F, g, A: F.matmul(adjoint(F, F.linalg_pinv(A)), g.get(0)),
    operands=(0, 1),
    holomorphic=False,
    title="LinalgLstsqBackward0",
)


def _ldl_solve(xp: Any, LD: Any, pivots: Any, B: Any, hermitian: bool = False) -> Any:
    solve = lapack("hetrs" if hermitian and LD.dtype.kind == "c" else "sytrs", LD)
    batch = xp.broadcast_shapes(LD.shape[:-2], B.shape[:-2])
    if not (B.size and LD.size):
        return xp.zeros((*batch, *B.shape[-2:]), B.dtype)
    LD, B = (xp.broadcast_to(each, (*batch, *each.shape[-2:])) for each in (LD, B))
    pivots = xp.broadcast_to(pivots, (*batch, pivots.shape[-1]))
    return over_batch(xp, lambda ld, p, b: solve(ld, p, b, lower=1)[:1], LD, pivots, B)[0]


op("linalg_ldl_solve", _ldl_solve, method=False)
