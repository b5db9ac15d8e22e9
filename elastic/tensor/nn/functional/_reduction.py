"""What losses do with the values of all elements."""

from __future__ import annotations

import warnings

from elastic.tensor import Tensor


def folded(loss: Tensor, reduction: str) -> Tensor:
    """`loss` as its mean, its sum, or as it is."""
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


def checked(reduction: str) -> str:
    """`reduction`. Raises: ValueError unless it is none, mean or sum."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def legacy(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """`reduction`, or what the two arguments mean that it replaced."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        meant = "none"
    else:
        meant = "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.",
        UserWarning,
        stacklevel=3,
    )
    return meant
