# ruff: noqa: E501 one line an op
"""The lines of the ops on matrices and Fourier transforms in the table of `test_ops.py`.

The references are numpy's and scipy's, or the definition.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import linalg

_rng = np.random.RandomState(5)


def matrices(*shape: int) -> np.ndarray:
    """Matrices far from singular: the diagonal is large, and different everywhere."""
    x = _rng.uniform(-1, 1, shape)
    k = min(shape[-2:])
    x[..., range(k), range(k)] += np.arange(2.0, 2 + k) * (-1) ** np.arange(k)
    return x


A, BATCH, TALL, WIDE = matrices(3, 3), matrices(2, 3, 3), matrices(4, 3), matrices(2, 2, 4)
B, X, Y = matrices(3, 2), matrices(2, 3), matrices(2, 3)
C = A + 1j * matrices(3, 3)
POSITIVE = BATCH @ BATCH.swapaxes(-1, -2) + np.eye(3)
FACTOR = np.linalg.cholesky(POSITIVE)
SYMMETRIC = A + A.T
SINGULAR = np.array([[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [0.0, 1.0, 3.0]])
CUBE, OTHER = matrices(2, 3, 4), matrices(2, 4, 3)
ROWS, MORE = matrices(3, 2) * 3, matrices(4, 2)
NO_INFO = np.zeros((), np.int32)

# Ops whose rules hold for symmetric or triangular input: see `test_linalg.py`
OF_SOME_MATRICES = {"linalg_cholesky_ex", "_linalg_eigh", "cholesky_solve"}


def each(function: Any, *arrays: np.ndarray) -> tuple:
    """What `function` gives for each matrix, stacked."""
    results = [function(*parts) for parts in zip(*arrays, strict=True)]
    return tuple(np.stack(part) for part in zip(*results, strict=True))


def einsum(x: np.ndarray, y: np.ndarray, terms: tuple) -> np.ndarray:
    return np.einsum(x, list(terms[0]), y, list(terms[1]), list(terms[2]))


def lu_factor(x: np.ndarray, pivot: bool = True) -> tuple:
    if x.ndim > 2:
        return each(lu_factor, x)
    if not pivot:
        L, k = np.eye(len(x)), range(len(x))
        U = x.copy()
        for i in k:
            for j in range(i + 1, len(x)):
                L[j, i] = U[j, i] / U[i, i]
                U[j] = U[j] - L[j, i] * U[i]
        return U + np.tril(L, -1), np.arange(1, len(x) + 1, dtype=np.int32), NO_INFO
    LU, pivots = linalg.lu_factor(x)
    return LU, (pivots + 1).astype(np.int32), NO_INFO


def rows_moved(x: np.ndarray, pivots: np.ndarray, back: bool = False) -> np.ndarray:
    x, exchanges = x.copy(), list(enumerate(pivots - 1))
    for i, j in reversed(exchanges) if back else exchanges:
        x[[i, j]] = x[[j, i]]
    return x


def triangular(a: np.ndarray, b: np.ndarray, upper: bool, left: bool = True, unit: bool = False) -> Any:  # fmt: skip
    if not left:
        return triangular(a.T, b.T, not upper, True, unit).T
    return linalg.solve_triangular(a, b, lower=not upper, unit_diagonal=unit)


def ldl(x: np.ndarray, hermitian: bool = False) -> tuple:
    LD, pivots, _ = linalg.lapack.dsytrf(x, lower=1)
    return np.tril(LD), pivots.astype(np.int32), NO_INFO


def dft(n: int, forward: bool = True) -> np.ndarray:
    k = np.arange(n)
    return np.exp((-2j if forward else 2j) * math.pi * k[:, None] * k / n)


def transformed(x: np.ndarray, dim: tuple, scale: int, forward: bool) -> np.ndarray:
    n = math.prod(x.shape[d] for d in dim)
    for d in dim:
        x = np.moveaxis(np.moveaxis(x, d, -1) @ dft(x.shape[d], forward), -1, d)
    return x / n ** (scale / 2)


def of_real(x: np.ndarray, dim: tuple, scale: int, onesided: bool) -> np.ndarray:
    full = transformed(x, dim, scale, True)
    return full.take(range(x.shape[dim[-1]] // 2 + 1), dim[-1]) if onesided else full


def to_real(x: np.ndarray, dim: tuple, scale: int, last: int) -> np.ndarray:
    x = transformed(x, dim[:-1], scale, False)
    half = np.moveaxis(x, dim[-1], -1).copy()
    half.imag[..., 0] = 0  # what a real signal could not have is not read
    if last % 2 == 0:
        half.imag[..., -1] = 0
    mirrored = np.conj(half[..., 1 : (last + 1) // 2])[..., ::-1]
    full = np.moveaxis(np.concatenate([half, mirrored], -1), -1, dim[-1])
    return transformed(full, dim[-1:], scale, False).real


MATRICES: dict[str, tuple] = {
    # Products
    "_addmm": (lambda c, x, y, beta=1, alpha=1: beta * c + alpha * x @ y, ((B[0], A, B), (X, X, A, 2, 0.5), (X, X, A, 0))),
    "_addmv": (lambda c, x, y, beta=1, alpha=1: beta * c + alpha * x @ y, ((X[0], A, X[1]), (X[0, :1], A, X[1], 2, 3))),
    "_baddbmm": (lambda c, x, y, beta=1, alpha=1: beta * c + alpha * x @ y, ((A[0], CUBE, OTHER), (BATCH, CUBE, OTHER, 0.5, 2))),
    "_contract": (einsum, ((X, A, ((0, 1), (1, 2), (0, 2))), (CUBE, OTHER, ((0, 1, 2), (0, 2, 3), (3, 1, 0))), (X, Y, ((0, 1), (0, 1), (1, 0))), (CUBE, CUBE, ((0, 1, 2), (0, 1, 2), ())))),
    "linalg_cross": (lambda x, y, dim=-1: np.cross(x, y, axis=dim), ((X, Y), (B, B[::-1], 0))),
    "_euclidean_dist": (lambda x, y, fast: np.linalg.norm(x[:, None] - y, axis=-1), ((ROWS, MORE, False), (ROWS, MORE, True))),
    # Factorizations
    "linalg_cholesky_ex": (lambda x, upper=False: (np.linalg.cholesky(x, upper=upper), np.zeros(2, np.int32)), ((POSITIVE,), (POSITIVE, True))),
    "linalg_lu_factor_ex": (lu_factor, ((A,), (A, False), (BATCH,), (TALL,), (WIDE,))),
    "_permute_rows": (rows_moved, ((A, np.array([2, 3, 3], np.int32)), (A, np.array([2, 3, 3], np.int32), True))),
    "linalg_ldl_factor_ex": (ldl, ((SYMMETRIC,),)),
    "linalg_qr": (np.linalg.qr, ((A,), (TALL,), (WIDE,), (WIDE, "complete"))),
    "_geqrf": (lambda x: tuple(part.T if part.ndim > 1 else part for part in np.linalg.qr(x, "raw")), ((TALL,),)),
    "_linalg_eigh": (lambda x, uplo="L": np.linalg.eigh(x, uplo), ((SYMMETRIC,), (SYMMETRIC, "U"))),
    "linalg_eig": (lambda x: tuple(part.astype(complex) for part in np.linalg.eig(x)), ((A,), (C,))),
    "_linalg_svd": (lambda x, full=False: np.linalg.svd(x, full), ((A,), (TALL,), (WIDE, True))),
    # Equations
    "linalg_inv_ex": (lambda x: (linalg.inv(x), NO_INFO), ((A,), (C,))),
    "_linalg_solve_ex": (lambda a, b, left=True: (linalg.solve(a, b) if left else linalg.solve(a.T, b.T).T, NO_INFO), ((A, B), (A, X, False))),
    "linalg_solve_triangular": (triangular, ((A, B, True), (A, B, False, True, True), (A, X, True, False), (matrices(20, 20) + 5 * np.eye(20), matrices(20, 2), False))),
    "cholesky_solve": (lambda b, c, upper=False: np.linalg.solve(c.T @ c if upper else c @ c.T, b), ((B, FACTOR[0]), (B, FACTOR[0].T, True))),
    "_linalg_det": (np.linalg.det, ((A,), (BATCH,), (C,), (SINGULAR,))),
    "_linalg_slogdet": (np.linalg.slogdet, ((A,), (BATCH,), (C,))),
    "linalg_matrix_exp": (lambda x: sum(np.linalg.matrix_power(x, k) / math.factorial(k) for k in range(40)), ((A,),)),
    "linalg_pinv": (lambda x: np.linalg.pinv(x), ((A,), (TALL,), (WIDE,))),
    "_linalg_lstsq": (lambda a, b: (linalg.lstsq(a, b)[0], np.int64(3), linalg.svdvals(a)), ((TALL, matrices(4, 2)),)),
    "linalg_ldl_solve": (lambda ld, pivots, b: linalg.lapack.dsytrs(ld, pivots, b, lower=1)[0], ((*ldl(SYMMETRIC)[:2], B),)),
    "_identity_like": (lambda x: np.broadcast_to(np.eye(3, 4), x.shape), ((CUBE,),)),
    # Fourier transforms
    "_fft_c2c": (transformed, ((C, (0,), 0, True), (C, (0, 1), 1, False), (CUBE + 1j * CUBE[::-1], (2, 0), 2, True))),
    "_fft_r2c": (of_real, ((X, (1,), 0, True), (CUBE, (0, 2), 1, True), (CUBE, (1,), 2, False))),
    "_fft_c2r": (to_real, ((C, (1,), 0, 4), (C, (1,), 1, 5), (CUBE + 1j * CUBE[::-1], (0, 1), 2, 4))),
}  # fmt: skip
