"""Making tensors: from data, from sizes, from numpy and from each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from elastic.tensor import backend, dtypes
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor._types import Size, device


def tensor(
    data: Any,
    *,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A new leaf tensor with a copy of `data`; Python floats become the default dtype."""
    array = np.array(_plain(data), copy=True) if not _has_array(data) else _copy_of(data)
    array = _as_dtype(array, dtype, data)
    return _finished(array, device, requires_grad)


def as_tensor(data: Any, dtype: dtypes.dtype | None = None, device: Any = None) -> Tensor:
    """`data` as a tensor, on the same memory where that is possible."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    if isinstance(data, np.ndarray):
        return from_numpy(data).to(device=device, dtype=dtype)
    return tensor(data, dtype=dtype, device=device)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor on the memory of `array`: writes to one are seen in the other."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    dtypes.from_numpy_dtype(array.dtype)
    if any(stride < 0 for stride in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array  with array.copy().) "
        )
    return wrap(array)


def legacy_tensor(args: tuple) -> Tensor:
    """What `torch.Tensor(*args)` holds: sizes give uninitialised memory, a sequence gives data."""
    if len(args) == 1 and not isinstance(args[0], (int, Size)):
        data = args[0]
        return data if isinstance(data, Tensor) else tensor(data, dtype=dtypes.get_default_dtype())
    return empty(*args) if args else empty(0)


def _has_array(data: Any) -> bool:
    return isinstance(data, (Tensor, np.ndarray, np.generic))


def _copy_of(data: Any) -> Any:
    return data._array.copy() if isinstance(data, Tensor) else np.array(data)


def _plain(data: Any) -> Any:
    """`data` with tensors inside sequences as numbers. Raises: ValueError for ragged sequences."""
    if isinstance(data, (Tensor, np.ndarray)):
        return backend.to_host(data._array) if isinstance(data, Tensor) else data
    if not isinstance(data, (list, tuple)):
        return data
    items = [_plain(each) if not isinstance(each, (int, float)) else each for each in data]
    _check_ragged(items, 1)
    return items


def _check_ragged(items: list, dim: int) -> None:
    lengths = [len(each) if isinstance(each, (list, tuple)) else None for each in items]
    for length in lengths:
        if length != lengths[0]:
            raise ValueError(
                f"expected sequence of length {lengths[0]} at dim {dim} (got {length})"
            )


def _as_dtype(array: Any, dtype: dtypes.dtype | None, data: Any) -> Any:
    if array.dtype == object or array.dtype.kind in "US":
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if dtype is not None:
        return array.astype(dtype.np)
    if _has_array(data) or (isinstance(data, (list, tuple)) and _holds_arrays(data)):
        return array.astype(dtypes.from_numpy_dtype(array.dtype).np, copy=False)
    if array.dtype.kind == "f":
        return array.astype(dtypes.get_default_dtype().np)
    if array.dtype.kind == "c":
        d = dtypes.promote_types(dtypes.get_default_dtype(), dtypes.complex64)
        return array.astype(d.np)
    return array if array.size else array.astype(dtypes.get_default_dtype().np)


def _holds_arrays(data: Sequence) -> bool:
    first = data[0] if data else None
    return _has_array(first) or (isinstance(first, (list, tuple)) and _holds_arrays(first))


def _finished(array: Any, where: Any, requires_grad: bool) -> Tensor:
    if where is not None:
        array = backend.to_device(array, device(where))
    t = wrap(array)
    if requires_grad and dtypes.rank(t.dtype) < 2:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return t.requires_grad_() if requires_grad else t


def _filled(size: tuple, value: Any, settings: dict) -> Tensor:
    """A tensor of `size` full of `value` (None: uninitialised), by the usual keywords."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    dtype = settings.pop("dtype", None) or dtypes.get_default_dtype()
    where, requires_grad = settings.pop("device", None), settings.pop("requires_grad", False)
    _no_more(settings)
    xp = backend.module_for(None if where is None else device(where))
    size = tuple(int(n) for n in size)
    if any(n < 0 for n in size):
        raise RuntimeError(f"sizes of a tensor must be non-negative, got {list(size)}")
    array = xp.empty(size, dtype.np) if value is None else xp.full(size, value, dtype.np)
    return _finished(array, None, requires_grad)


def _no_more(settings: dict) -> None:
    # Accepted for PyTorch's sake; memory here is always dense, in C order and pageable.
    for name in ("layout", "memory_format", "pin_memory"):
        settings.pop(name, None)
    if settings:
        raise TypeError(f"got an unexpected keyword argument '{next(iter(settings))}'")


def zeros(*size: Any, **settings: Any) -> Tensor:
    """Zeros of `size`; keywords: dtype, device, requires_grad."""
    return _filled(_named_size(size, settings), 0, settings)


def ones(*size: Any, **settings: Any) -> Tensor:
    """Ones of `size`; keywords: dtype, device, requires_grad."""
    return _filled(_named_size(size, settings), 1, settings)


def empty(*size: Any, **settings: Any) -> Tensor:
    """An uninitialised tensor of `size`; keywords: dtype, device, requires_grad."""
    return _filled(_named_size(size, settings), None, settings)


