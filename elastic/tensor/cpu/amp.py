"""Mixed precision on the CPU under the names that it had before `torch.amp`."""

from __future__ import annotations

from elastic.tensor import dtypes
from elastic.tensor.amp._deprecated import device_autocast, device_scaler

__all__ = ["GradScaler", "autocast"]

autocast = device_autocast("cpu", dtypes.bfloat16)
GradScaler = device_scaler("cpu")
