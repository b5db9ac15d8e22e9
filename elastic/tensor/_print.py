"""How a tensor prints."""

from __future__ import annotations

from typing import Any


def tensor_repr(t: Any) -> str:
    """The tensor as PyTorch prints it."""
    return f"tensor({t._array})"