def full(size: Any, fill_value: Any, **settings: Any) -> Tensor:
    """A tensor of `size` full of `fill_value`, of the value's dtype unless given."""
    if settings.get("dtype") is None:
        settings["dtype"] = _dtype_of_value(fill_value)
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return _filled((size,), value, settings)


def _dtype_of_value(value: Any) -> dtypes.dtype:
    return value.dtype if isinstance(value, Tensor) else dtypes.scalar_dtype(value)


def _named_size(size: tuple, settings: dict) -> tuple:
    named = settings.pop("size", None)
    return size if named is None else (named,)


def _like(x: Tensor, value: Any, settings: dict) -> Tensor:
    settings["dtype"] = settings.get("dtype") or x.dtype
    settings.setdefault("device", x.device)
    return _filled((x.shape,), value, settings)


def zeros_like(input: Tensor, **settings: Any) -> Tensor:
    """Zeros of the shape and dtype of `input`."""
    return _like(input, 0, settings)


def ones_like(input: Tensor, **settings: Any) -> Tensor:
    """Ones of the shape and dtype of `input`."""
    return _like(input, 1, settings)


def empty_like(input: Tensor, **settings: Any) -> Tensor:
    """An uninitialised tensor of the shape and dtype of `input`."""
    return _like(input, None, settings)


def full_like(input: Tensor, fill_value: Any, **settings: Any) -> Tensor:
    """A tensor of the shape and dtype of `input`, full of `fill_value`."""
    return _like(input, fill_value, settings)


def arange(start: Any = 0, end: Any = None, step: Any = 1, **settings: Any) -> Tensor:
    """The numbers from `start` up to, without, `end`; of int64 when all three are ints."""
    if end is None:
        start, end = 0, start
    start, end, step = (_number(each) for each in (start, end, step))
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    exact = all(isinstance(each, (int, np.integer)) for each in (start, end, step))
    default = dtypes.int64 if exact else dtypes.get_default_dtype()
    dtype = settings.pop("dtype", None) or default
    array: Any = np.arange(start, end, step)
    array = array.astype(dtype.np)
    return _sized(array, settings)


def linspace(start: Any, end: Any, steps: int, **settings: Any) -> Tensor:
    """`steps` numbers from `start` to `end`, both included."""
    dtype = settings.pop("dtype", None) or dtypes.get_default_dtype()
    return _sized(_linspace(_number(start), _number(end), steps, dtype), settings)


def _linspace(start: float, end: float, steps: int, dtype: dtypes.dtype) -> np.ndarray:
    """Counts up from `start` in the first half and down from `end` in the second, as PyTorch."""
    if dtype.np.kind in "iu":
        return np.linspace(start, end, steps).astype(dtype.np)
    kind = np.float64 if dtype.np == np.float64 else np.float32
    lo, hi = kind(start), kind(end)
    step = (hi - lo) / kind(steps - 1) if steps > 1 else kind(0)
    k = np.arange(steps)
    up = np.asarray(lo + step * k.astype(np.float64), kind)
    down = np.asarray(hi - step * (steps - 1 - k).astype(np.float64), kind)
    return np.where(k < steps // 2, up, down if steps > 1 else up).astype(dtype.np)


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, **settings: Any) -> Tensor:
    """`base` to the power of `linspace(start, end, steps)`."""
    dtype = settings.pop("dtype", None) or dtypes.get_default_dtype()
    return _sized(
        np.logspace(_number(start), _number(end), steps, base=base).astype(dtype.np), settings
    )


def eye(n: int, m: int | None = None, **settings: Any) -> Tensor:
    """The identity matrix, n by n or n by m."""
    dtype = settings.pop("dtype", None) or dtypes.get_default_dtype()
    return _sized(np.eye(n, m, dtype=dtype.np), settings)


def tril_indices(row: int, col: int, offset: int = 0, **settings: Any) -> Tensor:
    """The indices of the lower triangle, as two rows."""
    return _sized(np.stack(np.tril_indices(row, offset, col)), settings)


def triu_indices(row: int, col: int, offset: int = 0, **settings: Any) -> Tensor:
    """The indices of the upper triangle, as two rows."""
    return _sized(np.stack(np.triu_indices(row, offset, col)), settings)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _sized(array: np.ndarray, settings: dict) -> Tensor:
    where, requires_grad = settings.pop("device", None), settings.pop("requires_grad", False)
    dtype = settings.pop("dtype", None)
    _no_more(settings)
    return _finished(array if dtype is None else array.astype(dtype.np), where, requires_grad)


def is_tensor(value: Any) -> bool:
    """Whether `value` is a tensor."""
    return isinstance(value, Tensor)


def from_dlpack(source: Any) -> Tensor:
    """A tensor on the memory of anything that speaks DLPack."""
    if isinstance(source, Tensor):
        return source
    if source.__dlpack_device__()[0] == 1:
        return wrap(np.from_dlpack(source))
    return wrap(backend.module_for(device("cuda")).from_dlpack(source))
