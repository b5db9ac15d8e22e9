"""Ops whose result shares memory with their input."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

from elastic.tensor import backend
from elastic.tensor._dispatch import op
from elastic.tensor._errors import repeats
from elastic.tensor.dtypes import FROM_NUMPY
from elastic.tensor.ops.reduce import axes, place

view_op = partial(op, view=True, wide=False)
copy_op = partial(op, wide=False)


def sizes(shape: tuple, size: Any) -> tuple:
    """`size` with its -1 worked out for an array of shape `shape`. Raises: RuntimeError."""
    size = (size,) if isinstance(size, int) else tuple([int(n) for n in size])
    if size.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    for k, n in enumerate(size):
        if n < -1:
            raise RuntimeError(f"invalid shape dimension {n} at index {k} of shape {list(size)}")
    count, known = prod(shape), prod([n for n in size if n != -1])
    if -1 not in size:
        if known != count:
            raise RuntimeError(f"shape '{list(size)}' is invalid for input of size {count}")
        return size
    if not count and not known:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(size)} because the unspecified "
            "dimension size -1 can be any value and is ambiguous"
        )
    if not known or count % known:
        raise RuntimeError(f"shape '{list(size)}' is invalid for input of size {count}")
    return tuple([count // known if n == -1 else n for n in size])


def _reshape(xp: Any, x: Any, shape: Any) -> Any:
    return x.reshape(sizes(x.shape, shape))


def _view(xp: Any, x: Any, size: Any) -> Any:
    out = x.reshape(sizes(x.shape, size))
    if out.size and not xp.may_share_memory(out, x):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return out


def _back(F: Any, g: Any, x_shape: tuple) -> Any:
    return F.reshape(g, x_shape)


def _expand(xp: Any, x: Any, size: Any) -> Any:
    size = (size,) if isinstance(size, int) else tuple(size)
    lead = len(size) - x.ndim
    if lead < 0:
        raise RuntimeError(
            f"expand(torch.{FROM_NUMPY[x.dtype].title}Tensor{{{list(x.shape)}}}, "
            f"size={list(size)}): the number of sizes provided ({len(size)}) must be greater or "
            f"equal to the number of dimensions in the tensor ({x.ndim})"
        )
    if -1 in size[:lead]:
        raise RuntimeError(
            "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing "
            f"dimension {size.index(-1)}"
        )
    want = tuple([x.shape[k - lead] if n == -1 else n for k, n in enumerate(size)])
    if want[lead:] == x.shape and prod(want[:lead]) == 1:
        return x.reshape(want)  # unlike what numpy broadcasts, this can be written to
    try:
        return xp.broadcast_to(x, want)
    except ValueError:
        raise RuntimeError(_expand_error(x.shape, size)) from None


def _expand_error(shape: tuple, size: tuple) -> str:
    lead = len(size) - len(shape)
    wrong = next(k for k in reversed(range(lead, len(size))) if shape[k - lead] not in (1, size[k]))
    return (
        f"The expanded size of the tensor ({size[wrong]}) must match the existing size "
        f"({shape[wrong - lead]}) at non-singleton dimension {wrong}.  Target sizes: "
        f"{list(size)}.  Tensor sizes: {list(shape)}"
    )


def _squeeze(xp: Any, x: Any, dim: Any = None) -> Any:
    if dim is None:
        return x.squeeze()
    dims = (dim,) if isinstance(dim, int) else dim
    axes(dims, x.ndim)
    folded = {place(d, x.ndim) for d in dims}
    return x.reshape([n for d, n in enumerate(x.shape) if not (d in folded and n == 1)])


def _unsqueeze(xp: Any, x: Any, dim: int) -> Any:
    d = place(dim, x.ndim + 1)
    return x[(slice(None),) * d + (None, ...)]


def _flatten(xp: Any, x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    first, last = place(start_dim, x.ndim), place(end_dim, x.ndim)
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    return x.reshape((*x.shape[:first], prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def _unflatten(xp: Any, x: Any, dim: int, sizes: Any) -> Any:
    d = place(dim, x.ndim)
    if not len(sizes):
        raise RuntimeError("unflatten: sizes must be non-empty")
    if not x.ndim:
        raise RuntimeError(
            "unflatten got an unexpected error:\n"
            "Dimension specified as 0 but tensor has no dimensions"
        )
    return x.reshape((*x.shape[:d], *_parts_of(x.shape[d], d, tuple(sizes)), *x.shape[d + 1 :]))


def _parts_of(length: int, dim: int, parts: tuple) -> tuple:
    known = prod([n for n in parts if n != -1])
    if parts.count(-1) > 1:
        raise RuntimeError("unflatten got an unexpected error:\nonly one dimension can be inferred")
    if (known != length) if -1 not in parts else (not known or length % known):
        raise RuntimeError(
            f"unflatten: Provided sizes {list(parts)} don't multiply up to the size of dim {dim} "
            f"({length}) in the input tensor"
        )
    return tuple([length // known if n == -1 else n for n in parts])


def _transpose(xp: Any, x: Any, dim0: int, dim1: int) -> Any:
    first, second = place(dim0, x.ndim), place(dim1, x.ndim)
    return x.swapaxes(first, second) if x.ndim else x[...]


def _t(xp: Any, x: Any) -> Any:
    if x.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {x.ndim}D")
    return x.T


def _inverse(dims: Any) -> tuple:
    order = [d % len(dims) for d in dims]
    return tuple(order.index(k) for k in range(len(order)))


def _permute(xp: Any, x: Any, dims: Any) -> Any:
    dims = (dims,) if isinstance(dims, int) else dims
    if len(dims) != x.ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            "length of the desired ordering of dimensions i.e. "
            f"input.dim() = {x.ndim} is not equal to len(dims) = {len(dims)}"
        )
    order = [place(d, x.ndim) for d in dims]
    if len(set(order)) < len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return x.transpose(order)


def _movedim(xp: Any, x: Any, source: Any, destination: Any) -> Any:
    pair = [[each] if isinstance(each, int) else list(each) for each in (source, destination)]
    if len(pair[0]) != len(pair[1]):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({pair[0]} dims) should contain "
            f"the same number of dims as destination ({pair[1]} dims)"
        )
    for name, dims in zip(("source", "destination"), pair, strict=True):
        if len({place(d, x.ndim) for d in dims}) < len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({dims})")
    return xp.moveaxis(x, *pair) if x.ndim else x[...]


def _narrow(xp: Any, x: Any, dim: int, start: int, length: int) -> Any:
    d = place(dim, x.ndim)
    start = start + x.shape[d] if start < 0 else start
    if not 0 <= start <= start + length <= x.shape[d]:
        raise RuntimeError(
            f"start ({start}) + length ({length}) exceeds dimension size ({x.shape[d]})."
        )
    return x[(slice(None),) * d + (slice(start, start + length),)]


def _select(xp: Any, x: Any, dim: int, index: int) -> Any:
    if not x.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    d = place(dim, x.ndim)
    if not -x.shape[d] <= index < x.shape[d]:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(x.shape)} "
            f"at dimension {d}"
        )
    return x[(slice(None),) * d + (index, ...)]


def _along(dim: int, shape: tuple, item: Any) -> tuple:
    return (slice(None),) * (dim % len(shape)) + (item,)


def _narrow_vjp(F: Any, g: Any, x_shape: tuple, dim: int, start: int, length: int) -> Any:
    first = start % (x_shape[dim] + 1) if start >= 0 else start + x_shape[dim]
    return F._place(g, x_shape, _along(dim, x_shape, slice(first, first + length)))


def _select_vjp(F: Any, g: Any, x_shape: tuple, dim: int, index: int) -> Any:
    return F._place(g, x_shape, _along(dim, x_shape, index))


view_op("reshape", _reshape, _back, packs=True, title="ViewBackward0")
view_op("view", _view, _back, packs=True)
view_op("flatten", _flatten, _back, title="ViewBackward0")
view_op("unflatten", _unflatten, _back, title="ViewBackward0")
view_op("squeeze", _squeeze, lambda F, g, x_shape, dim: _back(F, g, x_shape))  # dim: its title
view_op("unsqueeze", _unsqueeze, _back)
view_op("expand", _expand, lambda F, g: g, packs=True)
view_op("transpose", _transpose, lambda F, g, dim0, dim1: F.transpose(g, dim0, dim1))
view_op("t", _t, lambda F, g: F.t(g))
view_op("permute", _permute, lambda F, g, dims: F.permute(g, _inverse(dims)), packs=True)
view_op(
    "movedim",
    _movedim,
    lambda F, g, source, destination: F.movedim(g, destination, source),
    title="PermuteBackward0",
)
view_op("_alias", lambda xp, x: x[...], lambda F, g: g)
view_op("narrow", _narrow, _narrow_vjp, title="SliceBackward0")
view_op("select", _select, _select_vjp)

# One of several views, which the last argument numbers: PyTorch forbids writes into these
view_op("_unbind", _select, _select_vjp, part=True)
view_op(
    "_split",
    lambda xp, x, dim, start, length, number: _narrow(xp, x, dim, start, length),
    _narrow_vjp,
    part=True,
)
view_op(
    "_split_with_sizes",
    lambda xp, x, dim, start, length, number: _narrow(xp, x, dim, start, length),
    _narrow_vjp,
    part=True,
)

# Any basic index, under the names that PyTorch gives to its last step


def _at(xp: Any, x: Any, index: Any) -> Any:
    index = index if isinstance(index, tuple) else (index,)
    return x[index if ... in index else (*index, ...)]


def _placed(F: Any, g: Any, x_shape: tuple, index: Any) -> Any:
    return F._place(g, x_shape, index)


view_op("_slice", _at, _placed)
view_op("_slice_select", _at, _placed, title="SelectBackward0")
view_op("_slice_unsqueeze", _at, _placed, title="UnsqueezeBackward0")


def _place(xp: Any, x: Any, size: Any, index: Any) -> Any:
    out = xp.zeros(size, x.dtype)
    out[index] = x
    return out


copy_op("_place", _place, lambda F, g, index: F._slice(g, index))  # zeros but at a basic index

# Diagonals and windows


def _lying(x: Any, size: Any, strides: Any, offset: int = 0) -> Any:
    """A view of the memory of `x`: `strides` and `offset`, from its first element, are in bytes.

    It cannot be written to where one element is shown twice. Raises: RuntimeError.
    """
    memory = backend.bytes_of(backend.owner_of(x))
    width, first = x.itemsize, backend.address(x) - backend.address(memory) if x.size else 0
    start = first + offset
    reach = sum([(n - 1) * s for n, s in zip(size, strides, strict=True)])
    needed = 0 if 0 in size else start + reach + width
    if needed > memory.size or start < 0:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {[s // width for s in strides]}, storage "
            f"offset {start // width}, and itemsize {width} requiring a storage size of {needed} "
            f"are out of bounds for storage of size {memory.size}"
        )
    if 0 in size:
        return x.reshape(-1)[:0].reshape(size)
    out = backend.strided(memory, x.dtype, start, tuple(size), tuple(strides))
    return backend.read_only(out) if repeats(out) else out


def _diagonal(xp: Any, x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    first, second = place(dim1, x.ndim), place(dim2, x.ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    kept = [d for d in range(x.ndim) if d not in (first, second)]
    down, right = max(-offset, 0), max(offset, 0)
    n = max(min(x.shape[first] - down, x.shape[second] - right), 0)
    steps = x.strides[first], x.strides[second]
    start = down * steps[0] + right * steps[1] if n else 0
    size = (*[x.shape[d] for d in kept], n)
    return _lying(x, size, (*[x.strides[d] for d in kept], sum(steps)), start)


def _diagonal_place(xp: Any, x: Any, size: Any, offset: int, dim1: int, dim2: int) -> Any:
    """Zeros of `size` with `x` on the diagonal of the planes of two dimensions."""
    out = xp.zeros(size, x.dtype)
    order = [d for d in range(out.ndim) if d not in (dim1 % out.ndim, dim2 % out.ndim)]
    plane = out.transpose((*order, dim1, dim2))
    start, end = max(-offset, 0), max(offset, 0)
    n = x.shape[-1]
    plane[..., xp.arange(start, start + n), xp.arange(end, end + n)] = x
    return out


view_op(
    "diagonal",
    _diagonal,
    lambda F, g, x_shape, offset, dim1, dim2: F._diagonal_place(g, x_shape, offset, dim1, dim2),
)
copy_op(
    "_diagonal_place",
    _diagonal_place,
    lambda F, g, offset, dim1, dim2: F.diagonal(g, offset, dim1, dim2),
    title="DiagEmbedBackward0",
)


def _unfold(xp: Any, x: Any, dimension: int, size: int, step: int) -> Any:
    axis, length = place(dimension, x.ndim), x.shape[dimension] if x.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > length:
        raise RuntimeError(
            f"maximum size for tensor at dimension {axis} is {length} but size is {size}"
        )
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not x.ndim:
        return x.reshape(1)[:size]
    stride = x.strides[axis]
    shape = (*x.shape[:axis], (length - size) // step + 1, *x.shape[axis + 1 :], size)
    strides = (*x.strides[:axis], stride * step, *x.strides[axis + 1 :], stride)
    return _lying(x, shape, strides)


def _fold(F: Any, g: Any, x_shape: tuple, dimension: int, size: int, step: int) -> Any:
    """Adds overlapping windows up again."""
    if not x_shape:
        return F.reshape(F.sum(g), ())
    d = dimension % len(x_shape)
    count, total = g.shape[d], 0
    for k in range(size):
        window = _along(d, x_shape, slice(k, k + (count - 1) * step + 1, step))
        total = F._place(F.select(g, -1, k), x_shape, window) + total
    return total if size else F._new_zeros(g, x_shape)


view_op("unfold", _unfold, _fold)

# Other elements of the same memory


def geometry(x: Any) -> tuple:
    """The shape and the strides, in elements, of an array."""
    return x.shape, tuple([s // x.itemsize for s in x.strides])


def _as_strided(xp: Any, x: Any, size: tuple, stride: tuple, shift: int, origin: tuple) -> Any:
    """Elements `shift` and `stride` apart in the memory of an array that lies as `origin`."""
    if geometry(x) != origin:
        return _strided_pick(xp, x, size, stride, shift, origin)
    return _lying(x, size, [s * x.itemsize for s in stride], shift * x.itemsize)


def _places(xp: Any, size: tuple, stride: tuple, shift: int) -> Any:
    """Where each element of such a view lies."""
    total = xp.full((1,) * len(size), shift)
    for d, (n, s) in enumerate(zip(size, stride, strict=True)):
        total = total + (xp.arange(n) * s).reshape((-1,) + (1,) * (len(size) - d - 1))
    return total


def _through_memory(
    xp: Any, x: Any, size: tuple, stride: tuple, shift: int, origin: tuple, back: bool
) -> Any:
    """Elements of an array that lies as `origin`, added up in memory, read as the view; or back."""
    view, own = _places(xp, size, stride, shift), _places(xp, origin[0], origin[1], 0)
    both = xp.concatenate([view.reshape(-1), own.reshape(-1)])
    low = int(both.min()) if both.size else 0
    length = int(both.max()) - low + 1 if both.size else 0
    source, target = (view, own) if back else (own, view)
    memory = xp.zeros(length, x.dtype)
    xp.add.at(memory, source.reshape(-1) - low, x.reshape(-1))
    count = xp.bincount(own.reshape(-1) - low, minlength=length)
    return (memory / xp.maximum(count, 1).astype(x.dtype))[target - low].reshape(target.shape)


def _strided_pick(xp: Any, x: Any, size: tuple, stride: tuple, shift: int, origin: tuple) -> Any:
    return _through_memory(xp, x, size, stride, shift, origin, back=False)


def _strided_sum(xp: Any, x: Any, size: tuple, stride: tuple, shift: int, origin: tuple) -> Any:
    return _through_memory(xp, x, size, stride, shift, origin, back=True)


view_op(
    "_as_strided",
    _as_strided,
    lambda F, g, size, stride, shift, origin: F._strided_sum(g, size, stride, shift, origin),
)
op(
    "_strided_pick",
    _strided_pick,
    lambda F, g, size, stride, shift, origin: F._strided_sum(g, size, stride, shift, origin),
)
op(
    "_strided_sum",
    _strided_sum,
    lambda F, g, size, stride, shift, origin: F._strided_pick(g, size, stride, shift, origin),
)


def _view_dtype(xp: Any, x: Any, dtype: Any) -> Any:
    """The bytes of `x` as numbers of another dtype."""
    old, new = x.dtype, dtype
    if old.itemsize == new.itemsize:
        return x.view(new)
    titles = f"view {FROM_NUMPY[old].title} as {FROM_NUMPY[new].title} (different element sizes)"
    if not x.ndim:
        raise RuntimeError(f"self.dim() cannot be 0 to {titles}")
    stride = x.strides[-1] // old.itemsize
    if stride != 1 and x.shape[-1] > 1:
        raise RuntimeError(f"self.stride(-1) must be 1 to {titles}, but got {stride}")
    times = new.itemsize // old.itemsize
    if times > 1:
        if x.shape[-1] % times:
            raise RuntimeError(
                f"self.size(-1) must be divisible by {times} to {titles}, but got {x.shape[-1]}"
            )
        for d, s in enumerate(x.strides[:-1]):
            if s % new.itemsize:
                raise RuntimeError(
                    f"self.stride({d}) must be divisible by {times} to {titles}, but got "
                    f"{s // old.itemsize}"
                )
    return x.view(new)


view_op("_view_dtype", _view_dtype, title="ViewBackward1")
