"""Views of a tensor: pieces, other shapes, other strides; and their copies and writes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from elastic.tensor import dtypes
from elastic.tensor._dispatch import into
from elastic.tensor._publish import FUNCTIONS, public
from elastic.tensor._registry import REGISTRY
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor
from elastic.tensor.ops.reduce import place
from elastic.tensor.ops.view import geometry

# Pieces


@public()
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along `dim`: of one size (the last may be smaller), or of given sizes."""
    size = split_size_or_sections
    if not isinstance(size, int):
        return split_with_sizes(tensor, size, dim)
    pieces = _pieces("split", tensor, size, dim)
    return tuple(F._split(tensor, dim, start, n, k) for k, (start, n) in enumerate(pieces))


def _pieces(name: str, tensor: Tensor, size: int, dim: int) -> list:
    """(start, length) of each piece."""
    if not tensor._array.ndim:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")
    length = tensor._array.shape[place(dim, tensor._array.ndim)]
    if size < 0:
        raise RuntimeError(f"{name} expects split_size be non-negative, but got split_size={size}")
    if not size and length:
        raise RuntimeError(
            f"split_size can only be 0 if dimension size is 0, but got dimension size of {length}"
        )
    return [(k, min(size, length - k)) for k in range(0, length, size or 1)] or [(0, 0)]


@public()
def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces of the given sizes along `dim`."""
    pieces = _sections(input, list(split_sizes), dim)
    return tuple(
        F._split_with_sizes(input, dim, start, n, k) for k, (start, n) in enumerate(pieces)
    )


def _sections(input: Tensor, sizes: list, dim: int) -> list:
    if not input._array.ndim:
        raise RuntimeError("split_with_sizes expects at least a 1-dimensional tensor")
    length = input._array.shape[place(dim, input._array.ndim)]
    if any(n < 0 for n in sizes):
        raise RuntimeError(
            "split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={sizes}"
        )
    if sum(sizes) != length:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {length} (input tensor's "
            f"size at dimension {dim}), but got split_sizes={sizes}"
        )
    return [(sum(sizes[:k]), n) for k, n in enumerate(sizes)]


@public()
def unsafe_split(tensor: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """As split, but the pieces may be written to while gradients are recorded."""
    pieces = _pieces("split", tensor, split_size, dim)
    return tuple(F.narrow(tensor, dim, start, n) for start, n in pieces)


@public()
def unsafe_split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """As split_with_sizes, but the pieces may be written to while gradients are recorded."""
    pieces = _sections(input, list(split_sizes), dim)
    return tuple(F.narrow(input, dim, start, n) for start, n in pieces)


@public()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along `dim`; the last may be smaller."""
    size = _chunk_size(input, chunks, dim)
    return split(input, size, dim) if size else split_with_sizes(input, [0] * chunks, dim)


@public()
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """As chunk, but the pieces may be written to while gradients are recorded."""
    size = _chunk_size(input, chunks, dim)
    if not size:
        return unsafe_split_with_sizes(input, [0] * chunks, dim)
    return unsafe_split(input, size, dim)


def _chunk_size(input: Tensor, chunks: int, dim: int) -> int:
    if not input._array.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    return -(-input._array.shape[place(dim, input._array.ndim)] // chunks)


@public()
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of all slices along `dim`."""
    axis = place(dim, input._array.ndim)
    if not input._array.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return tuple([F._unbind(input, axis, k) for k in range(input._array.shape[axis])])


@public()
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces along `dim`: so many nearly equal ones, or between the given indices."""
    given = indices_or_sections
    if not input._array.ndim:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    if isinstance(given, Tensor):
        if given._array.ndim > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or "
                f"one-dimensional tensor, but got a tensor with {given._array.ndim} dims"
            )
        given = given.tolist()
    axis = place(dim, input._array.ndim)
    length = input._array.shape[axis]
    if isinstance(given, int):
        if given <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {given}")
        size, larger = divmod(length, given)
        given = [k * size + min(k, larger) for k in range(1, given)]
    bounds = [
        slice(a, b).indices(length)[:2] for a, b in zip([0, *given], [*given, length], strict=True)
    ]
    return tuple(F.narrow(input, axis, a, max(b - a, 0)) for a, b in bounds)


