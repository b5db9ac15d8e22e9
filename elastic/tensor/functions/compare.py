"""Questions about whole tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from elastic.tensor import backend, dtypes
from elastic.tensor._publish import public
from elastic.tensor._tensor import Tensor, wrap


@public()
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements."""
    a, b = input._array, other._array
    return a.shape == b.shape and bool((a == b).all())


@public()
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements differ by at most atol + rtol * |other|."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._array.all())


@public()
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether each pair of elements differs by at most atol + rtol * |other|."""
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value:g}")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype.title} did not match {other.dtype.title}")
    xp = backend.xp_of(input._array)
    return wrap(xp.asarray(xp.isclose(input._array, other._array, rtol, atol, equal_nan)))


@public(out=True, method=False)
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each of `elements` is one of `test_elements` (or, inverted, is none)."""
    arrays = [
        e._array if isinstance(e, Tensor) else np.asarray(e) for e in (elements, test_elements)
    ]
    for array in arrays:
        if array.dtype.kind in "bc":
            raise RuntimeError(
                "Unsupported input type encountered for isin(): "
                f"{dtypes.FROM_NUMPY[array.dtype].title}"
            )
    xp = backend.xp_of(arrays[0])
    return wrap(xp.asarray(xp.isin(*arrays, assume_unique=assume_unique, invert=invert)))


@public(method=False)
def numel(input: Tensor) -> int:
    """The number of elements."""
    return input._array.size


@public(method=False)
def typename(value: Any) -> str:
    """The name of the type of `value`, with its module; of a tensor PyTorch's old type name."""
    if isinstance(value, Tensor):
        return value.type()
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return module + kind.__qualname__
