"""PyTorch's `utils.hooks`: the handle that every registration of a hook returns."""

from elastic.tensor._hooks import Removable as RemovableHandle

__all__ = ["RemovableHandle"]
