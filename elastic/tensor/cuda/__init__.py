"""PyTorch's `cuda` namespace, as far as programs ask whether there is a GPU and wait for it."""

from __future__ import annotations

import importlib
from typing import Any

from elastic.tensor import backend
from elastic.tensor._types import device

__all__ = ["device_count", "is_available", "synchronize"]


def __getattr__(name: str) -> Any:
    if name != "amp":
        raise AttributeError(f"module 'elastic.tensor.cuda' has no attribute {name!r}")
    return importlib.import_module("elastic.tensor.cuda.amp")  # it is built on much else


def is_available() -> bool:
    """Whether tensors can live on a GPU: cupy, a driver and a device are there."""
    return backend.gpu_count() > 0


def device_count() -> int:
    """How many GPUs there are."""
    return backend.gpu_count()


def synchronize() -> None:
    """Waits until the GPU has done all that was asked of it."""
    backend.module_for(device("cuda")).cuda.runtime.deviceSynchronize()
