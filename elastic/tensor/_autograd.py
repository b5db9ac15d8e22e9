"""The graph of what was computed, and the walk back through it.

A node holds its inputs' edges (the node that made an input, or the leaf tensor itself), the values
that its op's vjps read, and an order: later nodes have smaller numbers. Backward is a heap on that
number, so a node is met after everything that used its output. A node never refers to its own
output tensor, so a graph is freed by reference counts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from elastic.tensor import backend
from elastic.tensor._hooks import Hooks, Removable, hooks_of
from elastic.tensor._registry import NUMPY, TENSORS, Op, arrays
from elastic.tensor._tensor import Tensor, requires, wrap
from elastic.tensor._titles import title_of
from elastic.tensor.dtypes import FROM_NUMPY, rank

ndarray, generic = np.ndarray, np.generic
next_order = count(0, -1).__next__


class GraphNode:
    """What all nodes of the graph have in common."""

    __slots__ = ()
    number = 0
    edges: tuple
    hooks: Hooks | None
    _order: int

    @property
    def next_functions(self) -> tuple:
        """The nodes of its inputs, with the number of the output that each one took."""
        edges = (*self.edges, *[None] * self.omitted)
        return tuple((None if e is None else function_of(e), number_of(e)) for e in edges)

    @property
    def omitted(self) -> int:
        """How many of the last inputs want no gradient and have no place in `edges`."""
        return 0

    @property
    def metadata(self) -> dict:
        """A dict for whatever users keep with the node."""
        return hooks_of(self).metadata

    def source(self) -> Any:
        """The node that a user sees as `grad_fn`."""
        return self

    def retains(self, t: Tensor) -> bool:
        """Whether backward leaves the gradient on `t`."""
        return self.hooks is not None and self.hooks.keeper() is t

    def register_hook(self, hook: Callable) -> Removable:
        """Calls `hook(grad_inputs, grad_outputs)` as backward passes; it may replace the first."""
        return Removable(hooks_of(self).after, hook)

    def register_prehook(self, hook: Callable) -> Removable:
        """Calls `hook(grad_outputs)` before the node computes; it may replace them."""
        return Removable(hooks_of(self).entry, hook)


class Node(GraphNode):
    """One application of an op: `grad_fn` of its output."""

    __slots__ = ("__weakref__", "_order", "checks", "edges", "fits", "hooks", "op", "values")
    conjugates = False
    op: Op
    values: Sequence | None  # the op's parameters and output, None where no vjp reads it
    checks: Sequence  # (position, version cell, version) of each saved tensor
    fits: tuple | None  # (shape, dtype) of each input, where a gradient may have another

    @property
    def omitted(self) -> int:
        """How many of the last inputs want no gradient and have no place in `edges`."""
        return max(0, len(self.op.vjps) - len(self.edges))

    def name(self) -> str:
        """The name of its class in PyTorch, as in `<MulBackward0>`."""
        return title_of(self)

    def gradients(self, g: Any, edges: tuple, keep: bool) -> Iterable:
        """The gradients of the inputs whose edges are not None, from the output's gradient `g`.

        What was saved is freed unless the caller would `keep` it; what saved none can be walked
        again.
        """
        values = self.values
        if values is None:
            raise RuntimeError(SECOND_TIME)
        for position, cell, version in self.checks:
            if cell[0] != version:
                raise RuntimeError(_clobbered(self, position, cell[0], version))
        if not keep and self.checks:
            self.values = None
        op = self.op
        if g.__class__ is ndarray:
            F = NUMPY
        elif isinstance(g, Tensor):
            F, values = TENSORS, self._as_tensors(values)
        elif isinstance(g, generic):  # numpy's arithmetic on 0-d arrays
            F, g = NUMPY, np.asarray(g)
        else:  # an array of a GPU, or the gradients of several outputs by number
            part = next(iter(g.values())) if g.__class__ is dict else g
            if isinstance(part, Tensor):
                F, values = TENSORS, self._as_tensors(values)
            else:
                F = arrays(backend.xp_of(part))
        if self.conjugates:
            values = [_conjugate(F, value) for value in values]
        if op.joint:
            return op.joint(F, g, *[values[k] for k in op.reads[0]])
        results: list = []
        for edge, (vjp, first, rest) in zip(edges, op.rules):  # noqa: B905 rules may be fewer
            if edge is None:
                results.append(None)
            elif rest is not None:
                results.append(vjp(F, g, *[values[k] for k in rest]))
            elif first is None:
                results.append(vjp(F, g))
            else:
                results.append(vjp(F, g, values[first]))
        return results

    def _as_tensors(self, values: Sequence) -> list:
        """The saved values as tensors that are part of the graph."""
        last = len(self.op.names)
        inputs = (*self.edges, *[None] * len(values))
        if self.op.variadic:
            inputs = (self.edges, *inputs)
        return [_tensors(v, self if k == last else inputs[k]) for k, v in enumerate(values)]

    # What PyTorch's nodes show of what they saved; `__getattr__` would slow down the walk.
    _saved_self = property(lambda self: self._saved(0))
    _saved_other = property(lambda self: self._saved(1))
    _saved_result = property(lambda self: self._saved(len(self.op.names)))

    def _saved(self, place: int) -> Any:
        if self.values is None:
            raise RuntimeError(SECOND_TIME)
        if place not in {position for position, _, _ in self.checks}:
            raise AttributeError(f"'{self.name()}' object has saved nothing of that name")
        return self._as_tensors(self.values)[place]

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class ComplexNode(Node):
    """A node whose vjps read conjugates: the gradient of holomorphic f is g times conj(f')."""

    __slots__ = ()
    conjugates = True


def _conjugate(F: Any, value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)([_conjugate(F, each) for each in value])
    if isinstance(value, complex):
        return value.conjugate()
    array = value._array if isinstance(value, Tensor) else value
    return F.conj(value) if getattr(getattr(array, "dtype", None), "kind", "") == "c" else value


def _tensors(value: Any, edge: Any) -> Any:
    """`value` with its arrays as tensors whose gradient goes to `edge`."""
    if value.__class__ is list and edge.__class__ is tuple:
        return [_tensors(v, e) for v, e in zip(value, edge, strict=True)]
    if value.__class__ is tuple and isinstance(edge, Node):
        return _as_outputs(value, edge)
    return attached(value, edge) if backend.is_array(value) else value


def _as_outputs(arrays: tuple, node: Node) -> tuple:
    """The outputs of `node` as tensors: those of floating dtypes have a gradient."""
    floating = [k for k, each in enumerate(arrays) if rank(FROM_NUMPY[each.dtype]) > 1]
    edges = {k: node if len(floating) == 1 else Output(node, k) for k in floating}
    return tuple(attached(each, edges.get(k)) for k, each in enumerate(arrays))


class Output(GraphNode):
    """One of several outputs of a node: collects that output's gradient."""

    __slots__ = ("__weakref__", "_number", "_order", "edges", "hooks")
    fits = None

    def __init__(self, node: Any, number: int):
        self._order = next_order()
        self.edges = (node,)
        self._number = number
        self.hooks = None

    @property
    def number(self) -> int:  # type: ignore[override]
        """Which output it is."""
        return self._number

    def gradients(self, g: Any, edges: tuple, keep: bool) -> Iterable:
        """The output's number and gradient, for the node to collect."""
        return ({self._number: g},)

    def source(self) -> Any:
        """The node that a user sees as `grad_fn`."""
        return self.edges[0]


def edge_of(t: Tensor) -> Any:
    """Where a gradient for `t` goes: its node, itself if it is a leaf, None if it wants none."""
    if not requires(t):
        return None
    return t if t._node is None else t._node


def attached(array: Any, edge: Any) -> Tensor:
    """A tensor on `array` whose gradient goes to `edge`."""
    if isinstance(edge, Tensor) and edge._array is array:
        return edge
    t = wrap(array)
    if edge is not None:
        t._requires_grad = True
        # A leaf whose memory was exchanged since (`p.data = ...`) is still where the gradient goes.
        t._node = edge if not isinstance(edge, Tensor) else TENSORS._alias(edge)._node
    return t


def fit(g: Any, shape: tuple, dtype: np.dtype) -> Any:
    """`g` summed over what broadcasting repeated, and in the dtype of the input."""
    if isinstance(g, Tensor):
        if g._array.shape != shape:
            g = TENSORS.sum_to_size(g, shape)
        return g if g._array.dtype == dtype else TENSORS._cast(g, dtype)
    if g.shape != shape:
        g = arrays(backend.xp_of(g)).sum_to_size(g, shape)
    if g.dtype != dtype:
        g = arrays(backend.xp_of(g))._cast(g, dtype)
    return np.asarray(g) if isinstance(g, generic) else g


def function_of(edge: Any) -> Any:
    return AccumulateGrad(edge) if isinstance(edge, Tensor) else edge.source()


def number_of(edge: Any) -> int:
    return getattr(edge, "number", 0)


class AccumulateGrad(GraphNode):
    """What `next_functions` shows for a leaf: it adds to `variable.grad`."""

    __slots__ = ("variable",)
    edges = ()

    def __init__(self, variable: Tensor):
        self.variable = variable

    @property
    def metadata(self) -> dict:
        """A dict for whatever users keep with the node."""
        return hooks_of(self.variable).metadata

    def name(self) -> str:
        """Its name in PyTorch."""
        return "torch::autograd::AccumulateGrad"

    def register_hook(self, hook: Callable) -> Removable:
        """Calls `hook((), grad_outputs)` when backward has added to `variable.grad`."""
        return Removable(hooks_of(self.variable).after, hook)

    def register_prehook(self, hook: Callable) -> Removable:
        """Calls `hook(grad_outputs)` before backward adds to `variable.grad`."""
        return Removable(hooks_of(self.variable).entry, hook)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return hash(self.variable)

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self.variable):#x}>"


