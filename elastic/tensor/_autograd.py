"""The graph of what was computed, and the walk back through it.

A node holds its inputs' edges (the node that made an input, or the leaf tensor itself), the values
that its op's vjps read, and an order: later nodes have smaller numbers. Backward is a heap on that
number, so a node is met after everything that used its output. A node never refers to its own
output tensor, so a graph is freed by reference counts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np

from elastic.tensor import backend
from elastic.tensor._grad_mode import mode
from elastic.tensor._registry import NUMPY, TENSORS, Op, arrays
from elastic.tensor._tensor import Tensor, requires, wrap
from elastic.tensor.dtypes import FROM_NUMPY

ndarray, generic = np.ndarray, np.generic
next_order = count(0, -1).__next__


class Node:
    """One application of an op: `grad_fn` of its output."""

    __slots__ = ("__weakref__", "_order", "checks", "edges", "fits", "hooks", "op", "values")
    number = 0
    conjugates = False
    _order: int
    op: Op
    edges: tuple
    values: Sequence | None  # the op's parameters and output, None where no vjp reads it
    checks: Sequence  # (position, version cell, version) of each saved tensor
    fits: tuple | None  # (shape, dtype) of each input, where a gradient may have another
    hooks: Hooks | None

    @property
    def next_functions(self) -> tuple:
        """The nodes of its inputs, with the number of the output that each one took."""
        return tuple((None if e is None else _function_of(e), _number_of(e)) for e in self.edges)

    def name(self) -> str:
        """The name of its class in PyTorch, as in `<MulBackward0>`."""
        return self.op.title

    def source(self) -> Any:
        """The node that a user sees as `grad_fn`."""
        return self

    def retains(self, t: Tensor) -> bool:
        """Whether backward leaves the gradient on `t`."""
        return self.hooks is not None and self.hooks.keeper() is t

    def register_hook(self, hook: Callable) -> Removable:
        """Calls `hook(grad_inputs, grad_outputs)` as backward passes; it may replace the first."""
        return hooks_of(self).add_after(hook)

    def gradients(self, g: Any, edges: tuple) -> Iterable:
        """The gradients of the inputs whose edges are not None, from the output's gradient `g`."""
        values = self.values
        if values is None:
            raise RuntimeError(_SECOND_TIME)
        for position, cell, version in self.checks:
            if cell[0] != version:
                raise RuntimeError(_clobbered(self, position, cell[0], version))
        op = self.op
        if g.__class__ is ndarray:
            F = NUMPY
        elif isinstance(g, Tensor):
            F, values = TENSORS, self._as_tensors(values)
        elif isinstance(g, generic):  # numpy's arithmetic on 0-d arrays
            F, g = NUMPY, np.asarray(g)
        elif g.__class__ is dict and isinstance(next(iter(g.values())), Tensor):
            F, values = TENSORS, self._as_tensors(values)
        else:
            F = arrays(backend.xp_of(g))
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

    def release(self) -> None:
        """Frees the saved tensors; what saved none can be walked again."""
        if self.checks:
            self.values = None

    def _as_tensors(self, values: Sequence) -> list:
        """The saved values as tensors that are part of the graph."""
        last = len(self.op.names)
        inputs = (*self.edges, *[None] * len(values))
        if self.op.variadic:
            inputs = (self.edges, *inputs)
        return [_tensors(v, self if k == last else inputs[k]) for k, v in enumerate(values)]

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
    if value.__class__ is tuple and isinstance(
        edge, Node
    ):  # several outputs: only one has a gradient
        return tuple(wrap(each) for each in value)
    return attached(value, edge) if backend.is_array(value) else value


class Output:
    """One of several outputs of a node: collects that output's gradient."""

    __slots__ = ("__weakref__", "_order", "edges", "hooks", "number")
    fits = None

    def __init__(self, node: Any, number: int):
        self._order = next_order()
        self.edges = (node,)
        self.number = number
        self.hooks: Hooks | None = None

    def gradients(self, g: Any, edges: tuple) -> Iterable:
        """The output's number and gradient, for the node to collect."""
        return ({self.number: g},)

    def source(self) -> Any:
        """The node that a user sees as `grad_fn`."""
        return self.edges[0]

    def release(self) -> None:
        """Nothing is saved here."""

    retains = Node.retains


