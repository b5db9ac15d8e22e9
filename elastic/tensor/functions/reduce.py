"""Folds with a dtype, choices by argument, or several results."""

from __future__ import annotations

from typing import Any

from elastic.tensor import dtypes, return_types
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor
from elastic.tensor.functions._outputs import exact, like_input


@public(out=True)
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over `dim` (an int, several, or all); integers give int64."""
    return _as(dtype, F.sum(cast(input, dtype), dim, keepdim))


@public(out=True)
def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over `dim`, in which nan counts as 0."""
    return sum(_without_nan(cast(input, dtype)), dim, keepdim, dtype=dtype)


@public(out=True)
def prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over `dim`; integers give int64."""
    return _as(dtype, F.prod(cast(input, dtype), dim, keepdim))


def cast(input: Tensor, dtype: Any) -> Tensor:
    """`input` in `dtype`, where one is given."""
    return input if dtype is None else input.to(dtype)


def _as(dtype: Any, result: Tensor) -> Tensor:
    """`result` in `dtype`: integers were folded in int64."""
    return result if dtype is None or dtype is result.dtype else result.to(dtype)


def _without_nan(input: Tensor) -> Tensor:
    return F.masked_fill(input, F.isnan(input), 0.0) if dtypes.rank(input.dtype) > 1 else input


@public(out=True)
def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over `dim`. Raises: RuntimeError for integers."""
    d = input.dtype if dtype is None else dtype
    if dtypes.rank(d) < 2:
        raise RuntimeError(
            f"mean(): could not infer output dtype. {'Input' if dtype is None else 'Optional'} "
            f"dtype must be either a floating point or complex dtype. Got: {d.title}"
        )
    return F.mean(cast(input, dtype), dim, keepdim)


@public(out=True)
def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over `dim` of the elements that are not nan."""
    if dtypes.rank(input.dtype) < 2:
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{input.dtype.title}"
        )
    count = F.sum(F.logical_not(F.isnan(input)), dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / count


@public(out=True)
def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """exp(input), scaled to sum to 1 along `dim`."""
    return F.softmax(_floating("softmax", input, dim, dtype), dim)


@public(out=True)
def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """The logarithm of softmax, computed without overflow."""
    return F.log_softmax(_floating("log_softmax", input, dim, dtype), dim)


def _floating(name: str, input: Tensor, dim: int, dtype: Any) -> Tensor:
    x = cast(input, dtype)
    if dtypes.rank(x.dtype) < 2:
        last = "_lastdim" if dim in (-1, x._array.ndim - 1) else ""
        raise NotImplementedError(
            f"\"{name}{last}_kernel_impl\" not implemented for '{x.dtype.title}'"
        )
    return x


# Extremes


@public(out=True)
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; along `dim` (values, indices); of two tensors the larger elements."""
    return _extreme(input, dim, keepdim, other, ("amax", "_max_dim", "maximum"), return_types.max)


@public(out=True)
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; along `dim` (values, indices); of two tensors the smaller elements."""
    return _extreme(input, dim, keepdim, other, ("amin", "_min_dim", "minimum"), return_types.min)


def _extreme(input: Tensor, dim: Any, keepdim: bool, other: Any, names: tuple, result: Any) -> Any:
    name = result.__name__
    if not isinstance(input, Tensor):
        raise TypeError(_NO_SUCH_FORM.format(name, type(input).__name__, type(dim).__name__))
    if isinstance(dim, Tensor) or other is not None:
        return getattr(F, names[2])(input, dim if other is None else other)
    check_not_empty(f"{name}()", input, dim)
    if dim is None:
        return getattr(F, names[0])(input)
    return result(*getattr(F, names[1])(input, dim, keepdim))


_NO_SUCH_FORM = (
    "{0}() received an invalid combination of arguments - got ({1}, {2}), but expected one of:\n"
    " * (Tensor input, *, Tensor out = None)\n"
    " * (Tensor input, Tensor other, *, Tensor out = None)\n"
    " * (Tensor input, int dim, bool keepdim = False, *, tuple of Tensors out = None)\n"
)


def check_not_empty(name: str, input: Tensor, dim: Any) -> None:
    """Raises: RuntimeError, IndexError where there is nothing to choose from."""
    shape = input._array.shape
    if 0 not in shape:
        return
    dims = () if dim is None else (dim,) if isinstance(dim, int) else dim
    if not dims:
        raise RuntimeError(
            f"{name}: Expected reduction dim to be specified for input.numel() == 0. "
            "Specify the reduction dim with the 'dim' argument."
        )
    for d in dims:
        if -len(shape) <= d < len(shape) and not shape[d]:
            raise IndexError(f"{name}: Expected reduction dim {d} to have non-zero size.")


@public(out=like_input)
def amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The largest elements over `dim`; equal ones share the gradient."""
    check_not_empty("amax()", input, dim)
    return F.amax(input, dim, keepdim)


