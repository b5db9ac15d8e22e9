"""The names that mixed precision had before `torch.amp`: they warn, and take no device."""

from __future__ import annotations

import warnings
from typing import Any

from elastic.tensor import dtypes
from elastic.tensor.amp.autocast_mode import autocast
from elastic.tensor.amp.grad_scaler import GradScaler

__all__ = ["device_autocast", "device_scaler", "warn_of"]


def warn_of(module: str, name: str, instead: str, stacklevel: int = 3) -> None:
    """Warn that `torch.<module>.<name>` has become `torch.amp.<instead>`."""
    warnings.warn(
        f"`torch.{module}.{name}(args...)` is deprecated. "
        f"Please use `torch.amp.{instead}` instead.",
        FutureWarning,
        stacklevel=stacklevel,
    )


def device_autocast(kind: str, dtype: dtypes.dtype) -> type[autocast]:
    """Return autocast for one kind of device."""
    half = dtype

    class DeviceAutocast(autocast):
        """`autocast` for this kind of device, under its old name."""

        def __init__(
            self, enabled: bool = True, dtype: dtypes.dtype = half, cache_enabled: bool = True
        ):
            warn_of(f"{kind}.amp", "autocast", f"autocast('{kind}', args...)")
            super().__init__(kind, dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)

    DeviceAutocast.__name__ = DeviceAutocast.__qualname__ = "autocast"
    return DeviceAutocast


def device_scaler(kind: str) -> type[GradScaler]:
    """Return GradScaler for one kind of device."""

    class DeviceScaler(GradScaler):
        """`GradScaler` for this kind of device, under its old name."""

        def __init__(self, *args: Any, **kwargs: Any):
            warn_of(f"{kind}.amp", "GradScaler", f"GradScaler('{kind}', args...)")
            super().__init__(kind, *args, **kwargs)

    DeviceScaler.__name__ = DeviceScaler.__qualname__ = "GradScaler"
    return DeviceScaler
