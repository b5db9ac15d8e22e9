"""Linear and bilinear maps."""

from __future__ import annotations

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._registry import TENSORS

__all__ = ["bilinear", "linear", "one_hot"]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns input @ weight.T + bias.

    Shapes: (*, in), (out, in) and (out) give (*, out); weight (in) gives (*).
    """
    if weight.dim() == 1:
        product = input.matmul(weight)
        return product if bias is None else product + bias
    return TENSORS._linear(input, weight, bias)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns input1 @ weight[k] @ input2 for every k, plus bias.

    Shapes: (*, in1), (*, in2), (out, in1, in2) and (out) give (*, out).
    """
    _check_bilinear(input1, input2, weight, bias)
    outputs, first, second = weight.shape
    rows = input1.reshape(-1, first)
    maps = rows.matmul(weight.permute(1, 0, 2).reshape(first, outputs * second))
    columns = input2.reshape(-1, second, 1)
    out = maps.reshape(-1, outputs, second).matmul(columns)
    out = out.reshape(*input1.shape[:-1], outputs)
    return out if bias is None else out + bias


def _check_bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if x1.dim() != x2.dim():
        raise RuntimeError(
            f"bilinear(): input dimensions do not match: got {x1.dim()} and {x2.dim()}"
        )
    for k in range(x1.dim() - 1):
        if x1.shape[k] != x2.shape[k]:
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {k}: got "
                f"{x1.shape[k]} and {x2.shape[k]}"
            )
    for k, x in enumerate((x1, x2), 1):
        if x.shape[-1] != weight.shape[k]:
            raise RuntimeError(
                f"bilinear(): input{k} size does not match weight size: got {x.shape[-1]} but "
                f"expected {weight.shape[k]}"
            )
    if bias is not None and bias.shape[0] != weight.shape[0]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias.shape[0]} but expected "
            f"{weight.shape[0]}"
        )


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Returns int64 with a 1 at each class and 0 elsewhere. Shapes: (*) gives (*, num_classes).

    Raises: RuntimeError unless all classes are from 0 to num_classes - 1.
    """
    if tensor.dtype != torch.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    values = tensor._array
    if not values.size:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return torch.empty(*tensor.shape, num_classes, dtype=torch.int64)
    if values.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    largest = int(values.max())
    if num_classes == -1:
        num_classes = largest + 1
    elif num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    elif largest >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")
    return TENSORS._one_hot(tensor, num_classes)
