"""What is asked of the arguments, and of the results, in PyTorch's words."""

from __future__ import annotations

from functools import partial
from typing import Any

from elastic.tensor import dtypes
from elastic.tensor._errors import LinAlgError, broadcast_error
from elastic.tensor._publish import public
from elastic.tensor._tensor import Tensor

published = partial(public, function=False, method=False, out=True)

SINGULAR = (
    "The diagonal element {info} is zero, the inversion could not be completed because the input "
    "matrix is singular."
)
NOT_POSITIVE = (
    "The factorization could not be completed because the input is not positive-definite (the "
    "leading minor of order {info} is not positive-definite)."
)
UNSOLVABLE = "The solver failed because the input matrix is singular."
ZERO_IN_U = (
    "U[{info},{info}] is zero and using it on lu_solve would result in a division by zero. If you "
    "still want to perform the factorization, consider calling linalg.lu(A, pivot) or "
    "linalg.lu_factor_ex(A, pivot)"
)


def check_floating(name: str, x: Tensor, kernel: str | None = None, low: bool = False) -> None:
    """Raises: RuntimeError for integers and, unless `low`, for halves (or that of `kernel`)."""
    if dtypes.rank(x.dtype) < 2:
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got {x.dtype.title}"
        )
    if x.dtype in dtypes.HALVES and not low:
        if kernel is None:
            raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {x.dtype.title}")
        check_kernel(kernel, x)


def check_kernel(kernel: str, x: Tensor) -> None:
    """Raises: NotImplementedError for what LAPACK does not know: integers and halves."""
    if dtypes.rank(x.dtype) < 2 or x.dtype in dtypes.HALVES:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{x.dtype.title}'")


def check_matrix(name: str, x: Tensor, argument: str = " A") -> None:
    """Raises: RuntimeError for less than two dimensions."""
    if x._array.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor{argument} must have at least 2 dimensions.")


def check_square(name: str, x: Tensor) -> None:
    """Raises: RuntimeError for what is not a matrix of as many rows as columns."""
    check_matrix(name, x)
    m, n = x._array.shape[-2:]
    if m != n:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {m} by {n} matrices"
        )


def check_info(name: str, info: Tensor, why: str, error: Any = LinAlgError) -> None:
    """Raises: `error`, where a matrix of the batch has an `info` that is not 0."""
    numbers = info._array.reshape(-1)
    if not numbers.any():
        return
    k = int(numbers.nonzero()[0][0])
    where = f"(Batch element {k}): " if info._array.ndim else ""
    raise error(f"{name}: {where}{why.format(info=int(numbers[k]))}")


def check_same_dtype(name: str, A: Tensor, B: Tensor, argument: str = "A") -> None:
    """Raises: RuntimeError for two dtypes."""
    if A._array.dtype != B._array.dtype:
        raise RuntimeError(
            f"{name}: Expected {argument} and B to have the same dtype, but found {argument} of "
            f"type {A.dtype.title} and B of type {B.dtype.title} instead"
        )


def check_sides(name: str, A: Tensor, B: Tensor, left: bool) -> None:
    """Raises: RuntimeError, unless AX = B (or XA = B) has fitting shapes."""
    check_matrix(name, B, " B")
    a, b = A._array.shape, B._array.shape
    if (a[-2] != b[-2]) if left else (a[-1] != b[-1]):
        side = "AX = B" if left else "XA = B"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {side} "
            f"({a[-2]}x{a[-1]} and {b[-2]}x{b[-1]})"
        )
    found = broadcast_error(b[:-2], a[:-2])
    if found is not None:
        raise found
