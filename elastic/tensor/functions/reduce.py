"""Folds with a dtype, choices by argument, or several results."""

from __future__ import annotations

from typing import Any

from elastic.tensor import dtypes, return_types
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor


@public(out=True)
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over `dim` (an int, several, or all); integers give int64."""
    return F.sum(input if dtype is None else input.to(dtype), dim, keepdim)


@public(out=True)
def prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over `dim`; integers give int64."""
    return F.prod(input if dtype is None else input.to(dtype), dim, keepdim)


@public(out=True)
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over `dim`. Raises: RuntimeError for integers."""
    x = input if dtype is None else input.to(dtype)
    if dtypes.rank(x.dtype) < 2:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or "
            f"complex dtype. Got: {x.dtype.title}"
        )
    return F.mean(x, dim, keepdim)


@public(inplace=True, out=True)
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The running sum along `dim`."""
    return F.cumsum(input if dtype is None else input.to(dtype), dim)


@public(inplace=True, out=True)
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The running product along `dim`."""
    return F.cumprod(input if dtype is None else input.to(dtype), dim)


@public(out=True)
def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """exp(input), scaled to sum to 1 along `dim`."""
    return F.softmax(_floating("softmax", input, dtype), dim)


@public(out=True)
def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """The logarithm of softmax, computed without overflow."""
    return F.log_softmax(_floating("log_softmax", input, dtype), dim)


def _floating(name: str, input: Tensor, dtype: Any) -> Tensor:
    x = input if dtype is None else input.to(dtype)
    if dtypes.rank(x.dtype) < 2:
        raise NotImplementedError(
            f"\"{name}_lastdim_kernel_impl\" not implemented for '{x.dtype.title}'"
        )
    return x


@public(out=True)
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; along `dim` (values, indices); of two tensors the larger elements."""
    return _extreme(input, dim, keepdim, other, ("amax", "_max_dim", "maximum"), return_types.max)


@public(out=True)
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; along `dim` (values, indices); of two tensors the smaller elements."""
    return _extreme(input, dim, keepdim, other, ("amin", "_min_dim", "minimum"), return_types.min)


def _extreme(input: Tensor, dim: Any, keepdim: bool, other: Any, names: tuple, result: Any) -> Any:
    if isinstance(dim, Tensor) or other is not None:
        return getattr(F, names[2])(input, dim if other is None else other)
    if not input._array.size and dim is None:
        raise RuntimeError(
            f"{result.__name__}(): Expected reduction dim to be specified for input.numel() == 0. "
            "Specify the reduction dim with the 'dim' argument."
        )
    if dim is None:
        return getattr(F, names[0])(input)
    return result(*getattr(F, names[1])(input, dim, keepdim))


@public(out=True)
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance over `dim`, by default the unbiased one (n - 1)."""
    return F.var(input, *_moment(dim, unbiased, correction), keepdim)


@public(out=True)
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation over `dim`, by default the unbiased one (n - 1)."""
    return F.std(input, *_moment(dim, unbiased, correction), keepdim)


def _moment(dim: Any, unbiased: Any, correction: float | None) -> tuple:
    if isinstance(dim, bool):  # var(x, False) is var(x, unbiased=False)
        dim, unbiased = None, dim
    if correction is not None:
        return dim, correction
    return dim, 0 if unbiased is False else 1


@public(method=False)
def var_mean(input: Tensor, dim: Any = None, **named: Any) -> tuple[Tensor, Tensor]:
    """The variance and the mean over `dim`."""
    return var(input, dim, **named), mean(input, dim, named.get("keepdim", False))


@public(method=False)
def std_mean(input: Tensor, dim: Any = None, **named: Any) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean over `dim`."""
    return std(input, dim, **named), mean(input, dim, named.get("keepdim", False))


@public(out=True)
def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """The p-norm of the elements over `dim`."""
    x = input if dtype is None else input.to(dtype)
    return F.norm(_floating("norm", x, None), 2 if p in ("fro", None) else p, dim, keepdim)
