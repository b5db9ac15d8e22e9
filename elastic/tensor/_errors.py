"""PyTorch's words for what numpy complains about: users search for these texts.

Called only after a forward has failed, so correct calls pay nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from elastic.tensor import backend
from elastic.tensor._refusals import refusal
from elastic.tensor.dtypes import FROM_NUMPY

TRANSLATED = (ValueError, IndexError, TypeError)


def explained(op: Any, raw: Sequence, error: Exception) -> Exception:
    """The error that PyTorch would raise where numpy raised `error` in `op`."""
    places = sorted({str(backend.device_of(each)) for each in raw if backend.is_array(each)})
    if len(places) > 1:
        return RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{places[1]} and {places[0]}!"
        )
    if isinstance(error, np.exceptions.AxisError) and error.axis is not None:
        return dimension_error(error.axis, error.ndim or 0)
    if isinstance(error, np.linalg.LinAlgError) or op.name == "_linalg_svd":
        return LinAlgError(
            f"{op.name.strip('_').replace('_', '.')}: The algorithm failed to converge because the "
            "input matrix contained non-finite values."
        )
    if str(error).startswith("Integers to negative"):
        return RuntimeError(str(error))
    if isinstance(error, TypeError) and "f" in op.refuses:
        return refusal(op.name, next(FROM_NUMPY[x.dtype] for x in raw if hasattr(x, "dtype")))
    shapes = [each.shape for each in raw if hasattr(each, "shape")]
    if op.name in _SUMS:
        return matmul_error(_SUMS[op.name], *shapes[-2:])
    if op.name in _MATMULS and len(shapes) > 1:
        return matmul_error(op.name, *shapes[:3])
    if op.operands and len(shapes) > 1:
        found = broadcast_error(*shapes[-2:])
        if found is not None:
            return found
    return error


REPEATED = (
    "unsupported operation: more than one element of the written-to tensor refers to a single "
    "memory location. Please clone() the tensor before performing the operation."
)


def repeats(array: Any) -> bool:
    """Whether `array` shows an element several times, as what was expanded does."""
    return any(n > 1 and not s for n, s in zip(array.shape, array.strides, strict=True))


def dimension_error(dim: int, ndim: int) -> IndexError:
    """`dim` does not exist in a tensor of `ndim` dimensions."""
    span = max(ndim, 1)
    return IndexError(
        f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], but got {dim})"
    )


def broadcast_error(a: tuple, b: tuple) -> RuntimeError | None:
    """What is said of shapes that do not broadcast; None if they do."""
    rank = max(len(a), len(b))
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in (a, b)]
    for dim in reversed(range(rank)):
        m, n = padded[0][dim], padded[1][dim]
        if m != n and 1 not in (m, n):
            return RuntimeError(
                f"The size of tensor a ({m}) must match the size of tensor b ({n}) "
                f"at non-singleton dimension {dim}"
            )
    return None


_SUMS = {"_addmm": "mm", "_addmv": "mv", "_baddbmm": "bmm"}
_MATMULS = ("matmul", "mm", "bmm", "mv", "dot", "_linear")


def matmul_error(name: str, a: tuple, b: tuple, c: tuple = ()) -> RuntimeError:
    """What is said of matrices or vectors whose shapes do not multiply."""
    if name == "_linear":
        if a[-1:] == b[-1:]:  # so it is the bias
            return _bias_error([prod(a[:-1]), b[0]], c)
        b = b[::-1]
    if name == "bmm":
        return RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{a[0]}, {a[2]}] but got: [{b[0]}, {b[1]}]."
        )
    if not a or not b:
        return RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {len(a)}D and {len(b)}D"
        )
    if len(a) == len(b) == 1:
        return RuntimeError(
            f"inconsistent tensor size, expected tensor [{a[0]}] and src [{b[0]}] to have the same "
            f"number of elements, but got {a[0]} and {b[0]} elements respectively"
        )
    if len(b) == 1:
        return RuntimeError(
            f"size mismatch, got input ({prod(a[:-1])}), mat ({prod(a[:-1])}x{a[-1]}), vec ({b[0]})"
        )
    if len(b) == 2:
        rows = 1 if len(a) == 1 else prod(a[:-1])
        return RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a[-1]} and {b[0]}x{b[1]})"
        )
    found = broadcast_error(a[:-2], b[:-2])
    if found is not None:
        return found
    batch = prod(np.broadcast_shapes(a[:-2], b[:-2]))
    return RuntimeError(
        "Expected size for first two dimensions of batch2 tensor to be: "
        f"[{batch}, {a[-1]}] but got: [{batch}, {b[-2]}]."
    )


def _bias_error(target: list, bias: tuple) -> RuntimeError:
    return RuntimeError(
        f"The expanded size of the tensor ({target[-1]}) must match the existing size ({bias[-1]}) "
        f"at non-singleton dimension 1.  Target sizes: {target}.  Tensor sizes: {list(bias)}"
    )


PLACES = {"mm": "mat2", "bmm": "mat2", "mv": "vec", "dot": "tensor"}  # else "other"
_KERNELS = {"mv": "addmv_impl_cpu", "dot": "dot", "bmm": "bmm", "_contract": "bmm"}
_C_NAMES = {
    "bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short int",
    "int32": "int", "int64": "long int", "float16": "c10::Half", "bfloat16": "c10::BFloat16",
    "float32": "float", "float64": "double", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}  # fmt: skip


def check_one_dtype(op: Any, operands: Sequence) -> None:
    """Raises: RuntimeError for tensors of different dtypes, NotImplementedError for bools."""
    arrays = [each._array for each in operands]
    kinds = [FROM_NUMPY[each.dtype] for each in arrays]
    if len(set(kinds)) > 1:
        raise RuntimeError(_dtype_error(op.name, kinds, [each.ndim for each in arrays]))
    if kinds[0].name == "bool":
        kernel = _KERNELS.get(op.name, "addmm_impl_cpu_")
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def _dtype_error(name: str, kinds: list, ndims: list) -> str:
    a, b = kinds[:2]
    if name == "_linear" and len(kinds) > 2:
        if a is b:
            return f"self and mat2 must have the same dtype, but got {kinds[2].title} and {b.title}"
        return f"mat1 and mat2 must have the same dtype, but got {a.title} and {b.title}"
    if name == "dot" or ndims == [1, 1]:
        return f"dot : expected both vectors to have same dtype, but found {a.title} and {b.title}"
    if 1 in ndims:
        return (
            f"addmv input tensors must have the same dtype, but got {b.title}, {a.title}, "
            f"and {b.title}"
        )
    if name in ("bmm", "_contract") or min(ndims) > 2:
        return f"expected scalar type {a.title} but found {b.title}"
    return (
        "expected m1 and m2 to have the same dtype, but got: "
        f"{_C_NAMES[a.name]} != {_C_NAMES[b.name]}"
    )


class _LinAlgError(RuntimeError):
    """A matrix is singular, not positive-definite, or an iteration did not converge."""


LinAlgError = _LinAlgError  # the name that tracebacks show is PyTorch's