def _split_along(name: str, least: int, dim: int) -> Callable:
    """hsplit, vsplit or dsplit: tensor_split along a fixed dimension into equal parts."""

    def along(input: Tensor, *args: Any, **named: Any) -> tuple[Tensor, ...]:
        given = args[0] if len(args) == 1 else args or next(iter(named.values()))
        ndim = input._array.ndim
        if ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor "
                f"with {ndim} dimensions!"
            )
        if not isinstance(given, (int, list, tuple)):
            raise TypeError(_NO_SPLIT.format(name, type(given).__name__))
        axis = min(dim, ndim - 1)
        length = input._array.shape[axis]
        if isinstance(given, int) and (given <= 0 or length % given):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {axis}, but the size of the "
                f"dimension {length} is not divisible by the split_size {given}!"
            )
        return tensor_split(input, given, axis)

    along.__name__ = along.__qualname__ = name
    along.__doc__ = f"Views of equal pieces along dimension {dim}, or of those between indices."
    return public()(along)


_NO_SPLIT = (
    "{0}() received an invalid combination of arguments - got (Tensor, {1}), but expected one of:\n"
    " * (Tensor input, int sections)\n"
    "      didn't match because some of the arguments have invalid types: (Tensor, !{1}!)\n"
    " * (Tensor input, tuple of ints indices)\n"
    "      didn't match because some of the arguments have invalid types: (Tensor, !{1}!)\n"
)

hsplit, vsplit, dsplit = (
    _split_along(*each) for each in (("hsplit", 1, 1), ("vsplit", 2, 0), ("dsplit", 3, 2))
)


@public()
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A view of `length` elements along `dim` from `start` (which may be a 0-d tensor) on."""
    shape = input._array.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if isinstance(start, Tensor):
        if start._array.ndim or start._array.dtype.kind not in "iu":
            raise RuntimeError("start must be an 0-dim integral Tensor.")
        start = int(start._array)
    axis = place(dim, len(shape))
    if not -shape[axis] <= start <= shape[axis]:
        raise IndexError(
            f"start out of range (expected to be in range of [{-shape[axis]}, {shape[axis]}], but "
            f"got {start})"
        )
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    return F.narrow(input, axis, start, length)


# Shapes


@public(function=False)
def view(input: Tensor, *size: Any, dtype: Any = None) -> Tensor:
    """A view in another shape, or of the same bytes as another dtype."""
    dtype = size[0] if size and isinstance(size[0], dtypes.dtype) else dtype
    if dtype is not None:
        same = dtype is input.dtype
        return F._alias(input) if same else F._view_dtype(input, dtype.np)
    return F.view(input, *size)


@public()
def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension: a view of what lies in C order, else a copy."""
    return F.reshape(input.contiguous(), (-1,))


@public()
def adjoint(input: Tensor) -> Tensor:
    """The last two dimensions exchanged, complex elements conjugated."""
    return conjugate_transpose("tensor.adjoint() is", input)


def conjugate_transpose(what: str, input: Tensor) -> Tensor:
    """The conjugate transpose of matrices. Raises: RuntimeError where there are none."""
    if input._array.ndim < 2:
        raise RuntimeError(
            f"{what} only supported on matrices or batches of matrices. Got "
            f"{input._array.ndim}-D tensor."
        )
    turned = F.transpose(input, -2, -1)
    return F.conj(turned) if input._array.dtype.kind == "c" else turned