class Hooks:
    """What a user asked to be called or kept at a node or a leaf."""

    def __init__(self) -> None:
        self.before: dict[int, Callable] = {}  # on the gradient, may replace it
        self.after: dict[int, Callable] = {}  # nodes: (grad_inputs, grad_outputs); leaves: (leaf)
        self.keeper: Callable[[], Tensor | None] = lambda: None  # retain_grad's tensor, weakly

    def add(self, hook: Callable) -> Removable:
        """Registers `hook(grad)`."""
        return Removable(self.before, hook)

    def add_after(self, hook: Callable) -> Removable:
        """Registers a hook that runs when the gradient has passed."""
        return Removable(self.after, hook)


class Removable:
    """The handle of a hook: `remove()` takes it away."""

    _next_id = count().__next__

    def __init__(self, table: dict[int, Callable], hook: Callable):
        self.id = Removable._next_id()
        self._table = table
        table[self.id] = hook

    def remove(self) -> None:
        """Takes the hook away; a second time does nothing."""
        self._table.pop(self.id, None)

    def __enter__(self) -> Removable:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


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


def hooks_of(place: Any) -> Hooks:
    """The hooks of a node or a leaf, made when first asked for."""
    attribute = "_hooks" if isinstance(place, Tensor) else "hooks"
    found = getattr(place, attribute)
    if found is None:
        found = Hooks()
        setattr(place, attribute, found)
    return found


def walk(seeds: list, keep: bool, graph: bool, wanted: set | None = None) -> tuple[dict, set]:
    """What each leaf (and each `wanted` node) collects, and the leaves whose array is theirs alone.

    `seeds` are pairs of an edge and its gradient. `wanted` restricts the walk to what leads there.
    """
    grads: dict = {}
    heap: list = []
    owned: set = set()  # leaves and nodes that collect in an array which nobody else holds
    found: dict = {}
    useful = None if wanted is None else _leading_to(wanted, [edge for edge, _ in seeds])
    for edge, g in seeds:
        _collect(edge, g, g, grads, heap, owned)
    before, mode.enabled = mode.enabled, graph
    try:
        while heap:
            node = heappop(heap)[1]
            g = grads.pop(node)
            if node.hooks is not None:
                g = _pass_hooks(node, g)
            edges = node.edges
            if useful is not None:
                if node in wanted:  # type: ignore[operator]
                    found[node] = g
                edges = tuple([e if e in useful else None for e in edges])
            results = node.gradients(g, edges)
            if node.hooks is not None and node.hooks.after:
                results = _pass_after(node, results, g)
            if node.fits is not None:
                results = _fitted(results, node.fits)
            for edge, gradient in zip(edges, results):  # noqa: B905 later inputs have no rules
                if edge is None or gradient is None:
                    continue
                if edge in grads:
                    _add(edge, gradient, grads, owned)
                elif edge._order is not None:
                    grads[edge] = gradient
                    heappush(heap, (edge._order, edge))
                else:
                    _collect(edge, gradient, g, grads, heap, owned)
            if not keep:
                node.release()
    finally:
        mode.enabled = before
    return found | grads, owned


def _fitted(results: Iterable, fits: tuple) -> list:
    return [
        r if r is None or fit_to is None else fit(r, *fit_to)
        for r, fit_to in zip(results, fits)  # noqa: B905 later inputs have no rules
    ]


def _collect(edge: Any, gradient: Any, g: Any, grads: dict, heap: list, owned: set) -> None:
    """Keeps `gradient`, which came out of `g`, as the first that `edge` collects."""
    if edge in grads:
        _add(edge, gradient, grads, owned)
        return
    grads[edge] = np.asarray(gradient) if isinstance(gradient, generic) else gradient
    if edge._order is not None:
        heappush(heap, (edge._order, edge))
    elif gradient is not g and gradient.__class__ is ndarray and gradient.base is None:
        owned.add(edge)  # a vjp returns g, a view, or a new array


