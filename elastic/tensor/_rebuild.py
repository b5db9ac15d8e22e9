"""Taking tensors apart for a pickle and making them again, under PyTorch's names.

PyTorch's files name functions (`torch._utils._rebuild_tensor_v2`) and types (`torch.FloatStorage`)
by their path. `known_globals` says what stands for each path here; `torch_name` is its reverse.
"""

from __future__ import annotations

import _codecs
import copyreg
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any

from elastic.tensor import backend, dtypes
from elastic.tensor._storage import (
    TypedStorage,
    UntypedStorage,
    storage_and_offset,
    storage_type,
)
from elastic.tensor._tensor import Tensor, requires, wrap
from elastic.tensor._types import Size, device, layout

# PyTorch has no storage types for these: their files name the dtype beside the bytes
_UNTYPED = (dtypes.uint16, dtypes.uint32, dtypes.uint64)


def reduce_tensor(t: Tensor, protocol: Any = 2) -> tuple:
    """`t` as a call of `_rebuild_tensor_v2` on the storage that it shares with its views."""
    found = storage_and_offset(t._array)
    array = t._array if found else t._array.copy()
    storage, start = found or storage_and_offset(array)  # type: ignore[misc]
    size = array.itemsize
    strides = tuple(s // size for s in array.strides)
    plain: tuple = (start // size, tuple(array.shape), strides, requires(t), OrderedDict())
    if t.dtype in _UNTYPED:
        rebuild: Callable = _rebuild_tensor_v3
        plain = (storage, *plain, t.dtype)
    else:
        rebuild, plain = _rebuild_tensor_v2, (TypedStorage(storage, t.dtype), *plain)
    if type(t) is Tensor and not t.__dict__:
        return rebuild, plain
    return _rebuild_from_type_v2, (rebuild, type(t), plain, dict(t.__dict__))


def reduce_parameter(t: Any) -> tuple:
    """A Parameter as a call that makes one from its data."""
    from elastic.tensor.nn.parameter import Parameter

    args: tuple = (t.data, t.requires_grad, OrderedDict())
    if type(t) is not Parameter:
        return _rebuild_from_type_v2, (_rebuild_parameter, type(t), args, dict(t.__dict__))
    if t.__dict__:
        return _rebuild_parameter_with_state, (*args, dict(t.__dict__))
    return _rebuild_parameter, args


def _rebuild_tensor(storage: Any, storage_offset: int, size: tuple, stride: tuple) -> Tensor:
    return _rebuild_tensor_v3(storage, storage_offset, size, stride, False, None, storage.dtype)


def _rebuild_tensor_v2(
    storage: Any,
    storage_offset: int,
    size: tuple,
    stride: tuple,
    requires_grad: bool,
    backward_hooks: Any,
    metadata: Any = None,
) -> Tensor:
    dtype = storage.dtype
    return _rebuild_tensor_v3(storage, storage_offset, size, stride, requires_grad, None, dtype)


def _rebuild_tensor_v3(
    storage: Any,
    storage_offset: int,
    size: tuple,
    stride: tuple,
    requires_grad: bool,
    backward_hooks: Any,
    dtype: dtypes.dtype,
    metadata: Any = None,
) -> Tensor:
    memory = storage.untyped() if isinstance(storage, TypedStorage) else storage
    step = dtype.itemsize
    try:
        array = backend.strided(
            memory._array, dtype.np, storage_offset * step, size, tuple(s * step for s in stride)
        )
    except (ValueError, TypeError) as error:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset "
            f"{storage_offset}, and itemsize {step} are out of bounds for storage of size "
            f"{len(memory)}"
        ) from error
    t = wrap(array)
    return t.requires_grad_() if requires_grad else t


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: Any) -> Any:
    from elastic.tensor.nn.parameter import Parameter

    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data: Tensor, requires_grad: bool, hooks: Any, state: Any) -> Any:
    parameter = _rebuild_parameter(data, requires_grad, hooks)
    parameter.__dict__.update(state)
    return parameter


def _rebuild_from_type_v2(func: Callable, new_type: type, args: tuple, state: Any) -> Any:
    made = func(*args)
    if type(made) is not new_type:
        plain, made = made, wrap(made._array, new_type)
        made._requires_grad = plain._requires_grad
    if hasattr(new_type, "__setstate__"):
        made.__setstate__(state)
    else:
        made.__dict__.update(state[0] if isinstance(state, tuple) else state)
    return made


def _get_layout(name: str) -> Any:
    import elastic.tensor as torch

    return getattr(torch, name.removeprefix("torch."))


copyreg.pickle(layout, lambda value: (_get_layout, (str(value),)))


@cache
def known_globals() -> dict[str, Any]:
    """What a file of weights may name, by its path in PyTorch."""
    from elastic.tensor.nn.parameter import Parameter

    rebuilders = (
        *(_rebuild_tensor, _rebuild_tensor_v2, _rebuild_tensor_v3),
        *(_rebuild_parameter, _rebuild_parameter_with_state),
    )
    table: dict[str, Any] = {f"torch._utils.{each.__name__}": each for each in rebuilders}
    table |= {f"torch.{d.name}": d for d in dtypes.ALL}
    typed = [d for d in dtypes.ALL if d not in _UNTYPED]
    table |= {f"torch.{storage_type(d).name}": storage_type(d) for d in typed}
    return table | {
        "collections.OrderedDict": OrderedDict,
        "collections.Counter": Counter,
        "torch.nn.parameter.Parameter": Parameter,
        "torch._tensor._rebuild_from_type_v2": _rebuild_from_type_v2,
        "torch.serialization._get_layout": _get_layout,
        "torch.Size": Size,
        "torch.Tensor": Tensor,
        "torch.device": device,
        "torch.storage.UntypedStorage": UntypedStorage,
        "_codecs.encode": _codecs.encode,
        "builtins.bytearray": bytearray,
        "builtins.set": set,
        "builtins.complex": complex,
    }


@cache
def _names() -> dict[int, tuple[str, str]]:
    from elastic.tensor.nn._state_dict import StateDict

    table = {
        id(value): (path.rpartition(".")[0], path.rpartition(".")[2])
        for path, value in known_globals().items()
        if path.startswith("torch.")
    }
    return table | {id(StateDict): ("collections", "OrderedDict")}


def torch_name(value: Any) -> tuple[str, str] | None:
    """The module and the name by which PyTorch's files speak of `value`."""
    return _names().get(id(value))