@public(out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix as a copy, or the matrix with `input` on its diagonal."""
    if input._array.ndim == 2:
        return F.clone(F.diagonal(input, diagonal))
    if input._array.ndim != 1:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input._array.ndim}D")
    return diag_embed(input, diagonal)


@public()
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Zeros with the last dimension of `input` on the diagonal of the planes of two new ones."""
    ndim = input._array.ndim + 1
    first, second = place(dim1, ndim), place(dim2, ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = list(input._array.shape[:-1])
    n = input._array.shape[-1] + abs(offset)
    for d in sorted((first, second)):
        size.insert(d, n)
    return F._diagonal_place(input, tuple(size), offset, first, second)


@public()
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements of `input` on its diagonal."""
    return diag_embed(F.reshape(input, (-1,)), offset)


@public()
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    if input._array.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input._array.ndim}")
    return F.sum(F.diagonal(input))


# Strides


@public()
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of the memory of `input` with these sizes and strides, counted in elements."""
    return F._as_strided(input, *_strides(input, size, stride, storage_offset))


def _strides(input: Tensor, size: Any, stride: Any, storage_offset: int | None) -> tuple:
    """The arguments of the op: the offset counts from the first element of `input`."""
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(stride)}"
        )
    if any(n < 0 for n in size):
        raise RuntimeError(
            f"Storage size calculation overflowed with sizes={list(size)} and "
            f"strides={list(stride)}"
        )
    shift = 0 if storage_offset is None else storage_offset - input.storage_offset()
    return size, stride, shift, geometry(input._array)


# Writes of a part


def _with(input: Tensor, src: Tensor, step: str, args: tuple) -> Tensor:
    """A copy of `input` in which the view that op `step` makes holds `src`."""
    part = getattr(F, step)(F._alias(input.detach()), *args)
    if part._array.shape != src._array.shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. src size = "
            f"{list(src._array.shape)}, slice size = {list(part._array.shape)}"
        )
    return F._view_scatter(input, src.to(input.dtype), ((REGISTRY[step], args),))


@public()
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of `input` with `src` as its slice `index` along `dim`."""
    return _with(input, src, "select", (dim, index))


@public()
def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy of `input` with `src` in the slices start:end:step along `dim`."""
    axis = place(dim, input._array.ndim)
    index = (*[slice(None)] * axis, slice(start, end, step), ...)
    return _with(input, src, "_slice", (index,))


@public()
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy of `input` with `src` on a diagonal."""
    return _with(input, src, "diagonal", (offset, dim1, dim2))


@public()
def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy of `input` with `src` in the elements that as_strided would show."""
    return _with(input, src, "_as_strided", _strides(input, size, stride, storage_offset))


# Copies of views


def _copied(function: Callable, *args: Any, out: Any = None, **named: Any) -> Any:
    found = function(*args, **named)
    if isinstance(found, tuple):
        copies: Any = tuple([F.clone(each) for each in found])
        if out is None:
            return copies
        into(tuple(out), copies)
        return None
    copied = F.clone(found)
    return copied if out is None else into(out, copied)


def _slice(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    axis = place(dim, input._array.ndim)
    return F._slice(input, (*[slice(None)] * axis, slice(start, end, step), ...))


_VIEWS = {
    "alias": F._alias,
    "as_strided": as_strided,
    "detach": lambda x: x.detach(),
    "diagonal": F.diagonal,
    "expand": F.expand,
    "narrow": narrow,
    "permute": F.permute,
    "select": F.select,
    "slice": _slice,
    "split": split,
    "split_with_sizes": split_with_sizes,
    "squeeze": F.squeeze,
    "t": F.t,
    "transpose": F.transpose,
    "unbind": unbind,
    "unfold": F.unfold,
    "unsqueeze": F.unsqueeze,
    "view": view,
}


def _publish_copies() -> None:
    """`narrow_copy` and its siblings: a view's elements in memory of their own."""
    for name, function in _VIEWS.items():
        copied = partial(_copied, function)
        copied.__doc__ = f"A copy of what `{name}` gives."
        FUNCTIONS[f"{name}_copy"] = copied


_publish_copies()


@public(function=False)
def narrow_copy(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A copy of what `narrow` gives."""
    return _copied(narrow, input, dim, start, length)