def _add(edge: Any, gradient: Any, grads: dict, owned: set) -> None:
    """Adds `gradient` to what `edge` has collected."""
    previous = grads[edge]
    if edge in owned:
        previous += gradient
    elif gradient.__class__ is dict:
        previous.update(gradient)
    else:
        total = previous + gradient
        grads[edge] = np.asarray(total) if isinstance(total, generic) else total
        if not isinstance(total, Tensor):  # under create_graph nothing is added in place
            owned.add(edge)


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


def _leading_to(wanted: Iterable, roots: list) -> set:
    """The nodes from which backward reaches one of `wanted`, and these themselves."""
    nodes, stack = set(), list(roots)
    while stack:
        edge = stack.pop()
        if edge is not None and edge._order is not None and edge not in nodes:
            nodes.add(edge)
            stack.extend(edge.edges)
    useful = set(wanted)
    for node in sorted(nodes, key=lambda each: each._order, reverse=True):  # the oldest first
        if any(edge in useful for edge in node.edges):
            useful.add(node)
    return useful


def _pass_hooks(place: Any, g: Any) -> Any:
    """`g` after the hooks on it; `retain_grad` keeps what they leave."""
    hooks = place.hooks if not isinstance(place, Tensor) else place._hooks
    for hook in list(hooks.before.values()):
        given = g if isinstance(g, Tensor) else wrap(g)
        replaced = hook(given)
        if replaced is not None:
            g = replaced if isinstance(g, Tensor) else replaced._array.view()
    keeper = hooks.keeper()
    if keeper is not None and not isinstance(place, Tensor):
        kept = g if isinstance(g, Tensor) else wrap(g.copy())
        keeper._grad = kept if keeper._grad is None else keeper._grad + kept
    return g


def _pass_after(node: Any, results: Iterable, g: Any) -> list:
    results = list(results)
    for hook in list(node.hooks.after.values()):
        given = tuple(
            r if r is None or isinstance(r, Tensor) else wrap(np.asarray(r)) for r in results
        )
        replaced = hook(given, _outgoing(g))
        if replaced is not None:
            raw = (r if r is None or isinstance(g, Tensor) else r._array.view() for r in replaced)
            results = list(raw)
    return results


