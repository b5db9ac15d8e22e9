"""Custom functions: a user's own forward and backward as one node of the graph."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from elastic.tensor import dtypes
from elastic.tensor._autograd import GraphNode, Output, attached, edge_of, next_order
from elastic.tensor._grad_mode import mode, no_grad
from elastic.tensor._inplace import check_history, rebase
from elastic.tensor._registry import TENSORS
from elastic.tensor._tensor import Tensor, requires, wrap


class Context:
    """The `ctx` of a custom Function: what forward leaves for backward."""

    def __init__(self, needs_input_grad: tuple[bool, ...]):
        self.needs_input_grad = needs_input_grad
        self._to_save: tuple = ()
        self._saved: list[_Saved] | None = []
        self._dirty: tuple = ()
        self._plain: tuple = ()
        self._materialize = True
        self._node: Any = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors for backward, where `saved_tensors` gives them back."""
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple:
        """What `save_for_backward` kept. Raises: RuntimeError when it was changed or freed."""
        if self._saved is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved "
                "tensors after they have already been freed). Specify retain_graph=True if you "
                "need to backward through the graph a second time."
            )
        return tuple(each.unpack(self._node) for each in self._saved)

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Tells that forward changed these inputs in place; it has to return them."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Tells that these outputs have no gradient."""
        self._plain = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (or None) for outputs that nothing used."""
        self._materialize = value


class _Saved:
    """One saved tensor. An output is kept as its array: the node must not refer to its output."""

    __slots__ = ("array", "cell", "number", "tensor", "version")

    def __init__(self, tensor: Tensor | None, outputs: tuple):
        numbers = [k for k, out in enumerate(outputs) if out is tensor]
        self.number = numbers[0] if numbers and tensor is not None else None
        self.tensor = None if self.number is not None else tensor
        self.array = None if tensor is None else tensor._array
        self.cell = None if tensor is None else tensor._cell
        self.version = 0 if tensor is None else tensor._cell[0]

    def unpack(self, node: FunctionNode) -> Tensor | None:
        """The tensor again, as part of the graph."""
        if self.cell is None:
            return None
        if self.cell[0] != self.version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: it is at version {self.cell[0]}; expected version "
                f"{self.version} instead."
            )
        if self.number is None:
            return self.tensor
        return attached(self.array, node.edge_of_output(self.number))


class FunctionNode(GraphNode):
    """One application of a custom Function: `grad_fn` of its outputs."""

    __slots__ = ("__weakref__", "_order", "count", "ctx", "edges", "fits", "function", "hooks")

    def __init__(self, function: type, ctx: Context, inputs: tuple):
        self.function, self.ctx = function, ctx
        self.edges = tuple(edge_of(t) if isinstance(t, Tensor) else None for t in inputs)
        self.fits = tuple(
            (t._array.shape, t._array.dtype) if isinstance(t, Tensor) else None for t in inputs
        )
        self.hooks = None
        self.count: list = []  # (shape, dtype) of each output
        self._order = next_order()

    def gradients(self, g: Any, edges: tuple) -> list:
        """The gradients that the user's backward gives, one an input."""
        self.ctx._node = self  # only now: a lasting reference would be a cycle
        try:
            results = self.function.backward(self.ctx, *self._given(g))  # type: ignore[attr-defined]
        finally:
            self.ctx._node = None
        results = results if isinstance(results, tuple) else (results,)
        if len(results) < len(self.edges):
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients "
                f"(expected {len(self.edges)}, got {len(results)})"
            )
        return [self._raw(r) if edge is not None else None for r, edge in zip(results, edges)]  # noqa: B905

    def _given(self, g: Any) -> list:
        parts = g if isinstance(g, dict) else {0: g}
        given = []
        for k, (shape, dtype, xp) in enumerate(self.count):
            part = parts.get(k)
            if part is None and self.ctx._materialize:
                part = xp.zeros(shape, dtype)
            given.append(part if part is None or isinstance(part, Tensor) else wrap(part))
        return given

    def _raw(self, result: Tensor | None) -> Any:
        if result is None or mode.enabled:
            return result
        return result._array.view()  # a view: whoever collects it must not write into it

    def edge_of_output(self, number: int) -> Any:
        """The edge of output `number`: the node itself when there is one output."""
        return self if len(self.count) == 1 else Output(self, number)

    def release(self) -> None:
        """Frees the saved tensors."""
        if self.ctx._saved:
            self.ctx._saved = None

    def name(self) -> str:
        """The name that users see."""
        return self.function.__name__ + "Backward"

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.name()} object at {id(self):#x}>"


class Function:
    """The base of custom functions: give it static methods `forward` and `backward`.

    `forward(ctx, *args)` computes with tensors; `backward(ctx, *grad_outputs)` returns one gradient
    an argument (None where there is none). Use it as `MyFunction.apply(*args)`.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """What the function computes."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    setup_context: Any = None  # setup_context(ctx, inputs, output), for a forward without ctx

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """The outputs of forward, as one node of the graph."""
        needs = tuple(isinstance(a, Tensor) and requires(a) for a in args)
        ctx = Context(needs)
        with no_grad():
            if cls.setup_context is None:
                outputs = cls.forward(ctx, *args, **kwargs)
            else:
                outputs = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, outputs)
        several = isinstance(outputs, tuple)
        recorded = mode.enabled and any(needs)
        made = _attach(cls, ctx, args, outputs if several else (outputs,), recorded)
        return made if several else made[0]


def _attach(cls: type, ctx: Context, args: tuple, outputs: tuple, recorded: bool) -> tuple:
    """`outputs` as tensors of the graph, with the saved ones in `ctx`."""
    outputs = tuple(_own(out, args, ctx) for out in outputs)
    ctx._saved = [_Saved(t, outputs) for t in ctx._to_save]
    ctx._to_save = ()
    if not recorded:
        return outputs
    node = FunctionNode(cls, ctx, args)
    tensors = [out for out in outputs if isinstance(out, Tensor)]
    node.count = [(t._array.shape, t._array.dtype, _module(t)) for t in tensors]
    for k, t in enumerate(tensors):
        if _differentiable(t, ctx):
            _join(t, node.edge_of_output(k), ctx)
    ctx._plain = ctx._dirty = ()
    return outputs


def _own(out: Any, args: tuple, ctx: Context) -> Any:
    """An input that comes back unchanged becomes a view of itself: a tensor has one history."""
    if any(out is a for a in args) and not _among(out, ctx._dirty):
        with no_grad():
            return TENSORS._alias(out).detach()
    return out


def _among(t: Any, tensors: Iterable) -> bool:
    return any(t is each for each in tensors)


def _differentiable(t: Tensor, ctx: Context) -> bool:
    return not _among(t, ctx._plain) and dtypes.rank(t.dtype) > 1


def _join(t: Tensor, edge: Any, ctx: Context) -> None:
    if _among(t, ctx._dirty):
        check_history(t)
        rebase(t, edge)
    else:
        t._node, t._requires_grad = edge, True


def _module(t: Tensor) -> Any:
    from elastic.tensor.backend import xp_of

    return xp_of(t._array)


def once_differentiable(backward: Callable) -> Callable:
    """`backward`, whose result cannot be differentiated again."""

    @functools.wraps(backward)
    def once(ctx: Any, *grad_outputs: Any) -> Any:
        with no_grad():
            return backward(ctx, *grad_outputs)

    return once
