"""Exchange of tensors with other libraries, without a copy."""

from __future__ import annotations

from typing import Any

from elastic.tensor import Tensor, from_dlpack

__all__ = ["from_dlpack", "to_dlpack"]


def to_dlpack(tensor: Tensor) -> Any:
    """A DLPack capsule on the memory of `tensor`, that one library can take."""
    return tensor.__dlpack__()
