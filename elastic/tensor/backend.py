"""The only place that knows a device: which array module an array belongs to, and how to move it.

numpy is always there; cupy is imported when the first array goes to a GPU. Both speak the same
language, so an op has one body, written for `xp`.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from functools import cache
from typing import Any

import numpy as np

from elastic.tensor._types import device


def xp_of(array: Any) -> Any:
    """The module (numpy or cupy) that computes with `array`."""
    cupy = sys.modules.get("cupy")
    return cupy if cupy is not None and isinstance(array, cupy.ndarray) else np


def is_array(value: Any) -> bool:
    """Whether `value` is an array of one of the modules."""
    return isinstance(value, np.ndarray) or xp_of(value) is not np


def device_of(array: Any) -> device:
    """The device on which `array` lives."""
    if isinstance(array, np.ndarray):
        return _CPU
    return device("cuda", array.device.id)


def to_device(array: Any, where: device) -> Any:
    """`array` on device `where`: itself when it is there already.

    Raises: AssertionError with PyTorch's text when there is no GPU.
    """
    if where.type == "cpu":
        return array if isinstance(array, np.ndarray) else array.get()
    return _cupy_or_error().asarray(array)


def module_for(where: device | None) -> Any:
    """The module that creates arrays on device `where`."""
    return np if where is None or where.type == "cpu" else _cupy_or_error()


def to_host(array: Any) -> np.ndarray:
    """`array` as a numpy array: itself when it is one."""
    return array if isinstance(array, np.ndarray) else array.get()


def beside(array: Any, values: Any) -> Any:
    """`values`, an array or a number, where `array` is."""
    if not is_array(values) or xp_of(values) is xp_of(array):
        return values
    return to_device(values, device_of(array))


def address(array: Any) -> int:
    """Where the first element of `array` is."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def owner_of(array: Any) -> Any:
    """The array whose memory `array` is a view of: itself when it owns its memory."""
    kind, owner = type(array) if not isinstance(array, np.ndarray) else np.ndarray, array
    while (array := getattr(array, "base", None)) is not None:
        owner = array if isinstance(array, kind) else owner
    return owner


def bytes_of(owner: Any) -> Any:
    """All memory from the first to the last element of `owner`, as a flat view of uint8."""
    if not owner.size:
        return xp_of(owner).empty(0, np.uint8)
    count = 1 + sum(
        abs(s) // owner.itemsize * (n - 1) for s, n in zip(owner.strides, owner.shape, strict=True)
    )
    if not isinstance(owner, np.ndarray):
        return strided(owner, np.dtype(np.uint8), 0, (count * owner.itemsize,), (1,))
    forward: Any = (*[slice(None, None, -1 if s < 0 else 1) for s in owner.strides], ...)
    lowest = owner[forward]
    elements = np.lib.stride_tricks.as_strided(lowest, (count,), (owner.itemsize,))
    return elements.view(np.uint8)


def strided(memory: Any, dtype: np.dtype, offset: int, shape: tuple, strides: tuple) -> Any:
    """An array on `memory` (of uint8) that begins at byte `offset`; `strides` are in bytes.

    Raises: ValueError when it would leave the memory of numpy.
    """
    if isinstance(memory, np.ndarray):
        return np.ndarray(shape, dtype, memory, offset, strides)
    return xp_of(memory).ndarray(shape, dtype, memory.data + offset, strides)


def read_only(array: Any) -> Any:
    """`array`, which numpy now refuses to write into; cupy knows no such refusal."""
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return array


@cache
def gpu_count() -> int:
    """How many GPUs cupy can use: 0 without cupy, a driver or a device."""
    try:
        return importlib.import_module("cupy").cuda.runtime.getDeviceCount()
    except Exception:  # noqa: BLE001 cupy reports a missing driver by several private types
        return 0


def add_at(xp: Any, array: Any, index: Any, values: Any) -> None:
    """Adds `values` into `array[index]`, with repeated places adding up."""
    if xp is np:
        np.add.at(array, index, values)
    else:
        importlib.import_module("cupyx").scatter_add(array, index, values)


def special(xp: Any) -> Any:
    """scipy.special, or cupy's: loaded when the first special function is asked for."""
    name = "scipy.special" if xp is np else "cupyx.scipy.special"
    return importlib.import_module(name)


def fft(xp: Any) -> Any:
    """scipy.fft, or cupy's: twice as fast as numpy's, and loaded when first asked for."""
    return importlib.import_module("scipy.fft" if xp is np else "cupyx.scipy.fft")


def scipy_linalg() -> Any:
    """scipy.linalg, for what numpy has not: loaded when the first such op is asked for."""
    return importlib.import_module("scipy.linalg")


def _cupy_or_error() -> Any:
    if not gpu_count():
        raise AssertionError("Torch not compiled with CUDA enabled")
    return importlib.import_module("cupy")


_CPU = device("cpu")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_LARGEST_KEPT, _MOST_KEPT = 32 << 20, (1 << 31) - 1  # the most that glibc takes


def keep_freed_memory() -> None:
    """Lets the allocator keep the memory of large arrays for the next ones.

    By default glibc gives it back to the system at once, and the next array of that size pays a
    page fault for each 4 KB: a chain of ten functions of 1 M numbers took three times as long.
    A user who sets MALLOC_ variables, or another C library, decides for himself.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)
