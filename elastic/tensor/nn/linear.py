"""Layers that multiply by a matrix."""

from __future__ import annotations

import math
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.nn import functional as F
from elastic.tensor.nn import init
from elastic.tensor.nn.module import Module
from elastic.tensor.nn.parameter import Parameter

__all__ = ["Bilinear", "Identity", "Linear"]


class Identity(Module):
    """Its input, whatever it was made with."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """x @ weight.T + bias.

    Shapes: input (*, in_features), weight (out_features, in_features), output (*, out_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        placed = {"device": device, "dtype": dtype}
        self.weight = Parameter(torch.empty(out_features, in_features, **placed))
        self.register_parameter(
            "bias", Parameter(torch.empty(out_features, **placed)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both from U(-b, b) with b = 1 / sqrt(in_features), the weight first."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear, under the name that PyTorch gives the output projection of attention."""


class Bilinear(Module):
    """x1 @ weight[k] @ x2 + bias[k] for every output k.

    Shapes: inputs (*, in1_features) and (*, in2_features), weight (out, in1, in2), output (*, out).
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        placed = {"device": device, "dtype": dtype}
        self.weight = Parameter(torch.empty(out_features, in1_features, in2_features, **placed))
        self.register_parameter(
            "bias", Parameter(torch.empty(out_features, **placed)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both from U(-b, b) with b = 1 / sqrt(in1_features)."""
        if self.in1_features <= 0:
            raise ValueError(
                f"in1_features must be > 0, but got (in1_features={self.in1_features})"
            )
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
