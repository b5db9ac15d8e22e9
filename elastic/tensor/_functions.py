"""Functions of PyTorch that choose between ops by their arguments, or are made of several."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from elastic.tensor import backend, dtypes
from elastic.tensor._dispatch import apply, result_type
from elastic.tensor._registry import REGISTRY
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap


class _Found(NamedTuple):
    values: Tensor
    indices: Tensor

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"torch.return_types.{name}(\nvalues={self.values},\nindices={self.indices})"


MaxResult = type("max", (_Found,), {})
MinResult = type("min", (_Found,), {})
SortResult = type("sort", (_Found,), {})
TopKResult = type("topk", (_Found,), {})


def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input + alpha * other."""
    return F.add(input, other if alpha == 1 else F.mul(_tensor(other), alpha), out=out)


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """input - alpha * other."""
    return F.sub(input, other if alpha == 1 else F.mul(_tensor(other), alpha), out=out)


def rsub(input: Any, other: Any) -> Tensor:
    """other - input."""
    return apply(REGISTRY["sub"], [other, input])


def rdiv(input: Any, other: Any) -> Tensor:
    """other / input."""
    return apply(REGISTRY["div"], [other, input])


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """input / other, or rounded: "floor" down, "trunc" towards zero."""
    if rounding_mode is None:
        return F.div(input, other, out=out)
    if rounding_mode == "floor":
        return F.floor_divide(input, other, out=out)
    if rounding_mode != "trunc":
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    dtype = result_type(input, other)
    return F.trunc(F.div(input, other)).to(dtype)


def _tensor(value: Any) -> Any:
    return value if isinstance(value, Tensor) else wrap(np.asarray(value))


def sum(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **named: Any
) -> Tensor:
    """The sum over `dim` (an int, several, or all); integers give int64."""
    return F.sum(input if dtype is None else input.to(dtype), dim, keepdim, **named)


def prod(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **named: Any
) -> Tensor:
    """The product over `dim`; integers give int64."""
    return F.prod(input if dtype is None else input.to(dtype), dim, keepdim, **named)


def mean(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, **named: Any
) -> Tensor:
    """The mean over `dim`. Raises: RuntimeError for integers."""
    x = input if dtype is None else input.to(dtype)
    if dtypes.rank(x.dtype) < 2:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or "
            f"complex dtype. Got: {x.dtype.title}"
        )
    return F.mean(x, dim, keepdim, **named)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The running sum along `dim`."""
    return F.cumsum(input if dtype is None else input.to(dtype), dim)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The running product along `dim`."""
    return F.cumprod(input if dtype is None else input.to(dtype), dim)


def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """exp(input), scaled to sum to 1 along `dim`."""
    return F.softmax(_floating("softmax", input, dtype), dim)


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


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; along `dim` (values, indices); of two tensors the larger elements."""
    return _extreme(input, dim, keepdim, other, ("amax", "max_dim", "maximum"), MaxResult)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; along `dim` (values, indices); of two tensors the smaller elements."""
    return _extreme(input, dim, keepdim, other, ("amin", "min_dim", "minimum"), MinResult)


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


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """(values, indices) of `input` in order along `dim`; equal elements keep their order."""
    return SortResult(*F.sort(input, dim, descending))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort `input` along `dim`."""
    return F.sort(input, dim, descending)[1]


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """(values, indices) of the `k` largest (or smallest) along `dim`, in order."""
    return TopKResult(*F.topk(input, k, dim, largest))


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


def var_mean(input: Tensor, dim: Any = None, **named: Any) -> tuple[Tensor, Tensor]:
    """The variance and the mean over `dim`."""
    return var(input, dim, **named), mean(input, dim, named.get("keepdim", False))


def std_mean(input: Tensor, dim: Any = None, **named: Any) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean over `dim`."""
    return std(input, dim, **named), mean(input, dim, named.get("keepdim", False))


def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """The p-norm of the elements over `dim`."""
    x = input if dtype is None else input.to(dtype)
    return F.norm(_floating("norm", x, None), 2 if p in ("fro", None) else p, dim, keepdim)


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """Elements of `input` where `condition` holds, else of `other`; alone, where it holds."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    return F.where(condition, input, other)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of elements that are not zero: one row each, or one tensor a dimension."""
    found = F.nonzero(input)
    return tuple(wrap(c.copy()) for c in found._array.T) if as_tuple else found


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
    """`input` with values below `min` and above `max` set to these."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    return F.clamp(input, min, max, out=out)


def einsum(equation: str, *operands: Any) -> Tensor:
    """The sum of products that `equation` writes in Einstein's notation."""
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    return F.einsum(list(operands), _explicit(equation.replace(" ", ""), operands))


