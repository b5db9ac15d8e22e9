"""autocast: products in half precision, sums and losses in float32, as PyTorch's lists say."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from elastic.tensor import Tensor, backend, dtypes
from elastic.tensor._autocast import state, switch
from elastic.tensor._types import device

__all__ = [
    "autocast",
    "autocast_decrement_nesting",
    "autocast_increment_nesting",
    "clear_autocast_cache",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_cpu_dtype",
    "get_autocast_dtype",
    "get_autocast_gpu_dtype",
    "is_autocast_available",
    "is_autocast_cache_enabled",
    "is_autocast_cpu_enabled",
    "is_autocast_enabled",
    "set_autocast_cache_enabled",
    "set_autocast_cpu_dtype",
    "set_autocast_cpu_enabled",
    "set_autocast_dtype",
    "set_autocast_enabled",
    "set_autocast_gpu_dtype",
]


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast knows that kind of device. Raises: RuntimeError for no kind at all."""
    return device(device_type).type in state.enabled


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether this thread is in autocast for that kind of device."""
    return state.enabled[_known(device_type)]


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Switch autocast on or off in this thread; with one argument for "cuda"."""
    if enabled is None:
        device_type, enabled = "cuda", bool(device_type)
    switch(_known(str(device_type)), enabled)


def get_autocast_dtype(device_type: str) -> dtypes.dtype:
    """Return the half precision of autocast for that kind of device."""
    return state.dtype[_known(device_type)]


def set_autocast_dtype(device_type: str, dtype: dtypes.dtype) -> None:
    """Set the half precision of autocast for that kind of device, in this thread."""
    state.dtype[_known(device_type)] = dtype


def is_autocast_cpu_enabled() -> bool:
    """Whether this thread is in autocast for the CPU."""
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Switch autocast for the CPU on or off in this thread."""
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> dtypes.dtype:
    """Return the half precision of autocast for the CPU."""
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: dtypes.dtype) -> None:
    """Set the half precision of autocast for the CPU, in this thread."""
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> dtypes.dtype:
    """Return the half precision of autocast for the GPU."""
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: dtypes.dtype) -> None:
    """Set the half precision of autocast for the GPU, in this thread."""
    set_autocast_dtype("cuda", dtype)


def is_autocast_cache_enabled() -> bool:
    """Whether a parameter is cast only once in a context."""
    return state.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Set whether a parameter is cast only once in a context, in this thread."""
    state.cache_enabled = enabled


def clear_autocast_cache() -> None:
    """Forget the casts of parameters."""
    state.cache.clear()


def autocast_increment_nesting() -> int:
    """Enter one more context; return how many there are."""
    state.nesting += 1
    return state.nesting


def autocast_decrement_nesting() -> int:
    """Leave a context; return how many there are still."""
    state.nesting -= 1
    return state.nesting


def _known(device_type: str) -> str:
    if not is_autocast_available(device_type):
        raise RuntimeError(f"unknown device type for autocast in get_autocast_dtype: {device_type}")
    return device_type


class autocast:
    """A context, or decorator, in which operations choose their dtype.

    Products (linear, convolutions, matmul) are computed in `dtype`, what needs range or precision
    in float32, the rest in the dtype that it gets: bfloat16 on the CPU, float16 on the GPU unless
    told otherwise.

    Raises: RuntimeError for a kind of device without autocast.
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtypes.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        _check_name(device_type)
        if not is_autocast_available(device_type):
            raise RuntimeError(
                f"User specified an unsupported autocast device_type '{device_type}'"
            )
        self.device = device_type
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = state.cache_enabled if cache_enabled is None else cache_enabled
        self._enabled = enabled and self._is_supported()
        self._before: list[tuple] = []  # a stack: one object may be entered again

    def _is_supported(self) -> bool:
        told = None
        if self.device == "cuda" and not backend.gpu_count():
            told = "CUDA is not available or torch_xla is imported. Disabling autocast."
        elif self.fast_dtype not in (dtypes.bfloat16, dtypes.float16):
            told = (
                f"In {self.device.upper()} autocast, but the target dtype is not supported. "
                f"Disabling autocast.\n{self.device.upper()} Autocast only supports dtypes of "
                "torch.bfloat16, torch.float16 currently."
            )
        if told:
            warnings.warn(told, stacklevel=3)
        return told is None

    def __enter__(self) -> autocast:
        kind = self.device
        self._before.append((state.cache_enabled, state.enabled[kind], state.dtype[kind]))
        state.dtype[kind] = self.fast_dtype
        state.cache_enabled = self._cache_enabled
        autocast_increment_nesting()
        switch(kind, self._enabled)
        return self

    def __exit__(self, *exc: object) -> None:
        if autocast_decrement_nesting() == 0:
            clear_autocast_cache()
        state.cache_enabled, enabled, state.dtype[self.device] = self._before.pop()
        switch(self.device, enabled)

    def __call__(self, function: Callable) -> Callable:
        if not callable(function):
            raise TypeError(
                "autocast()(func) requires a callable, but got "
                f"{type(function).__name__}. Did you mean to use autocast as a context manager? "
                "For example:\n    with torch.autocast(device_type=...):\n        output = "
                "model(input)"
            )

        @functools.wraps(function)
        def autocasting(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return autocasting


def custom_fwd(
    fwd: Callable | None = None, *, device_type: str, cast_inputs: dtypes.dtype | None = None
) -> Any:
    """A decorator for `forward` of a Function: with `cast_inputs` it gets that dtype.

    It then runs without autocast; else as the caller does. `custom_bwd` goes with it.
    """
    _check_name(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(*args: Any, **kwargs: Any) -> Any:
        args[0]._dtype = get_autocast_dtype(device_type)
        enabled = is_autocast_enabled(device_type)
        args[0]._fwd_used_autocast = enabled and cast_inputs is None
        if cast_inputs is None or not enabled:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            given = _cast(args, device_type, cast_inputs)
            return fwd(*given, **_cast(kwargs, device_type, cast_inputs))

    return forward


def custom_bwd(bwd: Callable | None = None, *, device_type: str) -> Any:
    """A decorator for `backward` of a Function: it is in autocast where `forward` was."""
    _check_name(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(*args: Any, **kwargs: Any) -> Any:
        enabled, dtype = args[0]._fwd_used_autocast, args[0]._dtype
        with autocast(device_type, enabled=enabled, dtype=dtype):
            return bwd(*args, **kwargs)

    return backward


def _check_name(device_type: Any) -> None:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")


def _cast(value: Any, device_type: str, dtype: dtypes.dtype) -> Any:
    """Return a value with the floating tensors in it, but those of float64, in another dtype."""
    if isinstance(value, Tensor):
        eligible = value.is_floating_point() and value.dtype is not dtypes.float64
        return value.to(dtype) if eligible and value.device.type == device_type else value
    if isinstance(value, (str, bytes, np.ndarray)) or not isinstance(value, Iterable):
        return value
    if isinstance(value, Mapping):
        return {
            _cast(key, device_type, dtype): _cast(each, device_type, dtype)
            for key, each in value.items()
        }
    cast = (_cast(each, device_type, dtype) for each in value)
    return type(value)(cast) if isinstance(value, (list, tuple)) else cast
