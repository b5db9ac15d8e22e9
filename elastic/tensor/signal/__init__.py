"""PyTorch's `signal` namespace."""

from __future__ import annotations

from elastic.tensor.signal import windows

__all__ = ["windows"]
