"""Singular values of large matrices of low rank, from products with random vectors.

Source: N. Halko, P. Martinsson, J. Tropp, "Finding structure with randomness" (2009).
"""

from __future__ import annotations

import builtins

from elastic.tensor import dtypes, linalg
from elastic.tensor._publish import public
from elastic.tensor._random import randn
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor
from elastic.tensor.linalg._factorizations import adjoint


@public(method=False)
def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, V) of rank `q` near A (or A - M), after `niter` rounds of refinement.

    Shapes: (*, m, n) gives (*, m, q), (*, q), (*, n, q).
    """
    if M is not None:
        A = A - M
    wide = A._array.shape[-2] < A._array.shape[-1]
    if wide:
        A = adjoint(A)
    Q = _basis(A, 6 if q is None else q, 2 if niter is None else niter)
    U, S, Vh = linalg.svd(F.matmul(adjoint(Q), A), full_matrices=False)
    U, V = F.matmul(Q, U), adjoint(Vh)
    return (V, S, U) if wide else (U, S, V)


def _basis(A: Tensor, q: int, niter: int) -> Tensor:
    """Orthonormal columns that span nearly what the columns of `A` span."""
    dtype = A.dtype if dtypes.rank(A.dtype) > 1 else dtypes.float32
    Q = linalg.qr(F.matmul(A, randn(A._array.shape[-1], q, dtype=dtype)))[0]
    for _ in range(niter):
        Q = linalg.qr(F.matmul(adjoint(A), Q))[0]
        Q = linalg.qr(F.matmul(A, Q))[0]
    return Q


@public(method=False)
def pca_lowrank(
    A: Tensor, q: int | None = None, center: bool = True, niter: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, V) of rank `q` near `A`, whose columns are centered first: V are the components."""
    m, n = A._array.shape[-2:]
    q = builtins.min(6, m, n) if q is None else q
    if not 0 <= q <= builtins.min(m, n):
        raise ValueError(
            f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}"
        )
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    if center:
        A = A - F.mean(A, -2, True)
    return svd_lowrank(A, q, niter)
