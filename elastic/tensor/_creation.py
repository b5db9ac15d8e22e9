"""Making tensors: from data, from sizes, from numpy and from each other.

All makers take the keywords `dtype` (the default one unless given), `device` and `requires_grad`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from elastic.tensor import backend, dtypes
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor._types import (
    Size,
    contiguous_format,
    default_device,
    device,
    memory_format,
    preserve_format,
)

# Where makers put a tensor unless told


def set_default_device(device: Any) -> None:
    """Makes `device` the one on which makers put new tensors; None means the host."""
    default_device[0] = None if device is None else as_device(device)


def get_default_device() -> device:
    """The device on which makers put new tensors."""
    return default_device[0] or device("cpu")


def as_device(where: Any) -> device:
    """`where` (a device, its name, or the number of a GPU) as a device."""
    return where if isinstance(where, device) else device(where)


# From data


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new leaf tensor with a copy of `data`; Python floats become the default dtype."""
    if isinstance(data, Tensor):
        array, where = data._array.copy(), data.device if device is None else device
    else:
        array, where = np.array(data if _has_array(data) else _plain(data, 0)), device
    array = _as_dtype(array, dtypes.as_dtype(dtype), data)
    return finished(array, where, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, on the same memory where that is possible."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    if isinstance(data, np.ndarray):
        return from_numpy(data).to(device=device, dtype=dtype)
    return tensor(data, dtype=dtype, device=device)


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`obj` as a tensor: on the same memory where that is possible, unless `copy` is True.

    Raises: ValueError when `copy` is False and a copy is needed.
    """
    found = as_tensor(obj, dtype, device)
    shared = isinstance(obj, (Tensor, np.ndarray)) and np.shares_memory(
        backend.to_host(found._array),
        backend.to_host(obj._array if isinstance(obj, Tensor) else obj),
    )
    if copy is False and not shared:
        raise ValueError("can't alias arbitrary sequence. Make sure it is a tensor or an array")
    if copy and shared:
        found = found.clone()
    return found.requires_grad_() if requires_grad else found


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


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A 1-d tensor on the memory of `buffer`, from byte `offset`."""
    array = np.frombuffer(buffer, dtypes.as_dtype(dtype).np, count, offset)
    return finished(array, None, requires_grad)


def legacy_tensor(args: tuple, dtype: dtypes.dtype | None = None) -> Tensor:
    """What `torch.Tensor(*args)` holds: sizes give uninitialised memory, a sequence gives data."""
    d = dtype or dtypes.get_default_dtype()
    if len(args) == 1 and not isinstance(args[0], (int, Size)):
        data = args[0]
        if not isinstance(data, Tensor):
            return tensor(data, dtype=d)
        if dtype is not None and data.dtype is not dtype:
            raise TypeError(f"expected {dtype} (got {data.dtype})")
        return data
    return empty(*args, dtype=d) if args else empty(0, dtype=d)


def _has_array(data: Any) -> bool:
    return isinstance(data, (Tensor, np.ndarray, np.generic))


def _plain(data: Any, depth: int) -> Any:
    """`data` with tensors inside sequences as numbers. Raises: ValueError for ragged sequences."""
    if isinstance(data, Tensor):
        if data._array.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return data.tolist() if not data._array.ndim else backend.to_host(data._array)
    if isinstance(data, str):
        raise (
            ValueError("too many dimensions 'str'")
            if depth
            else TypeError("new(): invalid data type 'str'")
        )
    if isinstance(data, (bool, int, float, complex, np.ndarray, np.generic)):
        return data
    if not isinstance(data, Sequence):
        if not hasattr(data, "__array__"):
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        return np.asarray(data)
    items = [each if isinstance(each, (int, float)) else _plain(each, depth + 1) for each in data]
    _check_ragged(items, depth + 1)
    return items


def _check_ragged(items: list, dim: int) -> None:
    lengths = [len(each) if isinstance(each, (list, tuple)) else None for each in items]
    for length in lengths:
        if length != lengths[0]:
            raise ValueError(
                f"expected sequence of length {lengths[0]} at dim {dim} (got {length})"
            )


def _as_dtype(array: Any, dtype: dtypes.dtype | None, data: Any) -> Any:
    if array.dtype == object or (array.dtype == np.uint64 and not _has_array(data)):
        raise ValueError("Overflow when unpacking long long")
    if array.dtype.kind in "US":
        raise TypeError(
            "can't convert np.ndarray of type numpy.str_. The only supported types are: float64, "
            "float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, "
            "uint16, uint8, and bool."
        )
    if dtype is not None:
        _check_fits(array, dtype, data)
        return array.astype(dtype.np)
    if _has_array(data) or (isinstance(data, (list, tuple)) and _holds_arrays(data)):
        return array.astype(_inferred(data).np, copy=False)
    if array.dtype.kind == "f":
        return array.astype(dtypes.get_default_dtype().np)
    if array.dtype.kind == "c":
        d = dtypes.promote_types(dtypes.get_default_dtype(), dtypes.complex64)
        return array.astype(d.np)
    return array if array.size else array.astype(dtypes.get_default_dtype().np)


def _check_fits(array: Any, dtype: dtypes.dtype, data: Any) -> None:
    """Raises: RuntimeError when a Python integer is too large for `dtype`."""
    if array.dtype.kind not in "iu" or _has_array(data) or dtypes.rank(dtype) != 1:
        return
    high = int(np.iinfo(dtype.np).max)
    low = -high - 1 if dtype.is_signed else -high  # small negative numbers wrap around
    if array.size and (int(array.max()) > high or int(array.min()) < low):
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")


def _fitting(value: Any, dtype: dtypes.dtype) -> Any:
    """`value` as `dtype`: small negative integers wrap around."""
    array = np.asarray(value)
    _check_fits(array, dtype, value)
    return array.astype(dtype.np)


def _inferred(data: Any) -> dtypes.dtype:
    """The dtype of tensors, arrays and numbers together."""
    if isinstance(data, Tensor):
        return data.dtype
    if isinstance(data, (np.ndarray, np.generic)):
        return dtypes.from_numpy_dtype(data.dtype)
    if isinstance(data, (list, tuple)):
        return functools.reduce(dtypes.promote_types, map(_inferred, data))
    return dtypes.scalar_dtype(data)


def _holds_arrays(data: Sequence) -> bool:
    first = data[0] if data else None
    return _has_array(first) or (isinstance(first, (list, tuple)) and _holds_arrays(first))


def finished(array: Any, where: Any, requires_grad: bool) -> Tensor:
    where = default_device[0] if where is None else as_device(where)
    t = wrap(array if where is None else backend.to_device(array, where))
    if requires_grad and dtypes.rank(t.dtype) < 2:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    return t.requires_grad_() if requires_grad else t


# From sizes


def sizes_of(size: tuple, name: str) -> tuple:
    """The sizes that were given one by one or as one sequence.

    Raises: TypeError for what is no integer, RuntimeError for negative ones.
    """
    packed = len(size) == 1 and isinstance(size[0], (tuple, list))
    given = tuple(size[0]) if packed else size
    for place, each in enumerate(given):
        if isinstance(each, bool) or not hasattr(each, "__index__"):
            kind = type(each).__name__
            where = (
                f", but found element of type {kind} at pos {place}" if packed else f", not {kind}"
            )
            raise TypeError(f"{name}(): argument 'size' (position 1) must be tuple of ints{where}")
    sizes = tuple(each.__index__() for each in given)
    negative = [n for n in sizes if n < 0]
    if negative and name in ("zeros", "ones"):
        raise RuntimeError(f"{name}: Dimension size must be non-negative.")
    if negative:
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {negative[0]}: {list(sizes)}"
        )
    return sizes