class GradientEdge(NamedTuple):
    """An output of a node: stands for a tensor that itself need not be kept."""

    node: Any
    output_nr: int
    ownership_token: Any = None

    def place(self) -> Any:
        """The edge of the graph where a gradient for it goes."""
        if self.ownership_token is not None:
            return self.ownership_token
        if isinstance(self.node, AccumulateGrad):
            return self.node.variable
        return self.node if len(_outputs(self.node)) < 2 else Output(self.node, self.output_nr)


def _outputs(node: Any) -> tuple:
    """The outputs of a node that has several, as far as they can be told."""
    count = getattr(node, "count", None)
    return tuple(count) if count is not None else ()


def _clobbered(node: Node, position: int, now: int, saved: int) -> str:
    value = node.values[position]  # type: ignore[index]
    value = value[0] if isinstance(value, tuple) else value
    makers = dict(enumerate(node.edges)) | {len(node.op.names): node}
    return clobbered(value, makers.get(position), now, saved)


def clobbered(value: Any, maker: Any, now: int, saved: int) -> str:
    """What is said of a saved `value` that was written to since; `maker` is its edge."""
    where = ""
    if maker is not None:
        name = function_of(maker).name().removesuffix("Backward0")
        where = f", which is output {number_of(maker)} of {name},"
    kind = f"torch.{FROM_NUMPY[value.dtype].title}Tensor {list(value.shape)}"
    return (
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: [{kind}]{where} is at version {now}; expected version {saved} instead. "
        "Hint: enable anomaly detection to find the operation that failed to compute its "
        "gradient, with torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )


SECOND_TIME = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have already been freed). Saved intermediate values of the graph are freed when you "
    "call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward "
    "through the graph a second time or if you need to access saved tensors after calling "
    "backward."
)
