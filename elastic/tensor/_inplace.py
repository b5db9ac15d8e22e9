"""Writing into a tensor: the checks, the new version, and what becomes of its history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from elastic.tensor._autograd import Node, edge_of, next_order
from elastic.tensor._dispatch import apply, check_cast, op
from elastic.tensor._errors import REPEATED, TRANSLATED, broadcast_error
from elastic.tensor._grad_mode import check_writable, mode
from elastic.tensor._registry import F32, F64, REGISTRY
from elastic.tensor._tensor import Tensor, requires

ndarray = np.ndarray


def in_place(name: str, ufunc: Callable | None = None) -> Callable:
    """The method `x.name_(...)` of op `name`; `ufunc(a, b, out=a)` saves a temporary, if given."""
    op = REGISTRY[name]

    def call(self: Tensor, *args: Any, **named: Any) -> Tensor:
        if ufunc is not None and len(args) == 1 and not named and not is_recorded(self, args):
            value = args[0]
            b = value._array if isinstance(value, Tensor) else value
            if _fits_in(self._array, b):
                return _apply_ufunc(ufunc, self, b)
        return overwrite(self, op, op.bind((self, *args), named))

    call.__name__ = call.__qualname__ = name + "_"
    return call


def _fits_in(array: Any, b: Any) -> bool:
    """Whether numpy computes `array op= b` as PyTorch does: nothing to promote."""
    dtype, kind = array.dtype, b.__class__
    if array.__class__ is not ndarray or (dtype is not F32 and dtype is not F64):
        return False
    return kind is float or kind is int or (kind is ndarray and b.dtype is dtype)


def _apply_ufunc(ufunc: Callable, self: Tensor, b: Any) -> Tensor:
    try:
        ufunc(self._array, b, out=self._array)
    except TRANSLATED as error:
        raise write_error(self, error, getattr(b, "shape", ())) from None
    self._cell[0] += 1
    return self


def is_recorded(self: Tensor, args: Sequence) -> bool:
    """Whether a write of `args` into `self` becomes part of the graph."""
    if self._cell.__class__ is not list:
        check_writable(self._cell)
    if not mode.enabled:
        return False
    view = self._view
    if view is not None and not view.tracked and view.base._requires_grad:
        return True  # ... if it could be: check_history refuses it
    return requires(self) or any(isinstance(each, Tensor) and requires(each) for each in args)


def overwrite(self: Tensor, op: Any, args: list) -> Tensor:
    """`self`, now holding the result of `op` on `args` (of which it is the first)."""
    recorded = is_recorded(self, args)
    if recorded:
        check_history(self)
    result = apply(op, [self, *args[1:]])
    if recorded and result._requires_grad:
        _keep_old_value(result._node)
    write(self, result._array)
    if recorded and result._requires_grad:
        _move_saved_output(result._node, self)
        rebase(self, result._node)
    return self


def _keep_old_value(node: Node) -> None:
    """A node that reads the value about to be overwritten reads a copy of it."""
    if any(position == 0 for position, _, _ in node.checks):
        node.values = [node.values[0].copy(), *node.values[1:]]  # type: ignore[index]
        node.checks = tuple(check for check in node.checks if check[0] != 0)


def _move_saved_output(node: Node, self: Tensor) -> None:
    """A node that reads its own output finds it in `self` from now on."""
    last = len(node.op.names)
    if any(position == last for position, _, _ in node.checks):
        values = list(node.values)  # type: ignore[arg-type]
        values[last] = self._array
        kept = [check for check in node.checks if check[0] != last]
        node.values, node.checks = values, (*kept, (last, self._cell, self._cell[0]))


def write(self: Tensor, result: Any) -> None:
    """Copies `result` into the memory of `self` and counts the version up."""
    array = self._array
    if result.shape != array.shape:
        raise shape_error(array.shape, result.shape) or AssertionError(result.shape)
    check_cast(result, array)
    try:
        array[...] = result
    except TRANSLATED as error:
        raise write_error(self, error, result.shape) from None
    self._cell[0] += 1


def write_error(self: Tensor, error: Exception, shape: tuple) -> Exception:
    """What PyTorch says where numpy refused to write into `self`."""
    if not self._array.flags.writeable:
        return RuntimeError(REPEATED)
    return (
        broadcast_error(self._array.shape, shape) or shape_error(self._array.shape, shape) or error
    )


def shape_error(target: tuple, source: tuple) -> RuntimeError | None:
    """What is said of a result that is larger than the tensor it is written into."""
    result = np.broadcast_shapes(target, source)
    if result == target:
        return None
    return RuntimeError(
        f"output with shape {list(target)} doesn't match the broadcast shape {list(result)}"
    )


def check_history(self: Tensor) -> None:
    """Raises: RuntimeError when a write into `self` could not be differentiated."""
    view = self._view
    if view is None:
        if self._node is None and self._requires_grad:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation."
            )
        return
    own = self._node is None and self._requires_grad
    if own or (view.base._node is None and view.base._requires_grad):
        raise RuntimeError(
            "a view of a leaf Variable that requires grad is being used in an in-place operation."
        )
    if any(step.traits.part for step, _ in view.path):
        raise RuntimeError(_part_error(*view.path[-1]))
    if not view.tracked:
        raise RuntimeError(
            "A view was created in no_grad mode and is being modified inplace with grad mode "
            "enabled. Given that this use case is ambiguous and error-prone, it is forbidden. "
            "You can clarify your code by moving both the view and the inplace either both inside "
            "the no_grad block (if you don't want the inplace to be tracked) or both outside (if "
            "you want the inplace to be tracked)."
        )


def _part_error(step: Any, args: tuple) -> str:
    return (
        f"Output {args[-1] if step.traits.part else 0} of {step.title.removesuffix('Backward0')} "
        "is a view and is being modified inplace. This view is the output of a function that "
        "returns multiple views. Such functions do not allow the output views to be modified "
        "inplace. You should replace the inplace operation by an out-of-place one."
    )


def reshaping(name: str) -> Callable:
    """The method `x.name_(...)` of a view op: the tensor itself becomes the view."""
    op = REGISTRY[name]

    def call(self: Tensor, *args: Any, **named: Any) -> Tensor:
        if is_recorded(self, ()):
            check_history(self)
        turned = op.call(self, *args, **named)
        self._array, self._node = turned._array, turned._node
        self._requires_grad = turned._requires_grad
        if self._view is not None:
            self._view = turned._view
        self._cell[0] += 1
        return self

    call.__name__ = call.__qualname__ = name + "_"
    return call


def rebase(self: Tensor, node: Any) -> None:
    """Makes `node` the history of `self`, and of the region of its base that it shows."""
    view = self._view
    if view is not None:
        base = view.base
        base._node = _region_node(base, view.path, node)
        base._requires_grad = True
        view.seen = base._node
    self._node, self._requires_grad = node, True


def _region_node(base: Tensor, path: tuple, node: Any) -> Node:
    """The base after a write through a view: outside the region its old history, inside `node`."""
    region = Node()
    region.op = REGISTRY["_view_scatter"]
    region.edges = (edge_of(base), node)
    region.values = (None, None, path, None)
    region.checks = ()
    region.fits = region.hooks = None
    region._order = next_order()
    return region


def _through(F: Any, x: Any, path: tuple) -> Any:
    for step, args in path:
        x = getattr(F, step.name)(x, *args)
    return x


def _view_scatter(xp: Any, x: Any, y: Any, path: tuple) -> Any:
    out = xp.array(x, order="K")  # as `x` lies: a step may go by strides
    region = out
    for step, args in path:
        region = step.forward(xp, region, *args)
    region[...] = y
    return out


op(
    "_view_scatter",
    _view_scatter,
    lambda F, g, path: F._view_scatter(g, F.zeros_like(_through(F, g, path)), path),
    lambda F, g, path: _through(F, g, path),
    wide=False,
    title="CopySlices",
)
