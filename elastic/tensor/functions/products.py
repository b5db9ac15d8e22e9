"""Products of several matrices and vectors, and sums with them."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from elastic.tensor import dtypes
from elastic.tensor._errors import check_one_dtype
from elastic.tensor._publish import public
from elastic.tensor._registry import REGISTRY
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor

# beta * input + alpha * product


def _numbers(x: Tensor, beta: Any, alpha: Any) -> tuple:
    """`beta` and `alpha` for tensors of the dtype of `x`: whole, where it is."""
    return (beta, alpha) if dtypes.rank(x.dtype) > 1 else (int(beta), int(alpha))


def _check_dtypes(a: Tensor, b: Tensor) -> None:
    if a._array.dtype != b._array.dtype:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {a.dtype.title} and {b.dtype.title}"
        )


@public(inplace=True, out=True)
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2). With beta = 0, nan in `input` has no effect."""
    for k, each in enumerate((mat1, mat2)):
        if each._array.ndim != 2:
            raise RuntimeError(f"mat{k + 1} must be a matrix, got {each._array.ndim}-D tensor")
    _check_dtypes(input, mat2)
    check_one_dtype(REGISTRY["mm"], (mat1, mat2))
    return F._addmm(input, mat1, mat2, *_numbers(mat1, beta, alpha))


@public(inplace=True, out=True)
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat @ vec)."""
    kinds = [each.dtype for each in (input, mat, vec)]
    if len(set(kinds)) > 1:
        titles = [each.title for each in kinds]
        raise RuntimeError(
            "addmv input tensors must have the same dtype, but got "
            f"{titles[0]}, {titles[1]}, and {titles[2]}"
        )
    rows = mat._array.shape[0]
    if mat._array.ndim == 2 and input._array.size not in (1, rows):
        raise RuntimeError(
            f"size mismatch, got input ({input._array.size}), mat ({rows}x{mat.shape[1]}), "
            f"vec ({vec._array.size})"
        )
    check_one_dtype(REGISTRY["mv"], (mat, vec))
    return F._addmv(input, mat, vec, *_numbers(mat, beta, alpha))


@public(inplace=True, out=True)
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2)."""
    for name, each in (("vec1", vec1), ("vec2", vec2)):
        if each._array.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {each._array.ndim}-D")
    if builtins.max(dtypes.rank(each.dtype) for each in (input, vec1, vec2)) < 2:
        for name, value in (("beta", beta), ("alpha", alpha)):
            if isinstance(value, float):
                raise RuntimeError(
                    f"For integral input tensors, argument {name} must not be a floating point "
                    "number."
                )
    product = F.outer(vec1, vec2)
    if product.dtype is dtypes.bool_:
        return F.logical_or(input, product) if beta else F.logical_and(product, bool(alpha))
    beta, alpha = _numbers(product, beta, alpha)
    product = product if alpha == 1 else product * alpha
    input = F.expand(input, tuple(product._array.shape))
    return product if beta == 0 else (input if beta == 1 else input * beta) + product


@public(inplace=True, out=True)
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2), for each matrix of the batch."""
    check_one_dtype(REGISTRY["bmm"], (batch1, batch2))
    if input._array.dtype != batch1._array.dtype:
        names = [each.dtype.name.replace("float64", "double").replace("float32", "float")
                 for each in (input, batch1, batch2)]  # fmt: skip
        raise RuntimeError(
            f"Input dtypes must be the same, got: input {names[0]}, batch1: {names[1]}, "
            f"batch2: {names[2]}"
        )
    return F._baddbmm(input, batch1, batch2, *_numbers(batch1, beta, alpha))


@public(inplace=True, out=True)
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta * input + alpha * the sum of all batch1[k] @ batch2[k]."""
    for k, each in enumerate((batch1, batch2)):
        if each._array.ndim != 3:
            raise RuntimeError(f"batch{k + 1} must be a 3D tensor")
    (b, n, m), (c, k, p) = batch1.shape, batch2.shape
    if b != c:
        raise RuntimeError(f"batch1 and batch2 must have same number of batches, got {b} and {c}")
    if m != k:
        raise RuntimeError(f"Incompatible matrix sizes for bmm ({n}x{m} and {k}x{p})")
    wide = F.reshape(F.transpose(batch1, 0, 1), (n, b * m))
    return addmm(input, wide, F.reshape(batch2, (c * k, p)), beta=beta, alpha=alpha)


# Products of two


@public(out=True)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The sum of conj(input) * other, of two vectors."""
    return F.dot(F.conj(input) if input.dtype.is_complex else input, other)


@public(out=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """The products of all rows of `input` with all rows of `other`."""
    if input._array.ndim == 0 or other._array.ndim == 0:
        return input * other
    if input._array.shape[-1] != other._array.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.shape)} and {list(other.shape)}"
        )
    if input._array.dtype != other._array.dtype:
        raise RuntimeError("both inputs should have same dtype")
    return tensordot(input, other, ([-1], [-1]))


@public(out=True)
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors' elements, as a matrix."""
    for name, each in (("self", input), ("vec2", vec2)):
        if each._array.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {each._array.ndim}-D")
    return F.outer(input, vec2)


