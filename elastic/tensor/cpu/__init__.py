"""PyTorch's `cpu` namespace: mixed precision under its old names."""

from elastic.tensor.cpu import amp

__all__ = ["amp"]