def _filled(name: str, size: tuple, value: Any, settings: dict) -> Tensor:
    """A tensor of `size` full of `value` (None: uninitialised), by the usual keywords."""
    named = settings.pop("size", None)
    sizes = sizes_of(size if named is None else (named,), name)
    out = settings.pop("out", None)
    dtype = dtypes.as_dtype(settings.pop("dtype", None))
    dtype = dtype or (out.dtype if out is not None else dtypes.get_default_dtype())
    where, requires_grad, layout = options(name, settings)
    xp = backend.module_for(default_device[0] if where is None else as_device(where))
    array = xp.empty(sizes, dtype.np)
    if value is not None:
        array[...] = _fitting(value, dtype)
    return given_out(finished(arranged(array, layout), where, requires_grad), out)


def options(name: str, settings: dict) -> tuple:
    """Device, requires_grad and memory format. Raises: TypeError for what is left over."""
    found = [settings.pop(each, None) for each in ("device", "requires_grad", "memory_format")]
    for each in ("layout", "pin_memory", "names"):  # memory here is always dense and pageable
        settings.pop(each, None)
    if settings:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(settings))}'")
    return tuple(found)


def given_out(result: Tensor, out: Tensor | None) -> Tensor:
    """`result`, or `out` overwritten with it."""
    if out is None:
        return result
    from elastic.tensor._dispatch import into  # the ops are built on this module

    return into(out, result)


_ORDERS = {"channels_last": (0, 2, 3, 1), "channels_last_3d": (0, 2, 3, 4, 1)}


def arranged(array: Any, layout: memory_format | None) -> Any:
    """`array` with its elements in the order of `layout` in memory; itself when they are.

    Raises: RuntimeError when it has not the dimensions for it.
    """
    if layout is None or layout is preserve_format:
        return array
    if layout is contiguous_format:
        return array if array.flags.c_contiguous else array.copy("C")
    name = repr(layout).removeprefix("torch.")
    order = _ORDERS[name]
    if array.ndim != len(order):
        raise RuntimeError(f"required rank {len(order)} tensor to use {name} format")
    turned = array.transpose(order)
    if not turned.flags.c_contiguous:
        turned = turned.copy("C")
    return turned.transpose([order.index(k) for k in range(len(order))])


