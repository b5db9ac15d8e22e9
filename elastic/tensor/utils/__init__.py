"""PyTorch's `utils` namespace: each part is loaded when first asked for."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["checkpoint", "dlpack", "hooks"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"elastic.tensor.utils.{name}")
    if name == "data":
        raise AttributeError("elastic.data takes the place of torch.utils.data: import it")
    raise AttributeError(f"module 'elastic.tensor.utils' has no attribute {name!r}")
