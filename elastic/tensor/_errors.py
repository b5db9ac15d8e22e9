"""PyTorch's words for what numpy complains about: users search for these texts.

Called only after a forward has failed, so correct calls pay nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from elastic.tensor.dtypes import FROM_NUMPY

TRANSLATED = (ValueError, IndexError, TypeError)


def explained(op: Any, raw: Sequence, error: Exception) -> Exception:
    """The error that PyTorch would raise where numpy raised `error` in `op`."""
    if isinstance(error, np.exceptions.AxisError) and error.axis is not None:
        return dimension_error(error.axis, error.ndim or 0)
    if str(error).startswith("Integers to negative"):
        return RuntimeError(str(error))
    if isinstance(error, TypeError) and op.name.startswith("bitwise"):
        title = next(FROM_NUMPY[each.dtype].title for each in raw if hasattr(each, "dtype"))
        return NotImplementedError(f"\"{op.name}_cpu\" not implemented for '{title}'")
    shapes = [each.shape for each in raw if hasattr(each, "shape")]
    if op.name in _MATMULS and len(shapes) > 1:
        return _matmul_error(op.name, *shapes[:2])
    if op.operands and len(shapes) > 1:
        found = broadcast_error(*shapes[-2:])
        if found is not None:
            return found
    return error


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


_MATMULS = ("matmul", "mm", "bmm", "mv", "dot", "_linear")


def _matmul_error(name: str, a: tuple, b: tuple) -> RuntimeError:
    if name == "_linear":
        b = b[::-1]
    if name == "mv":
        return RuntimeError(f"size mismatch, got input ({a[0]}), mat ({a[0]}x{a[1]}), vec ({b[0]})")
    if name == "dot":
        return RuntimeError(
            f"inconsistent tensor size, expected tensor [{a[0]}] and src [{b[0]}] to have the same "
            f"number of elements, but got {a[0]} and {b[0]} elements respectively"
        )
    if len(a) == 2 and len(b) == 2:
        return RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})"
        )
    return RuntimeError(
        f"matmul() of tensors with shapes {list(a)} and {list(b)}: the last size of the first "
        "must equal the second to last of the second, and batch sizes must broadcast"
    )
