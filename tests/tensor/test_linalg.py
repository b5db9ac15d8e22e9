"""torch.linalg and its older names: what is made of ops, gradients of symmetric matrices, texts."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.tensor import linalg
from tests.tensor.matrix_ops import BATCH, TALL, WIDE, A, B, C, X
from tests.tensor.matrix_questions import FILE, asked


def leaf(x: np.ndarray) -> Any:
    return torch.tensor(x).requires_grad_()


def conj_t(x: Any) -> Any:
    return x.transpose(-1, -2).conj()


def positive(x: Any) -> Any:
    return x @ conj_t(x) + torch.eye(x.shape[-1], dtype=x.dtype)


def real_parts(*outputs: Any) -> tuple:
    """Outputs as real tensors: what finite differences can check."""
    parts: list = []
    for each in outputs:
        parts += [each.real, each.imag] if each.is_complex() else [each]
    return tuple(parts)


def of_complex(function: Callable) -> Callable:
    """`function` of a complex matrix as one of its real and imaginary parts."""
    return lambda x, y: real_parts(*function(x + y * 1j))


# Functions of a matrix whose results do not depend on signs or phases, real or complex

MATRIX_FUNCTIONS: dict[str, Callable] = {
    "cholesky": lambda x: (linalg.cholesky(positive(x)),),
    "upper cholesky": lambda x: (linalg.cholesky(positive(x), upper=True),),
    "cholesky_inverse": lambda x: (torch.cholesky_inverse(x.tril()),),
    "cholesky_solve": lambda x: (torch.cholesky_solve(x[:, :2], x.triu(), upper=True),),
    "eigh": lambda x: eigh_products(*linalg.eigh(x + conj_t(x))),
    "eigvalsh": lambda x: (linalg.eigvalsh(x + conj_t(x)),),
    "svd": lambda x: svd_products(*linalg.svd(x, full_matrices=False)),
    "svd of wide": lambda x: svd_products(*linalg.svd(x[:2], full_matrices=True)),
    "svdvals": lambda x: (linalg.svdvals(x),),
    "qr": lambda x: tuple(linalg.qr(x)),
    "qr of wide": lambda x: tuple(linalg.qr(x[:2])),
    "qr of tall": lambda x: tuple(linalg.qr(x[:, :2])),
    "lu": lambda x: tuple(linalg.lu(x))[1:],
    "lu of wide": lambda x: tuple(linalg.lu(x[:2]))[1:],
    "lu of tall": lambda x: tuple(linalg.lu(x[:, :2]))[1:],
    "lu_solve": lambda x: (linalg.lu_solve(*linalg.lu_factor(x), x[:2], left=False),),
    "adjoint lu_solve": lambda x: (linalg.lu_solve(*linalg.lu_factor(x), x, adjoint=True),),
    "solve": lambda x: (linalg.solve(x, x[0]),),
    "solve from the right": lambda x: (linalg.solve(x, x[:2] ** 2, left=False),),
    "det": lambda x: (linalg.det(x),),
    "slogdet": lambda x: tuple(linalg.slogdet(x)),
    "logdet": lambda x: (torch.logdet(positive(x)),),
    "pinv": lambda x: (linalg.pinv(x[:, :2]),),
    "lstsq": lambda x: tuple(linalg.lstsq(x[:, :2], x, driver="gels"))[:2],
    "matrix_exp": lambda x: (linalg.matrix_exp(x / 4),),
    "matrix_power": lambda x: (linalg.matrix_power(x, 3), linalg.matrix_power(x, -2)),
    "householder_product": lambda x: (linalg.householder_product(x[:, :2], x[0, :2]),),
    "ormqr": lambda x: (torch.ormqr(x[:, :2], x[0, :2], x, left=False, transpose=True),),
    "eigvals": lambda x: (linalg.eigvals(x).sum(), (linalg.eigvals(x) ** 2).sum()),
    "cond": lambda x: (linalg.cond(x), linalg.cond(x, "fro")),
    "nuclear norm": lambda x: (linalg.matrix_norm(x, "nuc"),),
    "multi_dot": lambda x: (linalg.multi_dot([x[0], x, x[:, :2], x[:2, 0]]),),
    "vecdot": lambda x: (linalg.vecdot(x, x[0] * 2),),
    "tensordot": lambda x: (torch.tensordot(x, x, ([0], [1])),),
    "kron": lambda x: (torch.kron(x, x[:2]),),
    "triangular_solve": lambda x: (torch.triangular_solve(x, x, transpose=True)[0],),
}  # fmt: skip


def eigh_products(values: Any, vectors: Any) -> tuple:
    return values, vectors.abs(), vectors @ (values.unsqueeze(-1) ** 2 * conj_t(vectors))


def svd_products(U: Any, S: Any, Vh: Any) -> tuple:
    k = S.shape[-1]
    return S, U[:, :k].abs(), U[:, :k] @ (S.unsqueeze(-1) ** 3 * Vh[:k])


@pytest.mark.parametrize("name", MATRIX_FUNCTIONS)
def test_first_and_second_derivatives_of_real_matrices(name: str) -> None:
    function = MATRIX_FUNCTIONS[name]
    assert torch.autograd.gradcheck(lambda x: real_parts(*function(x)), leaf(A))
    assert torch.autograd.gradgradcheck(lambda x: real_parts(*function(x)), leaf(A), atol=1e-4)


@pytest.mark.parametrize("name", MATRIX_FUNCTIONS)
def test_first_derivatives_of_complex_matrices(name: str) -> None:
    parts = leaf(C.real.copy()), leaf(C.imag.copy())
    assert torch.autograd.gradcheck(of_complex(MATRIX_FUNCTIONS[name]), parts)


# Values


def test_factors_multiply_to_the_matrix() -> None:
    for x in (BATCH, TALL, WIDE):
        t = torch.tensor(x)
        P, L, U = linalg.lu(t)
        Q, R = linalg.qr(t)
        V, S, Wh = linalg.svd(t, full_matrices=False)
        for product in (P @ L @ U, Q @ R, V @ (S.unsqueeze(-1) * Wh)):
            np.testing.assert_allclose(product.numpy(), x, atol=1e-12)


def test_reflections_of_geqrf_make_the_q_of_qr() -> None:
    t = torch.tensor(TALL)
    packed, tau = torch.geqrf(t)
    Q, R = linalg.qr(t)
    np.testing.assert_allclose(torch.orgqr(packed, tau).numpy(), Q.numpy(), atol=1e-12)
    np.testing.assert_allclose(packed[:3].triu().numpy(), R.numpy(), atol=1e-12)
    full = torch.ormqr(packed, tau, torch.eye(4, dtype=torch.float64))
    np.testing.assert_allclose((full.t() @ full).numpy(), np.eye(4), atol=1e-12)


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf])
def test_norms_are_numpys(ord: Any) -> None:
    np.testing.assert_allclose(linalg.norm(torch.tensor(A), ord), np.linalg.norm(A, ord))
    t = linalg.matrix_norm(torch.tensor(BATCH).transpose(0, 2), ord, (2, 1), keepdim=True)
    expected = [np.linalg.norm(each, ord) for each in BATCH.transpose(2, 1, 0).transpose(0, 2, 1)]
    np.testing.assert_allclose(t.reshape(-1), expected)


def test_equations_of_tensors() -> None:
    t = torch.tensor(np.random.RandomState(0).randn(2, 3, 6))
    b = torch.tensor(X)
    solution = linalg.tensorsolve(t, b)
    np.testing.assert_allclose(torch.tensordot(t, solution, 1).numpy(), X)
    np.testing.assert_allclose(torch.tensordot(linalg.tensorinv(t), b, 2), solution)


def test_least_squares_of_every_driver_and_without_full_rank() -> None:
    expected = np.linalg.lstsq(TALL, TALL[:, :2] ** 2, None)[0]
    for driver in (None, "gels", "gelsy", "gelsd", "gelss"):
        got = linalg.lstsq(torch.tensor(TALL), torch.tensor(TALL[:, :2] ** 2), driver=driver)
        np.testing.assert_allclose(got.solution, expected, atol=1e-12)
    flat = linalg.lstsq(torch.ones(4, 2), torch.ones(4))
    assert flat.rank.item() == 1
    np.testing.assert_allclose(flat.solution, [0.5, 0.5], rtol=1e-6)


def test_low_rank_is_found_again() -> None:
    torch.manual_seed(0)
    low = torch.tensor(TALL[:, :2] @ WIDE[0])
    for matrix in (low[:, :3], low[:, :3].t()):
        U, S, V = torch.svd_lowrank(matrix, 3)
        np.testing.assert_allclose((U * S) @ V.t(), matrix, atol=1e-10)
    U, S, V = torch.pca_lowrank(low)
    np.testing.assert_allclose((U * S) @ V.t(), low - low.mean(0), atol=1e-10)


def test_a_determinant_of_a_singular_matrix_has_a_gradient() -> None:
    x = torch.tensor([[1.0, 2.0], [2.0, 4.0]]).requires_grad_()
    linalg.det(x).backward()
    np.testing.assert_allclose(x.grad, [[4.0, -2.0], [-2.0, 1.0]], atol=1e-5)


def test_einsum_in_all_its_forms() -> None:
    x, y = torch.tensor(A), torch.tensor(BATCH)
    for equation in ("ii", "ii->i", "ij->ji", "ij->", "...ij->...ji", "aij,jk->aik", "aij,aji->a"):
        count = equation.partition("->")[0].count(",")
        args = [y, x if "jk" in equation else y] if count else [y[0] if "a" not in equation else y]
        arrays = [each.numpy() for each in args]
        np.testing.assert_allclose(
            torch.einsum(equation, *args), np.einsum(equation, *arrays), atol=1e-12
        )
    lists = torch.einsum(x, [0, 1], y, [..., 1, 2], [..., 0, 2])
    np.testing.assert_allclose(lists, A @ BATCH)
    np.testing.assert_allclose(torch.einsum("ij,kj,kl->il", x, x, x), A @ A.T @ A)
    wide = torch.einsum("ij,ij->ij", torch.tensor(A[:1]), x)  # a size of 1 stands for all
    np.testing.assert_allclose(wide, A[:1] * A)


def test_products_of_many_are_cheap_first() -> None:
    parts = [torch.ones(2, 50), torch.ones(50, 50), torch.ones(50, 1)]
    assert torch.chain_matmul(*parts).tolist() == linalg.multi_dot(parts).tolist() == [[2500.0]] * 2


def test_beta_of_zero_takes_no_notice_of_nan() -> None:
    nan = torch.full((3, 2), math.nan, dtype=torch.float64)
    got = torch.addmm(nan, torch.tensor(A), torch.tensor(B), beta=0, alpha=2)
    np.testing.assert_allclose(got, 2 * A @ B)


def test_results_have_names_and_out_is_overwritten() -> None:
    values, vectors = torch.empty(0), torch.empty(0)
    found = linalg.eigh(torch.eye(2), out=(values, vectors))
    assert found.eigenvalues is values
    assert values.tolist() == [1.0, 1.0]
    assert type(linalg.slogdet(torch.eye(2))) is torch.return_types.linalg_slogdet
    assert torch.inverse(torch.eye(2) * 4).tolist() == (torch.eye(2) / 4).tolist()


def test_infos_tell_the_singular_ones_of_a_batch() -> None:
    batch = torch.stack([torch.eye(2), torch.ones(2, 2), -torch.eye(2)])
    assert linalg.inv_ex(batch).info.tolist() == [0, 2, 0]
    assert linalg.cholesky_ex(batch).info.tolist() == [0, 2, 1]
    assert linalg.lu_factor_ex(batch).info.tolist() == [0, 2, 0]


def test_texts_are_pytorchs() -> None:
    expected = json.loads(FILE.read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = asked(torch)
    assert {q: answers[q] for q in answers if answers[q] != expected[q]} == {}


# Large matrices go to LAPACK in their own dtype


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.float64])
def test_large_matrices(dtype: Any) -> None:
    rng = np.random.RandomState(3)
    x = (rng.randn(2, 70, 70) + (1j * rng.randn(2, 70, 70) if dtype is np.complex64 else 0)) / 8
    p = x @ x.conj().swapaxes(1, 2) + np.eye(70)
    t, q = torch.tensor(x.astype(dtype)), torch.tensor(p.astype(dtype))
    near: dict = {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(linalg.inv(q), np.linalg.inv(p), **near)
    np.testing.assert_allclose(linalg.solve(q, t), np.linalg.solve(p, x), **near)
    np.testing.assert_allclose(linalg.cholesky(q), np.linalg.cholesky(p), **near)
    np.testing.assert_allclose(linalg.eigvalsh(q), np.linalg.eigvalsh(p), **near)
    np.testing.assert_allclose(linalg.svdvals(t), np.linalg.svd(x, compute_uv=False), **near)
    Q, R = linalg.qr(t)
    U, S, Vh = linalg.svd(t)
    values, vectors = linalg.eigh(q)
    for product, expected in (
        (Q @ R, x),
        ((U * S.unsqueeze(-2)) @ Vh, x),
        ((vectors * values.unsqueeze(-2)) @ conj_t(vectors), p),
    ):
        assert product.numpy().dtype == dtype
        np.testing.assert_allclose(product, expected, **near)
    values, vectors = linalg.eig(t)
    np.testing.assert_allclose(
        t.to(vectors.dtype) @ vectors, vectors * values.unsqueeze(-2), **near
    )


def test_infos_of_large_matrices() -> None:
    x = torch.eye(80)
    x[40, 40] = -1
    assert linalg.cholesky_ex(x).info.item() == 41
    x[40, 40] = 0
    assert linalg.inv_ex(x).info.item() == linalg.solve_ex(x, x).info.item() == 41
    with pytest.raises(linalg.LinAlgError, match="non-finite"):
        linalg.svd(torch.full((80, 80), math.nan))
