"""A fixed battery of computations: where its digest differs, so would the bits of a training (B6).

Versions and processor features name what usually makes a difference; this looks at the arithmetic
itself. It is run in the thread that computes, since a library may have told that thread's processor
to flush denormal numbers to zero.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = ["BATTERY", "battery"]


def _numbers(dtype: Any, *shape: int) -> Tensor:
    """Return numbers between -1 and 1 that need no generator: exact in any arithmetic."""
    count = int(np.prod(shape))
    whole = (np.arange(count, dtype=np.int64) * 2654435761) % (1 << 22)
    return torch.from_numpy(whole / (1 << 21) - 1).to(dtype).reshape(*shape)


def _denormal(dtype: Any) -> Tensor:
    tiny = torch.tensor([torch.finfo(dtype).tiny], dtype=dtype)
    return tiny * 0.37 + tiny * 0.11


BATTERY: dict[str, Callable[[Any], Tensor]] = {
    "gemm": lambda kind: _numbers(kind, 129, 257) @ _numbers(kind, 257, 65),
    "gemv": lambda kind: _numbers(kind, 129, 257) @ _numbers(kind, 257),
    "exp": lambda kind: (_numbers(kind, 1021) * 20).exp(),
    "tanh": lambda kind: (_numbers(kind, 1021) * 4).tanh(),
    "sum": lambda kind: _numbers(kind, 4099).sum(),
    "denormal": _denormal,
}
"""What is computed, in float32 and float64."""


def battery() -> str:
    """Return 16 hex digits of what this thread makes of the battery: a few milliseconds."""
    digest = sha256()
    with torch.no_grad():
        for compute in BATTERY.values():
            for kind in (torch.float32, torch.float64):
                digest.update(compute(kind).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