def zeros(*size: Any, **settings: Any) -> Tensor:
    """Zeros of `size`."""
    return _filled("zeros", size, 0, settings)


def ones(*size: Any, **settings: Any) -> Tensor:
    """Ones of `size`."""
    return _filled("ones", size, 1, settings)


def empty(*size: Any, **settings: Any) -> Tensor:
    """An uninitialised tensor of `size`."""
    return _filled("empty", size, None, settings)


def full(size: Any, fill_value: Any, **settings: Any) -> Tensor:
    """A tensor of `size` full of `fill_value`, of the value's dtype unless given."""
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}"
        )
    if settings.get("dtype") is None and settings.get("out") is None:
        settings["dtype"] = _dtype_of_value(fill_value)
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return _filled("full", (size,), value, settings)


def scalar_tensor(s: Any, **settings: Any) -> Tensor:
    """A 0-d tensor of the default dtype, unless another is given."""
    return _filled("scalar_tensor", ((),), s.item() if isinstance(s, Tensor) else s, settings)


def empty_strided(size: Any, stride: Any, **settings: Any) -> Tensor:
    """An uninitialised tensor whose elements lie `stride` elements apart."""
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError(
            f"dimensionality of sizes ({len(size)}) must match dimensionality of strides "
            f"({len(stride)})"
        )
    if any(step < 0 for step in stride):
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(stride)}"
        )
    span = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    memory = empty(span if 0 not in size else 0, **settings)
    array = memory._array
    steps = [step * array.itemsize for step in stride]
    xp = backend.xp_of(array)
    return wrap(xp.lib.stride_tricks.as_strided(array, size, steps)).requires_grad_(
        memory.requires_grad
    )


def empty_permuted(size: Any, physical_layout: Any, **settings: Any) -> Tensor:
    """An uninitialised tensor whose dimensions lie in memory in the order `physical_layout`."""
    size, order = tuple(size), tuple(physical_layout)
    if len(size) != len(order):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {len(size)} is not equal to len(physical_layout) = {len(order)}"
        )
    for k, dim in enumerate(order):
        if not 0 <= dim < len(size):
            raise RuntimeError(
                f"Dimension out of range (expected to be between 0 and {len(size) - 1}, but got "
                f"{dim} at index {k}).  NB: negative dims not currently supported; file an issue "
                "if you want it."
            )
        if dim in order[:k]:
            raise RuntimeError("Duplicate dim not allowed")
    t = empty([size[dim] for dim in order], **settings)
    return wrap(t._array.transpose([order.index(k) for k in range(len(order))])).requires_grad_(
        t.requires_grad
    )


def _dtype_of_value(value: Any) -> dtypes.dtype:
    return value.dtype if isinstance(value, Tensor) else dtypes.scalar_dtype(value)


# Like another tensor: also with its order of dimensions in memory


def _like(name: str, x: Any, value: Any, settings: dict) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}"
        )
    dtype = dtypes.as_dtype(settings.pop("dtype", None)) or x.dtype
    where, requires_grad, layout = options(name, settings)
    where = x.device if where is None else as_device(where)
    xp = backend.module_for(where)
    array = _empty_beside(xp, x._array, dtype.np)
    array = arranged(array, layout)
    if value is not None:
        array.fill(value)
    return finished(array, where, bool(requires_grad))


def _empty_beside(xp: Any, array: Any, dtype: Any) -> Any:
    """An array of the shape of `array`, with its dimensions in the same order in memory.

    One that is expanded has no order of its own: it stays where it stands.
    """
    if xp is not backend.xp_of(array):
        return xp.empty(array.shape, dtype)
    if 0 not in array.strides or not array.size:
        return xp.empty_like(array, dtype)
    order = list(range(array.ndim))
    for k in order[1:]:
        place = k
        for before in range(k - 1, -1, -1):
            left, right = array.strides[order[before]], array.strides[order[place]]
            if left and right and left < right:
                order[before], order[place] = order[place], order[before]
                place = before
            elif left > right > 0:
                break
    turned = xp.empty([array.shape[d] for d in order], dtype)
    return turned.transpose([order.index(d) for d in range(array.ndim)])


def zeros_like(input: Tensor, **settings: Any) -> Tensor:
    """Zeros of the shape and dtype of `input`."""
    return _like("zeros_like", input, 0, settings)


def ones_like(input: Tensor, **settings: Any) -> Tensor:
    """Ones of the shape and dtype of `input`."""
    return _like("ones_like", input, 1, settings)


def empty_like(input: Tensor, **settings: Any) -> Tensor:
    """An uninitialised tensor of the shape and dtype of `input`."""
    return _like("empty_like", input, None, settings)


def full_like(input: Tensor, fill_value: Any, **settings: Any) -> Tensor:
    """A tensor of the shape and dtype of `input`, full of `fill_value`."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return _like("full_like", input, value, settings)


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