def _outgoing(g: Any) -> tuple:
    """What came out of a node's outputs, as tensors."""
    parts = [g[k] for k in sorted(g)] if isinstance(g, dict) else [g]
    return tuple(each if isinstance(each, Tensor) else wrap(each) for each in parts)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of `tensors` to `.grad` of the leaves (or of `inputs`)."""
    roots, seeds = _as_tuple(tensors), _as_tuple(grad_tensors)
    pairs = _seeds(roots, seeds or (None,) * len(roots), create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    wanted = None if inputs is None else {edge_of(t) for t in _as_tuple(inputs)}
    collected, owned = walk(pairs, keep, create_graph, wanted)
    for place, g in collected.items():
        if isinstance(place, Tensor) and (wanted is None or place in wanted):
            _deposit(place, g, place in owned, create_graph)
    for t in () if inputs is None else _as_tuple(inputs):
        if t._node is not None and t._node in collected:
            _deposit(t, collected[t._node], False, create_graph)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of `outputs` with respect to `inputs`; `.grad` is left alone."""
    roots, seeds, targets = _as_tuple(outputs), _as_tuple(grad_outputs), _as_tuple(inputs)
    edges = [edge_of(t) for t in targets]
    if None in edges:
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    pairs = _seeds(roots, seeds or (None,) * len(roots), create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    found, _ = walk(pairs, keep, create_graph, set(edges))
    results = [_result(place, found.get(place)) for place in edges]
    if materialize_grads:
        zeros = TENSORS.zeros_like
        return tuple(zeros(t) if r is None else r for t, r in zip(targets, results, strict=True))
    if None in results and not allow_unused:
        raise RuntimeError(_UNUSED.format(results.index(None)))
    return tuple(results)


def _result(place: Any, g: Any) -> Tensor | None:
    if g is None:
        return None
    if isinstance(place, Tensor) and place._hooks is not None:
        g = _pass_hooks(place, g)
    return g if isinstance(g, Tensor) else wrap(g if g.flags.writeable else g.copy())


def _as_tuple(value: Any) -> tuple:
    if value is None:
        return ()
    return (value,) if isinstance(value, Tensor) else tuple(value)


def _seeds(roots: tuple, seeds: tuple, graph: bool) -> list:
    """The edges of `roots` with the gradients to start from: 1 for a scalar, if none is given."""
    pairs = []
    for k, (root, seed) in enumerate(zip(roots, seeds, strict=True)):
        edge = edge_of(root)
        if edge is None:
            raise RuntimeError(
                f"element {k} of tensors does not require grad and does not have a grad_fn"
            )
        pairs.append((edge, _seed(k, root, seed, graph)))
    return pairs


def _seed(k: int, root: Tensor, seed: Tensor | None, graph: bool) -> Any:
    if seed is None:
        if root._array.size != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        ones = backend.xp_of(root._array).ones_like(root._array)
        return wrap(ones) if graph else ones
    if seed._array.shape != root._array.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{k}] has a shape of {seed.shape} and "
            f"output[{k}] has a shape of {root.shape}."
        )
    if graph:
        return seed
    return fit(seed._array, root._array.shape, root._array.dtype)


def _deposit(leaf: Tensor, g: Any, owned: bool, graph: bool) -> None:
    """Adds `g` to `leaf.grad`, which never shares memory with anything else."""
    if leaf._hooks is not None:
        g, owned = _pass_hooks(leaf, g), False  # a hook may have kept it
    if graph:
        leaf._grad = TENSORS.clone(g) if leaf._grad is None else leaf._grad + g
    elif leaf._grad is None:
        leaf._grad = wrap(g if owned and g.flags.c_contiguous else g.copy())
    else:
        leaf._grad._array += g
        leaf._grad._cell[0] += 1
    if leaf._hooks is not None:
        for hook in list(leaf._hooks.after.values()):
            hook(leaf)


def _function_of(edge: Any) -> Any:
    return AccumulateGrad(edge) if isinstance(edge, Tensor) else edge.source()


def _number_of(edge: Any) -> int:
    return getattr(edge, "number", 0)


class AccumulateGrad:
    """What `next_functions` shows for a leaf: it adds to `variable.grad`."""

    def __init__(self, variable: Tensor):
        self.variable = variable
        self.next_functions: tuple = ()

    def name(self) -> str:
        """Its name in PyTorch."""
        return "torch::autograd::AccumulateGrad"

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self.variable):#x}>"


def _clobbered(node: Node, position: int, now: int, saved: int) -> str:
    value = node.values[position]  # type: ignore[index]
    value = value[0] if isinstance(value, tuple) else value
    kind = f"torch.{FROM_NUMPY[value.dtype].title}Tensor {list(value.shape)}"
    makers = dict(enumerate(node.edges)) | {len(node.op.names): node}
    maker, where = makers.get(position), ""
    if maker is not None:
        name = _function_of(maker).name().removesuffix("Backward0")
        where = f", which is output {_number_of(maker)} of {name},"
    return (
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: [{kind}]{where} is at version {now}; expected version {saved} instead. "
        "Hint: enable anomaly detection to find the operation that failed to compute its "
        "gradient, with torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )


_SECOND_TIME = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have already been freed). Saved intermediate values of the graph are freed when you "
    "call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward "
    "through the graph a second time or if you need to access saved tensors after calling "
    "backward."
)
_UNUSED = (
    "The differentiated Tensor at index {} appears to not have been used in the graph. Set "
    "allow_unused=True if this is the desired behavior."
)