def _explicit(equation: str, operands: tuple) -> str:
    """`equation` with its output written out and `...` replaced by letters."""
    inputs, arrow, output = equation.partition("->")
    letters = {c for c in equation if c.isalpha()}
    if "..." in equation:
        terms = inputs.split(",")
        ranks = [
            t._array.ndim - len(e.replace("...", "")) for t, e in zip(operands, terms, strict=True)
        ]
        most = int(np.max([r for r, e in zip(ranks, terms, strict=True) if "..." in e]))
        free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in letters][:most]
        parts = [
            e.replace("...", "".join(free[most - r :]) if r else "")
            for e, r in zip(terms, ranks, strict=True)
        ]
        inputs, output = ",".join(parts), output.replace("...", "".join(free))
        if not arrow:
            output = "".join(free)
    if not arrow:
        once = [c for c in builtins.sorted(letters) if inputs.count(c) == 1]
        output += "".join(once)
    return f"{inputs}->{output}"


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along `dim`: of one size (the last may be smaller), or of given sizes."""
    length = tensor.shape[dim]
    size = split_size_or_sections
    if isinstance(size, int):
        sections = [builtins.min(size, length - k) for k in range(0, length, size)] or [0]
    else:
        sections = list(size)
        if builtins.sum(sections) != length:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {length} (input tensor's "
                f"size at dimension {dim}), but got split_sizes={sections}"
            )
    starts = [builtins.sum(sections[:k]) for k in range(len(sections))]
    return tuple(F.narrow(tensor, dim, s, n) for s, n in zip(starts, sections, strict=True))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along `dim`; the last may be smaller."""
    return split(input, builtins.max(1, -(-input.shape[dim] // chunks)), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of all slices along `dim`."""
    return tuple(F.select(input, dim, k) for k in range(input.shape[dim]))


def tile(input: Tensor, *dims: Any) -> Tensor:
    """`input` repeated `dims` times; missing leading counts are 1."""
    dims = tuple(dims[0]) if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return F.repeat(input, (1,) * (input._array.ndim - len(dims)) + dims)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix as a copy, or the matrix with `input` on its diagonal."""
    if input._array.ndim == 2:
        return F.clone(F.diagonal(input, diagonal))
    if input._array.ndim != 1:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input._array.ndim}D")
    n = input._array.size + abs(diagonal)
    return F.diagonal_scatter(input, (n, n), diagonal, 0, 1)


def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Any = None) -> Tensor:
    """`tensors` of equal shapes along a new dimension."""
    tensors = _promoted(tensors)
    for k, each in enumerate(tensors):
        if each._array.shape != tensors[0]._array.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at "
                f"entry 0 and {list(each.shape)} at entry {k}"
            )
    return F.stack(tensors, dim, out=out)


def cat(
    tensors: Sequence[Tensor], dim: int = 0, *, out: Any = None, axis: int | None = None
) -> Tensor:
    """`tensors` one after the other along `dim`."""
    tensors, dim = _promoted(tensors), dim if axis is None else axis
    first = next((t for t in tensors if t._array.shape != (0,)), tensors[0])._array
    for k, each in enumerate(tensors):
        _check_cat(first, each._array, dim, k)
    return F.cat(tensors, dim, out=out)


def _promoted(tensors: Sequence[Tensor]) -> list[Tensor]:
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    dtype = tensors[0]._array.dtype
    if all_same(dtype, tensors):
        return list(tensors)
    common = result_type(*tensors)
    return [t.to(common) for t in tensors]


def all_same(dtype: Any, tensors: Sequence[Tensor]) -> bool:
    """Whether all `tensors` have numpy's `dtype`."""
    return not [t for t in tensors if t._array.dtype != dtype]


def _check_cat(first: Any, array: Any, dim: int, k: int) -> None:
    if array.shape == (0,) or first.shape == array.shape:
        return
    if first.ndim != array.ndim:
        raise RuntimeError(
            f"Tensors must have same number of dimensions: got {first.ndim} and {array.ndim}"
        )
    for d in range(first.ndim):
        if d != dim % first.ndim and first.shape[d] != array.shape[d]:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}. Expected size "
                f"{first.shape[d]} but got size {array.shape[d]} for tensor number {k} in the list."
            )


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """The elements of `input` at `indices` along `dim` (without one: of the flattened input)."""
    if dim is None:
        return F.take_along_dim(F.reshape(input, (-1,)), F.reshape(indices, (-1,)), 0)
    return F.take_along_dim(input, indices, dim)


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    value: Any = None,
    *,
    reduce: str | None = None,
) -> Tensor:
    """`input` with the elements of `src` (or `value`) placed at `index` along `dim`."""
    src = value if src is None else src
    if reduce == "add":
        return F.scatter_add(input, dim, index, src)
    return F.scatter(input, dim, index, src)


def addmm(input: Any, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2)."""
    product = F.mm(mat1, mat2)
    return (input if beta == 1 else input * beta) + (product if alpha == 1 else product * alpha)


def baddbmm(
    input: Any, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2), for each matrix of the batch."""
    product = F.bmm(batch1, batch2)
    return (input if beta == 1 else input * beta) + (product if alpha == 1 else product * alpha)


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements."""
    a, b = input._array, other._array
    return a.shape == b.shape and bool((a == b).all())


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements differ by at most atol + rtol * |other|."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._array.all())


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether each pair of elements differs by at most atol + rtol * |other|."""
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype.title} did not match {other.dtype.title}")
    xp = backend.xp_of(input._array)
    return wrap(xp.asarray(xp.isclose(input._array, other._array, rtol, atol, equal_nan)))


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements in order; on demand where each came from, and how often."""
    found: Any = np.unique(  # type: ignore[call-overload]
        backend.to_host(input._array), False, return_inverse, return_counts, dim
    )
    if not isinstance(found, tuple):
        return wrap(found)
    return tuple(wrap(np.asarray(each)) for each in found)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of the grid that 1-d `tensors` span."""
    tensors = (
        tuple(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    )
    shape = tuple(t._array.size for t in tensors)
    n = len(tensors)
    grids = [
        F.expand(F.reshape(t, (1,) * k + (-1,) + (1,) * (n - k - 1)), shape)
        for k, t in enumerate(tensors)
    ]
    return tuple(F.transpose(g, 0, 1) if indexing == "xy" and n > 1 else g for g in grids)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """`tensors`, each expanded to the shape that they broadcast to."""
    shape = np.broadcast_shapes(*[t._array.shape for t in tensors])
    return tuple(F.expand(t, shape) for t in tensors)


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input._array.size


def typename(value: Any) -> str:
    """The name of the type of `value`, with its module; of a tensor PyTorch's old type name."""
    if isinstance(value, Tensor):
        return value.type()
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