@public(out=True)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product: each element of `input` times all of `other`."""
    rank = builtins.max(input._array.ndim, other._array.ndim)
    a, b = ((1,) * (rank - t._array.ndim) + tuple(t._array.shape) for t in (input, other))
    left = F.reshape(input, [n for size in a for n in (size, 1)])
    right = F.reshape(other, [n for size in b for n in (1, size)])
    return F.reshape(left * right, [m * n for m, n in zip(a, b, strict=True)])


@public(method=False, out=True)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum of products over `dims`: a count (last of `a`, first of `b`), or two lists."""
    of_a, of_b = _paired_dims(a, b, dims)
    for i, j in zip(of_a, of_b, strict=True):
        if 1 not in (a.shape[i], b.shape[j]) and a.shape[i] != b.shape[j]:
            raise RuntimeError(
                "contracted dimensions need to match, but first has size "
                f"{a.shape[i]} in dim {i} and second has size {b.shape[j]} in dim {j}"
            )
    for i, j in zip(of_a, of_b, strict=True):  # a size of 1 stands for all
        if a.shape[i] != b.shape[j]:
            a = F.sum(a, i, True) if b.shape[j] == 1 else a
            b = F.sum(b, j, True) if a.shape[i] == 1 else b
    free = iter(range(a._array.ndim, a._array.ndim + b._array.ndim))
    first = list(range(a._array.ndim))
    places = {j % b._array.ndim: i % a._array.ndim for i, j in zip(of_a, of_b, strict=True)}
    second = [places[j] if j in places else next(free) for j in range(b._array.ndim)]
    out = [e for e in (*first, *second) if e not in places.values()]
    return F._contract(a, b, (tuple(first), tuple(second), tuple(out)))


def _paired_dims(a: Tensor, b: Tensor, dims: Any) -> tuple[list, list]:
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if not isinstance(dims, int):
        of_a, of_b = ([d] if isinstance(d, int) else list(d) for d in dims)
        if len(of_a) != len(of_b):
            raise RuntimeError("both dimension lists should have same length")
        return of_a, of_b
    if dims < 0:
        raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
    if dims > builtins.min(a._array.ndim, b._array.ndim):
        raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
    return list(range(-dims, 0)), list(range(dims))


@public(out=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along `dim`, or along the first dimension of size 3."""
    if dim is None:
        dims = [d for d, n in enumerate(input._array.shape) if n == 3]
        if not dims:
            raise RuntimeError("no dimension of size 3 in input")
        dim = dims[0]
    return F.linalg_cross(input, other, dim)


# Products of several


@public(method=False)
def chain_matmul(*matrices: Tensor, out: Any = None) -> Tensor:
    """The product of all matrices, in the order that costs least."""
    from elastic.tensor import linalg

    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = tuple(matrices[0])
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for each in matrices:
        if each._array.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {each._array.ndim}, expected 2 instead.")
    return matrices[0] if len(matrices) == 1 else linalg.multi_dot(matrices, out=out)


def multiplied(tensors: Sequence[Tensor]) -> Tensor:
    """The product of all matrices in the order that costs least.

    Source: Cormen et al., Introduction to Algorithms, section 15.2.
    """
    sizes = [each._array.shape[0] for each in tensors] + [tensors[-1]._array.shape[1]]
    n = len(tensors)
    cost = {(k, k): 0 for k in range(n)}
    cut = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            ways = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i, j], cut[i, j] = builtins.min(ways)

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return tensors[i]
        return F.mm(product(i, cut[i, j]), product(cut[i, j] + 1, j))

    return product(0, n - 1)


# Distances


@public(method=False)
def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """The p-norm distances of all rows of `x1` to all rows of `x2`, for each batch.

    By `compute_mode` the Euclidean distances of more than 25 rows come from one matrix product.
    """
    for k, each in enumerate((x1, x2)):
        if each._array.ndim < 2:
            raise RuntimeError(
                f"cdist only supports at least 2D tensors, X{k + 1} got: {each._array.ndim}D"
            )
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    for k, each in enumerate((x1, x2)):
        if not each.dtype.is_floating_point:
            raise RuntimeError(
                f"cdist only supports floating-point dtypes, X{k + 1} got: {each.dtype.title}"
            )
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if compute_mode not in (None, *_CDIST_MODES):
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    if p != 2:
        return F.norm(F.unsqueeze(x1, -2) - F.unsqueeze(x2, -3), p, -1)
    many = builtins.max(x1.shape[-2], x2.shape[-2]) > 25
    always = compute_mode == _CDIST_MODES[1]
    return F._euclidean_dist(x1, x2, always or (many and compute_mode in (None, _CDIST_MODES[0])))


_CDIST_MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)