@public(out=like_input)
def amin(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """The smallest elements over `dim`; equal ones share the gradient."""
    check_not_empty("amin()", input, dim)
    return F.amin(input, dim, keepdim)


@public(out=True)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The indices of the largest elements along `dim`, or of the flattened input."""
    _check_not_empty("argmax()", input, dim)
    return F.argmax(input, dim, keepdim)


@public(out=True)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The indices of the smallest elements along `dim`, or of the flattened input."""
    _check_not_empty("argmin()", input, dim)
    return F.argmin(input, dim, keepdim)


def _check_not_empty(name: str, input: Tensor, dim: int | None) -> None:
    if dim is None and not input._array.size:
        raise IndexError(f"{name}: Expected reduction dim to be specified for input.numel() == 0.")
    check_not_empty(name, input, dim)


@public(out=True)
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element over `dim` is not zero; over no dimension, `()`, of each element."""
    return F.any(input, dim, keepdim) if dim != () else F.ne(input, 0)


@public(out=True)
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over `dim` are not zero; over no dimension, `()`, of each element."""
    return F.all(input, dim, keepdim) if dim != () else F.ne(input, 0)


@public(out=exact)
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """(min, max) of all elements, or along `dim`. Raises: RuntimeError for an empty input."""
    shape = input._array.shape
    if dim is None and not input._array.size:
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
            "identity."
        )
    if dim is not None and 0 in shape and not shape[dim]:
        raise IndexError(f"aminmax: Expected reduction dim {dim} to have non-zero size.")
    kept = keepdim and dim is not None
    return return_types.aminmax(F.amin(input, dim, kept), F.amax(input, dim, kept))


def _of_result(inputs: Any, result: Tensor, out: Tensor) -> None:
    """Raises: RuntimeError when `out` has another dtype than the result."""
    if result.dtype is not out.dtype:
        raise RuntimeError(
            f"Expected result to be of dtype {result.dtype.name}, but got {out.dtype.title}"
        )


@public(out=_of_result)
def hash_tensor(input: Tensor, dim: Any = (), *, keepdim: bool = False, mode: int = 0) -> Tensor:
    """The exclusive or, over `dim`, of the bits of all elements in 64 bits: uint64.

    Raises: RuntimeError for a `mode` other than 0, NotImplementedError for complex numbers.
    """
    if mode != 0:
        raise RuntimeError(f"Unknown hash_tensor mode: {mode}")
    check_not_empty("hash_tensor", input, dim)
    if input.dtype.is_complex:
        raise NotImplementedError(f"\"xor_sum_cpu\" not implemented for '{input.dtype.title}'")
    return F._xor(input, dim, keepdim)


# Moments and norms


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
    return _deviation("var", input, _moment(dim, unbiased, correction), keepdim)


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
    return _deviation("std", input, _moment(dim, unbiased, correction), keepdim)


def _deviation(name: str, input: Tensor, moment: tuple, keepdim: bool) -> Tensor:
    if dtypes.rank(input.dtype) < 2:
        who = name if name.endswith("_mean") else "std and var"
        raise RuntimeError(f"{who} only support floating point and complex dtypes")
    return getattr(F, name.removesuffix("_mean"))(input, *moment, keepdim)


def _moment(dim: Any, unbiased: Any, correction: float | None) -> tuple:
    if isinstance(dim, bool):  # var(x, False) is var(x, unbiased=False)
        dim, unbiased = None, dim
    if correction is not None:
        return dim, correction
    return dim, 0 if unbiased is False else 1


@public(method=False, out=True)
def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The variance and the mean over `dim`."""
    dims, correction = _moment(dim, unbiased, correction)
    moment = dims, correction
    return _deviation("var_mean", input, moment, keepdim), F.mean(input, dims, keepdim)


@public(method=False, out=True)
def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean over `dim`."""
    dims, correction = _moment(dim, unbiased, correction)
    moment = dims, correction
    return _deviation("std_mean", input, moment, keepdim), F.mean(input, dims, keepdim)


@public(out=True)
def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """The p-norm of the elements over `dim`; "nuc" sums the singular values of matrices."""
    x = cast(input, dtype)
    if isinstance(p, str) and p != "fro":
        dims = range(x._array.ndim) if dim is None else dim
        if isinstance(dims, int):
            raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dims}")
        return _linalg().matrix_norm(x, p, dims, keepdim)
    if dtypes.rank(x.dtype) < 2:
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{x.dtype.title}"
        )
    return F.norm(x, 2 if p in ("fro", None) else p, dim, keepdim)


def _linalg() -> Any:
    from elastic.tensor import linalg  # it is built on these functions

    return linalg


@public()
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other."""
    return norm(F.sub(input, other), p)


@public(inplace=True, out=True)
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """`input` with each slice along `dim` scaled down to a p-norm of at most `maxnorm`."""
    ndim = input._array.ndim
    if ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {ndim} dimensions")
    others = [d for d in range(ndim) if d != dim % ndim]
    size = F.norm(input, p, others, True)
    return input * F.where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)


@public(method=False, out=True)
def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """The root of the sum of squares over `dim` (an int, or several; all when there are none)."""
    dims = dim if isinstance(dim, int) else tuple(dim) or None
    return norm(input, 2, dims, keepdim)


@public(method=False, out=True)
def nuclear_norm(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The sum of the singular values of the matrices in dimensions `dim`: the last two."""
    from elastic.tensor.linalg import matrix_norm

    return matrix_norm(input, "nuc", (-2, -1) if dim is None else tuple(dim), keepdim)
