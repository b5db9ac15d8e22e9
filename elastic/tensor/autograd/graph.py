"""The graph as users see it: its nodes, edges, and hooks on what it saves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from elastic.tensor import _saved_hooks
from elastic.tensor._autograd import GradientEdge, GraphNode, edge_of, function_of
from elastic.tensor._hooks import Removable
from elastic.tensor._tensor import Tensor

__all__ = [
    "GradientEdge",
    "Node",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


Node = GraphNode  # what every `grad_fn` is an instance of


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The place of `tensor` in the graph, for `backward` and `grad` without the tensor.

    Raises: RuntimeError when it does not require a gradient.
    """
    edge = edge_of(tensor)
    if edge is None:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require "
            "gradients"
        )
    return GradientEdge(function_of(edge), tensor.output_nr, edge)


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Counts the version up, as a write into the memory of `tensor` does."""
    tensors: Iterable[Tensor] = (tensor,) if isinstance(tensor, Tensor) else tensor
    for t in tensors:
        t._cell[0] += 1


class saved_tensors_hooks:
    """Inside, `pack_hook` gets every tensor that the graph saves and returns what is kept instead;
    `unpack_hook` makes the tensor again when backward needs it.
    """

    def __init__(self, pack_hook: Callable, unpack_hook: Callable):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        _saved_hooks.push(self.pack_hook, self.unpack_hook)

    def __exit__(self, *exc: object) -> None:
        _saved_hooks.pop()


class save_on_cpu(saved_tensors_hooks):
    """Inside, the graph keeps its tensors on the host, and brings them back when needed."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda t: (t.device, t.cpu()), lambda packed: packed[1].to(packed[0]))


class disable_saved_tensors_hooks:
    """Inside, to set hooks on saved tensors is an error that says `error_message`."""

    def __init__(self, error_message: str):
        self.error_message = error_message

    def __enter__(self) -> None:
        if _saved_hooks.stack.hooks:
            raise RuntimeError(self.error_message)
        _saved_hooks.stack.refused.append(self.error_message)

    def __exit__(self, *exc: object) -> None:
        _saved_hooks.stack.refused.pop()


class _Handles:
    """Several hooks that are removed together."""

    def __init__(self, handles: Sequence[Removable]):
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Takes the hooks away."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable, *, mode: str = "all"
) -> _Handles:
    """Calls `fn` in each backward when the gradients of `tensors` are there.

    With `mode="all"` as `fn(grads)`, None for those that the walk does not reach; with "any" as
    `fn(grad)` for the first one only. What `fn` returns is not used.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    state = _MultiGrad(len(tensors), fn, mode == "all")
    return _Handles([t.register_hook(state.hook(k)) for k, t in enumerate(tensors)])


class _MultiGrad:
    """The gradients that have come in one backward."""

    def __init__(self, count: int, fn: Callable, wants_all: bool):
        self.fn, self.wants_all, self.count = fn, wants_all, count
        self.lock = threading.Lock()
        self.came: list = []  # (k, gradient)

    def hook(self, k: int) -> Callable:
        """The hook of tensor `k`."""

        def called(g: Tensor) -> None:
            with self.lock:
                if any(seen == k for seen, _ in self.came):
                    self.came.clear()  # another backward has begun
                self.came.append((k, g))
                first, complete = len(self.came) == 1, len(self.came) == self.count
                grads: list = [None] * self.count
                for seen, each in self.came:
                    grads[seen] = each
                if complete:
                    self.came.clear()
            if self.wants_all and complete:
                self.fn(grads)
            elif not self.wants_all and first:
                self.fn(g)

        return called
