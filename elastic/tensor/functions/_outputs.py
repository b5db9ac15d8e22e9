"""What some functions ask of the tensors that `out=` names, beside a dtype that fits."""

from __future__ import annotations

from typing import Any

from elastic.tensor import backend, dtypes
from elastic.tensor._tensor import Tensor

# C++'s names of types, which some of PyTorch's messages use
C_NAMES = {
    "bool": "bool", "uint8": "unsigned char", "int8": "signed char", "int16": "short",
    "int32": "int", "int64": "long int", "float32": "float", "float64": "double",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
}  # fmt: skip


def c_name(dtype: dtypes.dtype) -> str:
    """What C++ calls a dtype."""
    return C_NAMES.get(dtype.name, f"c10::{dtype.title}")


def apart(inputs: Any, result: Any, out: Any) -> None:
    """Raises: RuntimeError when `out` shares memory with an input."""
    for target in _tensors(out):
        xp = backend.xp_of(target._array)
        if any(
            each is target or xp.may_share_memory(each._array, target._array)
            for each in _tensors(inputs)
        ):
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to "
                "tensor refer to a single memory location. Please clone() the tensor before "
                "performing the operation."
            )


def exact(inputs: Any, result: Any, out: Any) -> None:
    """Raises: RuntimeError when `out` has another dtype than the result, or lies in an input."""
    for found, target in zip(_tensors(result), _tensors(out), strict=True):
        if found.dtype is not target.dtype:
            raise RuntimeError(
                f"Expected out tensor to have dtype {c_name(found.dtype)}, but got "
                f"{c_name(target.dtype)} instead"
            )
    apart(inputs, result, out)


def like_input(inputs: Any, result: Any, out: Any) -> None:
    """Raises: RuntimeError when `out` has another dtype than the input."""
    if result.dtype is not out.dtype:
        raise RuntimeError(
            f"Expected the dtype for input and out to match, but got {result.dtype.title} for "
            f"input's dtype and {out.dtype.title} for out's dtype."
        )


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for each in value for t in _tensors(each)] if isinstance(value, (tuple, list)) else []
