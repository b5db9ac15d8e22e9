"""Hooks on what the graph saves: `pack` when a tensor is saved, `unpack` when backward needs it.

While a thread has such hooks, ops take the detour (`_detour`), and the functions of `_dispatch`
that record an op are replaced by ones that hand the saved values to the hooks afterwards; without
hooks nothing is on the way of an op.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable
from typing import Any

from elastic.tensor import _detour, backend
from elastic.tensor._autograd import SECOND_TIME, ComplexNode, Node
from elastic.tensor._tensor import Tensor, wrap


class _Stack(threading.local):
    def __init__(self) -> None:
        self.hooks: list[tuple[Callable, Callable]] = []
        self.refused: list[str] = []


stack = _Stack()


class Packed:
    """One saved value in the form that `pack` gave it."""

    __slots__ = ("form", "unpack")

    def __init__(self, t: Tensor, pack: Callable, unpack: Callable):
        self.form, self.unpack = pack(t), unpack

    def tensor(self) -> Tensor:
        """The value again. Raises: TypeError when `unpack` gives no tensor."""
        value = self.unpack(self.form)
        if not isinstance(value, Tensor):
            raise TypeError(
                "Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                f"{type(value).__name__}"
            )
        return value


class _PackedNode(Node):
    """A node whose saved tensors went through hooks."""

    __slots__ = ()

    def gradients(self, g: Any, edges: tuple, keep: bool) -> Iterable:
        """The gradients, from unpacked values."""
        packed = self.values
        if packed is None:
            raise RuntimeError(SECOND_TIME)
        self.values = [v.tensor()._array if isinstance(v, Packed) else v for v in packed]
        try:
            return super().gradients(g, edges, keep)
        finally:
            self.values = packed if keep else None

    def _saved(self, place: int) -> Any:
        if self.values is None:
            raise RuntimeError(SECOND_TIME)
        value = self.values[place]
        return value.tensor() if isinstance(value, Packed) else value


class _PackedComplex(_PackedNode, ComplexNode):
    __slots__ = ()


def _pack(node: Node) -> None:
    """Hands the saved tensors of a new node to the hooks of this thread."""
    if not stack.hooks or not node.checks:
        return
    pack, unpack = stack.hooks[-1]
    values = list(node.values or ())
    for position, _, _ in node.checks:
        if backend.is_array(values[position]):
            values[position] = Packed(wrap(values[position]), pack, unpack)
    node.values, node.checks = values, ()
    node.__class__ = _PackedComplex if node.conjugates else _PackedNode


def _after(record: Any) -> Any:
    """`record`, a function that gives its last argument a node, followed by the hooks."""

    def recorded(*args: Any) -> None:
        record(*args)
        if stack.hooks and args[-1]._node is not None:
            _pack(args[-1]._node)

    return recorded


def _after_several(several: Any) -> Any:
    """`several`, a function that makes the outputs of an op with several, followed by the hooks."""

    def recorded(*args: Any) -> tuple:
        tensors = several(*args)
        nodes = [t._node for t in tensors if t._node is not None]
        if stack.hooks and nodes:
            _pack(nodes[0].source())
        return tensors

    return recorded


def _after_overwriting(overwrite: Any) -> Any:
    """`overwrite`, followed by the hooks: they see what it kept, not what it overwrote."""

    def overwritten(self: Tensor, op: Any, args: list) -> Tensor:
        before, stack.hooks, node = stack.hooks, [], self._node
        try:
            overwrite(self, op, args)
        finally:
            stack.hooks = before
        if self._node is not node and isinstance(self._node, Node):
            _pack(self._node)
        return self

    return overwritten


_WRAPPERS: dict[str, Any] = {
    "_record": _after,
    "_several": _after_several,
    "overwrite": _after_overwriting,
}
_PLACES = ("_dispatch", "_inplace", "_methods", "_indexing")
_users = {"count": 0}
_lock = threading.Lock()


def _count_users(step: int) -> None:
    """Puts the recording functions that know hooks into place, or the plain ones back."""
    with _lock:
        before = _users["count"]
        _users["count"] = before + step
        _detour.take(step)
        if before and _users["count"]:
            return
        for place in _PLACES:
            names = vars(importlib.import_module(f"elastic.tensor.{place}"))
            for name in _WRAPPERS.keys() & names.keys():
                plain = getattr(names[name], "plain", None)
                if plain is None:
                    wrapped = _WRAPPERS[name](names[name])
                    wrapped.plain = names[name]
                names[name] = plain or wrapped


def push(pack: Callable, unpack: Callable) -> None:
    """Adds hooks for this thread. Raises: RuntimeError while they are refused."""
    if stack.refused:
        raise RuntimeError(stack.refused[-1])
    _count_users(1)
    stack.hooks.append((pack, unpack))


def pop() -> None:
    """Takes the last hooks of this thread away."""
    stack.hooks.pop()
    _count_users(-1)
