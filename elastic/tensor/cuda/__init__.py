"""PyTorch's `cuda` namespace: which GPUs there are, which one is current, and their memory.

Without a GPU what only asks or frees answers (0, False, None), and what needs one says so.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from elastic.tensor import backend
from elastic.tensor._types import device as _device

__all__ = [
    "amp",
    "current_device",
    "device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "init",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "set_device",
    "synchronize",
]


def __getattr__(name: str) -> Any:
    if name != "amp":
        raise AttributeError(f"module 'elastic.tensor.cuda' has no attribute {name!r}")
    return importlib.import_module("elastic.tensor.cuda.amp")  # it is built on much else


def _cupy() -> Any:
    return backend.module_for(_device("cuda"))


def _number(where: Any) -> int:
    """The number of a GPU: of a device, its name, itself, or (None) of the current one."""
    if isinstance(where, int):
        return where
    index = None if where is None else _device(where).index
    return current_device() if index is None else index


def is_available() -> bool:
    """Whether tensors can live on a GPU: cupy, a driver and a device are there."""
    return backend.gpu_count() > 0


def device_count() -> int:
    """How many GPUs there are."""
    return backend.gpu_count()


def init() -> None:
    """Loads cupy. Raises: AssertionError when there is no GPU."""
    _cupy()


def is_initialized() -> bool:
    """Whether a GPU can be used without further preparation."""
    return is_available()


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 can be computed with on the current GPU."""
    return is_available()


def synchronize(device: Any = None) -> None:
    """Waits until the GPU has done all that was asked of it."""
    _cupy().cuda.runtime.deviceSynchronize()


# Which GPU


def current_device() -> int:
    """The number of the GPU on which new tensors come to lie."""
    return _cupy().cuda.runtime.getDevice()


def set_device(device: Any) -> None:
    """Makes a GPU the current one; a negative number changes nothing."""
    number = _number(device)
    if number >= 0:
        _cupy().cuda.runtime.setDevice(number)


class device:
    """A context in which a GPU is the current one; a negative number or None changes nothing."""

    def __init__(self, device: Any):
        self.number = -1 if device is None else _number(device)

    def __enter__(self) -> None:
        if self.number >= 0:
            self.before = current_device()
            set_device(self.number)

    def __exit__(self, *exc: object) -> None:
        if self.number >= 0:
            set_device(self.before)


class DeviceProperties(NamedTuple):
    """What `get_device_properties` tells."""

    name: str
    major: int  # of the compute capability
    minor: int
    total_memory: int  # in bytes
    multi_processor_count: int


def get_device_properties(device: Any = None) -> DeviceProperties:
    """The name, capability and size of a GPU."""
    found = _cupy().cuda.runtime.getDeviceProperties(_number(device))
    name = found["name"]
    return DeviceProperties(
        name.decode() if isinstance(name, bytes) else name,
        found["major"],
        found["minor"],
        found["totalGlobalMem"],
        found["multiProcessorCount"],
    )


def get_device_name(device: Any = None) -> str:
    """The name of a GPU."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability of a GPU."""
    found = get_device_properties(device)
    return found.major, found.minor


# Memory


def _pool() -> Any:
    return _cupy().get_default_memory_pool()


def empty_cache() -> None:
    """Gives memory that no tensor uses back to the driver."""
    if is_available():
        _pool().free_all_blocks()


def memory_allocated(device: Any = None) -> int:
    """The bytes that tensors use."""
    return _pool().used_bytes() if is_available() else 0


def memory_reserved(device: Any = None) -> int:
    """The bytes that are held for tensors, in use or not."""
    return _pool().total_bytes() if is_available() else 0


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that were ever in use, as far as known: none go back unasked."""
    return memory_reserved(device)


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that were ever held, as far as known: those held now."""
    return memory_reserved(device)


def reset_peak_memory_stats(device: Any = None) -> None:
    """Lets the maxima start anew: memory that no tensor uses goes back."""
    empty_cache()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """The free bytes of the current GPU, and all of them."""
    return _cupy().cuda.runtime.memGetInfo()


# Random numbers are drawn on the host, from the one generator


def manual_seed(seed: int) -> None:
    """Changes nothing: tensors on a GPU get the numbers of `torch.manual_seed`."""


def manual_seed_all(seed: int) -> None:
    """Changes nothing: see `manual_seed`."""
