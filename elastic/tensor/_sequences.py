"""Rows of numbers: counted, spaced evenly, or the indices of a triangle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from elastic.tensor import dtypes
from elastic.tensor._creation import finished, given_out, options
from elastic.tensor._rounding import fma64
from elastic.tensor._tensor import Tensor


def arange(start: Any = 0, end: Any = None, step: Any = 1, **settings: Any) -> Tensor:
    """The numbers from `start` up to, without, `end`; of int64 when all three are ints."""
    if end is None:
        start, end = 0, start
    exact = all(_is_integer(each) for each in (start, end, step))
    start, end, step = (_number(each) for each in (start, end, step))
    _check_range(start, end, step)
    out = settings.pop("out", None)
    dtype = dtypes.as_dtype(settings.pop("dtype", None)) or (
        out.dtype if out is not None else dtypes.int64 if exact else dtypes.get_default_dtype()
    )
    if dtype is dtypes.bool_:
        raise NotImplementedError("\"arange_cpu\" not implemented for 'Bool'")
    if dtypes.rank(dtype) == 1:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("step must be nonzero")
    count = (
        -(-(end - start) // step) if dtypes.rank(dtype) == 1 else math.ceil((end - start) / step)
    )
    wide = np.int64 if dtypes.rank(dtype) == 1 else np.float64
    array = start + np.arange(count, dtype=wide) * wide(step)
    return _sized("arange", array.astype(dtype.np), settings, out)


def _is_integer(value: Any) -> bool:
    if isinstance(value, Tensor):
        return dtypes.rank(value.dtype) < 2
    return isinstance(value, (int, np.integer))


def _check_range(start: Any, end: Any, step: Any) -> None:
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")


def linspace(start: Any, end: Any, steps: int, **settings: Any) -> Tensor:
    """`steps` numbers from `start` to `end`, both included."""
    start, end = _ends("linspace", start, end)
    dtype, out = _row_dtype("linspace", start, end, steps, settings)
    return _sized("linspace", _row(start, end, steps, dtype).astype(dtype.np), settings, out)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, **settings: Any) -> Tensor:
    """`base` to the power of `linspace(start, end, steps)`."""
    start, end = _ends("logspace", start, end)
    dtype, out = _row_dtype("logspace", start, end, steps, settings)
    if dtypes.rank(dtype) == 1:
        step = (end - start) / (steps - 1) if steps > 1 else 0
        array = np.array([base ** (start + step * k) for k in range(steps)], np.float64)
    else:
        array = _number(base) ** _row(start, end, steps, dtype)
    return _sized("logspace", np.asarray(array).astype(dtype.np), settings, out)


def _ends(name: str, start: Any, end: Any) -> tuple:
    ranks = [each._array.ndim if isinstance(each, Tensor) else 0 for each in (start, end)]
    if any(ranks):
        raise RuntimeError(
            f"{name} only supports 0-dimensional start and end tensors, but got start with "
            f"{ranks[0]} dimension(s) and end with {ranks[1]} dimension(s)."
        )
    return _number(start), _number(end)


def _row_dtype(name: str, start: Any, end: Any, steps: int, settings: dict) -> tuple:
    if not hasattr(steps, "__index__"):
        kinds = ", ".join(type(each).__name__ for each in (start, end, steps))
        raise TypeError(
            f"{name}() received an invalid combination of arguments - got ({kinds}), but expected "
            "(start, end, int steps)"
        )
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    out = settings.pop("out", None)
    dtype = dtypes.as_dtype(settings.pop("dtype", None)) or (out.dtype if out is not None else None)
    is_complex = isinstance(start, complex) or isinstance(end, complex)
    if dtype is None:
        dtype = dtypes.scalar_dtype(1j if is_complex else 1.0)
    elif is_complex and not dtype.is_complex:
        raise RuntimeError(
            f"torch.{name}(): inferred dtype {dtypes.scalar_dtype(1j).title} can't be safely cast "
            f"to passed dtype {dtype}"
        )
    if dtype is dtypes.bool_:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'")
    return dtype, out


def _row(start: Any, end: Any, steps: int, dtype: dtypes.dtype) -> np.ndarray:
    """Counts up from `start` in the first half and down from `end` in the second, as PyTorch."""
    k = np.arange(steps)
    from_start = k < steps // 2 if steps > 1 else k < 1
    if dtypes.rank(dtype) == 1:
        step = (float(end) - float(start)) / (steps - 1) if steps > 1 else 0.0
        # PyTorch cuts the distance from the nearer end
        return np.where(from_start, int(start) + step * k, int(end) - step * (steps - 1 - k))
    kind = dtype.np.type
    lo, hi = kind(start), kind(end)
    step = kind((hi - lo) / kind(steps - 1)) if steps > 1 else kind(0)
    rest = steps - 1 - k
    if dtype.np == np.float64:
        return np.where(from_start, fma64(1.0 * k, step, lo), fma64(-1.0 * rest, step, hi))
    if dtype in dtypes.HALVES:  # each operation is rounded
        return np.where(from_start, lo + step * k.astype(kind), hi - step * rest.astype(kind))
    wide = np.complex128 if dtype.is_complex else np.float64
    values = np.where(from_start, lo + wide(step) * k, hi - wide(step) * rest)
    return values.astype(dtype.np)


def range_(start: Any = 0, end: Any = None, step: Any = 1, **settings: Any) -> Tensor:
    """The numbers from `start` to `end`, both included: PyTorch's old `torch.range`."""
    if end is None:
        start, end = 0, start
    dtype = dtypes.as_dtype(settings.pop("dtype", None)) or dtypes.get_default_dtype()
    count = math.floor((_number(end) - _number(start)) / _number(step)) + 1
    array = _number(start) + np.arange(count) * _number(step)
    return _sized("range", np.asarray(array).astype(dtype.np), settings)


def eye(n: int, m: int | None = None, **settings: Any) -> Tensor:
    """The identity matrix, n by n or n by m."""
    for name, value in (("n", n), ("m", m)):
        if value is not None and value < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    out = settings.pop("out", None)
    dtype = dtypes.as_dtype(settings.pop("dtype", None)) or (
        dtypes.get_default_dtype() if out is None else out.dtype
    )
    return _sized("eye", np.eye(n, m, dtype=dtype.np), settings, out)


def tril_indices(row: int, col: int, offset: int = 0, **settings: Any) -> Tensor:
    """The indices of the lower triangle, as two rows."""
    return _sized("tril_indices", np.stack(np.tril_indices(row, offset, col)), settings)


def triu_indices(row: int, col: int, offset: int = 0, **settings: Any) -> Tensor:
    """The indices of the upper triangle, as two rows."""
    return _sized("triu_indices", np.stack(np.triu_indices(row, offset, col)), settings)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _sized(name: str, array: np.ndarray, settings: dict, out: Tensor | None = None) -> Tensor:
    dtype = dtypes.as_dtype(settings.pop("dtype", None))
    where, requires_grad, _ = options(name, settings)
    array = array if dtype is None else array.astype(dtype.np)
    return given_out(finished(array, where, bool(requires_grad)), out)
