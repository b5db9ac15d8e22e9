"""What users ask to be called, or kept, when backward passes a node or a leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import numpy as np

from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor.dtypes import FROM_NUMPY

# Whether any leaf of this process ever got a hook: only then does backward count the uses of leaves
leaves = {"hooked": False}


class Hooks:
    """The hooks of one node or leaf, each kind in the order of registration."""

    def __init__(self) -> None:
        self.before: dict[int, Callable] = {}  # (grad) of the output or leaf; may replace it
        self.entry: dict[int, Callable] = {}  # (grad_outputs) of the node; may replace them
        self.after: dict[int, Callable] = {}  # (grad_inputs, grad_outputs); may replace the first
        self.accumulated: dict[int, Callable] = {}  # (leaf), when its `.grad` is complete
        self.keeper: Callable[[], Tensor | None] = lambda: None  # retain_grad's tensor, weakly
        self.metadata: dict = {}


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


def hooks_of(place: Any) -> Hooks:
    """The hooks of a node or a leaf, made when first asked for."""
    is_leaf = isinstance(place, Tensor)
    attribute = "_hooks" if is_leaf else "hooks"
    found = getattr(place, attribute)
    if found is None:
        found = Hooks()
        setattr(place, attribute, found)
        leaves["hooked"] |= is_leaf
    return found


def pass_before(place: Any, g: Any) -> Any:
    """`g` after the hooks on it; `retain_grad` keeps what they leave."""
    is_leaf = isinstance(place, Tensor)
    hooks = place._hooks if is_leaf else place.hooks
    for hook in list(hooks.before.values()):
        given = _as_tensor(g)
        replaced = hook(given)
        if replaced is not None:
            _check_replacement(hook, given, replaced)
            g = _like(g, replaced)
    keeper = hooks.keeper()
    if keeper is not None and not is_leaf:
        kept = g if isinstance(g, Tensor) else wrap(g.copy())
        keeper._grad = kept if keeper._grad is None else keeper._grad + kept
    for hook in list(hooks.entry.values()):
        g = _entered(hook, g)
    return g


def _entered(hook: Callable, g: Any) -> Any:
    """`g`, the gradient of a node's output or a dict of them, after a pre-hook of the node."""
    replaced = hook(_outgoing(g))
    if replaced is None:
        return g
    replaced = (replaced,) if isinstance(replaced, Tensor) else tuple(replaced)
    if isinstance(g, dict):
        return {k: _like(part, r) for (k, part), r in zip(sorted(g.items()), replaced, strict=True)}
    return _like(g, replaced[0])


def pass_after(node: Any, results: Iterable, g: Any) -> list:
    """The gradients of a node's inputs after its hooks, which may replace them."""
    results = [*results, *[None] * node.omitted]
    for hook in list(node.hooks.after.values()):
        given = tuple(r if r is None else _as_tensor(r) for r in results)
        replaced = hook(given, _outgoing(g))
        if replaced is not None:
            replaced = (replaced,) if isinstance(replaced, Tensor) else replaced
            results = [None if r is None else _like(g, r) for r in replaced]
    return results


def _like(g: Any, replaced: Tensor) -> Any:
    """A hook's tensor in the form of `g`; a view, since whoever collects it must not write it."""
    return replaced if isinstance(g, Tensor) else replaced._array.view()


def _as_tensor(g: Any) -> Tensor:
    return g if isinstance(g, Tensor) else wrap(np.asarray(g) if isinstance(g, np.generic) else g)


def _outgoing(g: Any) -> tuple:
    """What came out of a node's outputs, as tensors."""
    parts = [g[k] for k in sorted(g)] if isinstance(g, dict) else [g]
    return tuple(_as_tensor(each) for each in parts)


def _check_replacement(hook: Callable, given: Tensor, replaced: Any) -> None:
    if not isinstance(replaced, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(replaced).__name__}'")
    name = getattr(hook, "__name__", type(hook).__name__)
    if replaced._array.dtype != given._array.dtype:
        kinds = [f"torch.{FROM_NUMPY[t._array.dtype].title}Tensor" for t in (given, replaced)]
        raise RuntimeError(
            f"hook '{name}' has changed the type of value (was {kinds[0]} got {kinds[1]})"
        )
    if replaced._array.shape != given._array.shape:
        raise RuntimeError(f"hook '{name}' has changed the size of value")
