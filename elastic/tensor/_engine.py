"""The walk back through the graph, and what starts it: `backward` and `grad`.

A heap on the nodes' order numbers meets a node after everything that used its output. Usual walks
take the plain loop; hooks of leaves, wanted nodes and anomaly detection take the careful one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any

import numpy as np

from elastic.tensor import _anomaly, backend
from elastic.tensor._autograd import GradientEdge, edge_of, fit
from elastic.tensor._grad_mode import mode
from elastic.tensor._hooks import leaves, pass_after, pass_before
from elastic.tensor._registry import TENSORS
from elastic.tensor._tensor import Tensor, wrap

ndarray, generic = np.ndarray, np.generic


class _Running(threading.local):
    restricted = False  # whether this thread is in a walk that leads to wanted places only


running = _Running()


def walk(
    seeds: list,
    keep: bool,
    graph: bool,
    wanted: set | None = None,
    deposit: Callable | None = None,
) -> tuple[dict, set]:
    """What each leaf (and each `wanted` node) collects, and the leaves whose array is theirs alone.

    `seeds` are pairs of an edge and its gradient. `wanted` restricts the walk to what leads there.
    `deposit(leaf, gradient, is its own)` is called for leaves with hooks as soon as all their
    gradients are there; these are not in the result.
    """
    grads: dict = {}
    heap: list = []
    owned: set = set()  # leaves and nodes that collect in an array which nobody else holds
    for edge, g in seeds:
        _collect(edge, g, g, grads, heap, owned)
    before, mode.enabled = mode.enabled, graph
    outer, running.restricted = running.restricted, wanted is not None
    care = None
    if wanted is not None or leaves["hooked"] or _anomaly.mode.enabled:
        care = _Care([edge for edge, _ in seeds], wanted, deposit, grads, owned)
    try:
        _pass_down(keep, grads, heap, owned, care)
    finally:
        mode.enabled, running.restricted = before, outer
    return grads if care is None else care.found | grads, owned


def _pass_down(keep: bool, grads: dict, heap: list, owned: set, care: _Care | None) -> None:
    """Gives what each node makes of its gradient to its inputs, the latest node first."""
    while heap:
        node = heappop(heap)[1]
        g = grads.pop(node)
        if node.hooks is not None:
            g = pass_before(node, g)
        if care is None:
            edges = node.edges
            results = node.gradients(g, edges, keep)
        else:
            edges = care.edges(node, g)
            results = care.watched(node).gradients(g, edges, keep)
        if node.hooks is not None and node.hooks.after:
            results = pass_after(node, results, g)
        if node.fits is not None:
            results = _fitted(results, node.fits)
        for edge, gradient in zip(edges, results):  # noqa: B905 later inputs have no rules
            if edge is None or gradient is None:
                continue
            if edge in grads:
                _add(edge, gradient, grads, owned)
            elif (order := edge._order) is not None:
                grads[edge] = gradient
                heappush(heap, (order, edge))
            else:
                _collect(edge, gradient, g, grads, heap, owned)
        if care is not None:
            care.deliver(edges)


class _Care:
    """Everything that is rare in a walk: wanted places, hooks of leaves, anomaly detection."""

    def __init__(
        self, roots: list, wanted: set | None, deposit: Callable | None, grads: dict, owned: set
    ):
        self.wanted, self.deposit, self.grads, self.owned = wanted or (), deposit, grads, owned
        self.useful = None if wanted is None else _leading_to(wanted, roots)
        self.uses = _uses_of_hooked_leaves(roots, self.useful) if deposit is not None else {}
        self.found: dict = {}  # what the wanted nodes collect

    def edges(self, node: Any, g: Any) -> tuple:
        """The edges of `node` that the walk follows."""
        if self.useful is None:
            return node.edges
        if node in self.wanted:
            self.found[node] = g
        return tuple([e if e in self.useful else None for e in node.edges])

    def watched(self, node: Any) -> Any:
        """`node`, with an eye on what it gives when anomalies are to be found."""
        return _anomaly.Watched(node) if _anomaly.mode.enabled else node

    def deliver(self, edges: tuple) -> None:
        """Deposits what the leaves with hooks among `edges` have collected, once it is complete."""
        for edge in edges:
            if edge in self.uses:
                self.uses[edge] -= 1
                if not self.uses[edge] and edge in self.grads:
                    self.deposit(edge, self.grads.pop(edge), edge in self.owned)  # type: ignore[misc]


def _uses_of_hooked_leaves(roots: list, useful: set | None) -> dict:
    """How many gradients each leaf with hooks gets in this walk."""
    uses: dict = {}
    seen, stack = set(roots), list(roots)
    while stack:
        for edge in () if (node := stack.pop())._order is None else node.edges:
            if edge is None or (useful is not None and edge not in useful):
                continue
            if edge._order is None:
                if edge._hooks is not None:
                    uses[edge] = uses.get(edge, 0) + 1
            elif edge not in seen:
                seen.add(edge)
                stack.append(edge)
    return uses


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
        for k, part in gradient.items():
            previous[k] = previous[k] + part if k in previous else part
    else:
        total = previous + gradient
        grads[edge] = np.asarray(total) if isinstance(total, generic) else total
        if not isinstance(total, Tensor):  # under create_graph nothing is added in place
            owned.add(edge)


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


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of `tensors` to `.grad` of the leaves (or of `inputs`).

    `tensors` and `inputs` are tensors or gradient edges. Leaves with hooks get their gradient as
    soon as it is complete.
    """
    targets = None if inputs is None else _as_tuple(inputs)
    if targets == ():
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots, seeds = _as_tuple(tensors), _as_tuple(grad_tensors)
    pairs = _seeds(roots, seeds or (None,) * len(roots), create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    wanted = None if targets is None else set(_target_edges(targets))

    def deposit(leaf: Tensor, g: Any, own: bool) -> None:
        if wanted is None or leaf in wanted:
            _deposit(leaf, g, own, create_graph)

    collected, owned = walk(pairs, keep, create_graph, wanted, deposit)
    for place, g in collected.items():
        if isinstance(place, Tensor):
            deposit(place, g, place in owned)
    for t in targets or ():
        if isinstance(t, Tensor) and t._node is not None and t._node in collected:
            _deposit(t, collected[t._node], False, create_graph)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of `outputs` with respect to `inputs`; `.grad` is left alone.

    Both are tensors or gradient edges. `is_grads_batched` takes `grad_outputs` with a dimension
    more, and walks once for each of its slices. An input that `outputs` does not depend on gives
    None (with `allow_unused`) or zeros (with `materialize_grads`).
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    roots, seeds, targets = _as_tuple(outputs), _as_tuple(grad_outputs), _as_tuple(inputs)
    if not targets:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    unused = bool(allow_unused) or materialize_grads
    if is_grads_batched:
        keep = create_graph if retain_graph is None else retain_graph
        return _batched(roots, targets, seeds, (keep, create_graph, unused, materialize_grads))
    edges = _target_edges(targets)
    pairs = _seeds(roots, seeds or (None,) * len(roots), create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    found, _ = walk(pairs, keep, create_graph, set(edges))
    results = [_result(place, found.get(place)) for place in edges]
    if materialize_grads:
        zeros = TENSORS.zeros_like
        return tuple(zeros(t) if r is None else r for t, r in zip(targets, results, strict=True))
    if None in results and not unused:
        raise RuntimeError(
            f"The differentiated Tensor at index {results.index(None)} appears to not have been "
            "used in the graph. Set allow_unused=True if this is the desired behavior."
        )
    return tuple(results)


def _batched(roots: tuple, targets: tuple, seeds: tuple, settings: tuple) -> tuple:
    """`grad` once for each slice of `seeds`, stacked."""
    keep, graph, unused, zeros = settings
    count = len(seeds[0])
    rows = []
    for k in range(count):
        row = tuple(None if s is None else s[k] for s in seeds)
        last = k + 1 == count
        rows.append(grad(roots, targets, row, keep or not last, graph, True, unused, False, zeros))
    columns = zip(*rows, strict=True)
    return tuple(None if None in c else TENSORS.stack(list(c), 0) for c in columns)


def _target_edges(targets: tuple) -> list:
    for t in targets:
        if not isinstance(t, (Tensor, GradientEdge)):
            kind = type(t).__name__
            raise RuntimeError(f"all inputs have to be Tensors or GradientEdges, but got {kind}")
    edges = [_place_of(t) for t in targets]
    if any(edge is None for edge in edges):
        raise RuntimeError("One of the differentiated Tensors does not require grad")
    return edges


def _place_of(t: Any) -> Any:
    return t.place() if isinstance(t, GradientEdge) else edge_of(t)


def _result(place: Any, g: Any) -> Tensor | None:
    if g is None:
        return None
    if isinstance(place, Tensor) and place._hooks is not None:
        g = pass_before(place, g)
    return g if isinstance(g, Tensor) else wrap(g if g.flags.writeable else g.copy())


def _as_tuple(value: Any) -> tuple:
    if value is None:
        return ()
    return (value,) if isinstance(value, (Tensor, GradientEdge)) else tuple(value)


def _seeds(roots: tuple, seeds: tuple, graph: bool) -> list:
    """The edges of `roots` with the gradients to start from: 1 for a scalar, if none is given."""
    if len(roots) > len(seeds):
        raise RuntimeError(f"got {len(roots)} tensors and {len(seeds)} gradients")
    pairs = []
    for k, (root, seed) in enumerate(zip(roots, seeds, strict=False)):
        if not isinstance(root, (Tensor, GradientEdge)):
            raise AssertionError("Expected output to be a torch.Tensor")
        edge = _place_of(root)
        if edge is None:
            raise RuntimeError(
                f"element {k} of tensors does not require grad and does not have a grad_fn"
            )
        if isinstance(root, GradientEdge):
            pairs.append((edge, _seed_of_edge(seed, graph)))
        else:
            pairs.append((edge, _seed(k, root, seed, graph)))
    return pairs


def _seed_of_edge(seed: Tensor | None, graph: bool) -> Any:
    if seed is None:
        raise RuntimeError("grad can be implicitly created only for scalar outputs")
    return seed if graph else seed._array


def _seed(k: int, root: Tensor, seed: Tensor | None, graph: bool) -> Any:
    array = root._array
    if seed is None:
        if array.size != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if array.dtype.kind == "c":
            raise RuntimeError(
                f"grad can be implicitly created only for real scalar outputs but got {root.dtype}"
            )
        ones = backend.xp_of(array).ones(array.shape, array.dtype)
        return wrap(ones) if graph else ones
    if seed._array.shape != array.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{k}] has a shape of {seed.shape} and "
            f"output[{k}] has a shape of {root.shape}."
        )
    if (seed._array.dtype.kind == "c") != (array.dtype.kind == "c"):
        raise RuntimeError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. "
            f"Mismatch in dtype: grad_output[{k}] has a dtype of {seed.dtype} and output[{k}] has "
            f"a dtype of {root.dtype}."
        )
    if graph:
        return seed
    return fit(seed._array, array.shape, array.dtype)


def _deposit(leaf: Tensor, g: Any, owned: bool, graph: bool) -> None:
    """Adds `g` to `leaf.grad`, which never shares memory with anything else."""
    if leaf._hooks is not None:
        g, owned = pass_before(leaf, g), False  # a hook may have kept it
    if graph:
        leaf._grad = TENSORS.clone(g) if leaf._grad is None else leaf._grad + g
    elif leaf._grad is None:
        leaf._grad = wrap(g if owned and g.flags.c_contiguous else g.copy())
    else:
        leaf._grad._array += g
        leaf._grad._cell[0] += 1
    if leaf._hooks is not None:
        for hook in list(leaf._hooks.after.values()):
            hook((), (g if isinstance(g, Tensor) else wrap(g),))
        for hook in list(leaf._hooks.accumulated.values()):
            _check_nothing(hook(leaf))


def _check_nothing(returned: Any) -> None:
    if returned is not None:
        raise TypeError(f"expected Variable, but hook returned '{type(returned).__name__}'")
