"""Mixed precision on the GPU under the names that it had before `torch.amp`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from elastic.tensor import amp, dtypes
from elastic.tensor.amp._deprecated import device_autocast, device_scaler, warn_of

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]

autocast = device_autocast("cuda", dtypes.float16)
GradScaler = device_scaler("cuda")


def custom_fwd(fwd: Callable | None = None, *, cast_inputs: dtypes.dtype | None = None) -> Any:
    """`torch.amp.custom_fwd` for the GPU."""
    warn_of("cuda.amp", "custom_fwd", "custom_fwd(args..., device_type='cuda')")
    return amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Callable) -> Any:
    """`torch.amp.custom_bwd` for the GPU."""
    warn_of("cuda.amp", "custom_bwd", "custom_bwd(args..., device_type='cuda')")
    return amp.custom_bwd(bwd, device_type="cuda")
