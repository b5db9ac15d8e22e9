"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._rebuild import reduce_parameter

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A leaf tensor, on the memory of `data`, that is trained: it requires a gradient."""

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Any:
        data = torch.empty(0) if data is None else data
        return Tensor._make_subclass(cls, data, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return reduce_parameter(self)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that is state but is not trained; `state_dict` has it if it is persistent."""

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        data = torch.empty(0) if data is None else data
        buffer = Tensor._make_subclass(cls, data)
        buffer.persistent = persistent
        return buffer
