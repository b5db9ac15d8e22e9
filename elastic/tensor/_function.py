"""Custom functions: a user's own forward and backward as one node of the graph."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from elastic.tensor import _saved_hooks, backend, dtypes
from elastic.tensor._autograd import (
    SECOND_TIME,
    GraphNode,
    Output,
    attached,
    clobbered,
    edge_of,
    next_order,
)
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
        for k, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {k} is of type "
                    f"{type(t).__name__}"
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors for `jvp`, which is not called: forward mode goes through backward."""

    @property
    def saved_tensors(self) -> tuple:
        """What `save_for_backward` kept. Raises: RuntimeError when it was changed or freed."""
        if self._saved is None:
            raise RuntimeError(SECOND_TIME)
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

    __slots__ = ("array", "cell", "number", "packed", "tensor", "version")

    def __init__(self, tensor: Tensor | None, outputs: tuple):
        numbers = [k for k, out in enumerate(outputs) if out is tensor]
        self.packed = None
        self.number = numbers[0] if numbers and tensor is not None else None
        self.tensor = None if self.number is not None else tensor
        self.array = None if tensor is None else tensor._array
        self.cell = None if tensor is None else tensor._cell
        self.version = 0 if tensor is None else tensor._cell[0]
        if tensor is not None and _saved_hooks.stack.hooks:
            given = tensor if self.number is None else wrap(tensor._array)
            self.packed = _saved_hooks.Packed(given, *_saved_hooks.stack.hooks[-1])
            self.tensor = self.array = None

    def unpack(self, node: FunctionNode) -> Tensor | None:
        """The tensor again, as part of the graph."""
        if self.cell is None:
            return None
        if self.packed is not None:
            return self.packed.tensor()
        if self.cell[0] != self.version:
            maker = node if self.tensor is None else edge_of(self.tensor)
            raise RuntimeError(clobbered(self.array, maker, self.cell[0], self.version))
        if self.number is None or node is None:
            return self.tensor if self.number is None else wrap(self.array)
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
        self.count: list = []  # (shape, dtype, module) of each output; None where it is no tensor
        self._order = next_order()

    def gradients(self, g: Any, edges: tuple, keep: bool) -> list:
        """The gradients that the user's backward gives, one an input."""
        self.ctx._node = self  # only now: a lasting reference would be a cycle
        try:
            results = _backward_of(self.function)(self.ctx, *self._given(g))
        finally:
            self.ctx._node = None
        if not keep and self.ctx._saved:
            self.ctx._saved = None
        results = results if isinstance(results, (tuple, list)) else (results,)
        wanted = len(self.edges)
        if len(results) < wanted or any(r is not None for r in results[wanted:]):
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients "
                f"(expected {wanted}, got {len(results)})"
            )
        return [self._raw(k, r, edges[k]) for k, r in enumerate(results[:wanted])]

    def _given(self, g: Any) -> list:
        parts = g if isinstance(g, dict) else {self._only(): g}
        given = []
        for k, output in enumerate(self.count):
            part = parts.get(k)
            if part is None and output is not None and self.ctx._materialize:
                shape, dtype, xp = output
                part = xp.zeros(shape, dtype)
            given.append(part if part is None or isinstance(part, Tensor) else wrap(part))
        return given

    def _only(self) -> int:
        return next(k for k, output in enumerate(self.count) if output is not None)

    def _raw(self, k: int, result: Any, edge: Any) -> Any:
        """One gradient as the walk wants it."""
        if result is None:
            return None
        if not isinstance(result, Tensor):
            raise RuntimeError(f"expected Variable or None (got {type(result).__name__})")
        fit = self.fits[k]
        if fit is None:
            raise RuntimeError(
                f"function {self.name()} returned a gradient different than None at position "
                f"{k + 1}, but the corresponding forward input was not a Variable"
            )
        if edge is None:
            return None
        if not _sums_to(tuple(result.shape), fit[0]):
            raise RuntimeError(
                f"Function {self.name()} returned an invalid gradient at index {k} - got "
                f"{list(result.shape)} but expected shape compatible with {list(fit[0])}"
            )
        # a view: whoever collects it must not write into it
        return result if mode.enabled else result._array.view()

    def edge_of_output(self, number: int) -> Any:
        """The edge of output `number`: the node itself when there is one output."""
        tensors = [output for output in self.count if output is not None]
        return self if len(tensors) == 1 else Output(self, number)

    def name(self) -> str:
        """The name that users see."""
        return self.function.__name__ + "Backward"

    def __getattr__(self, name: str) -> Any:
        # In PyTorch the node and `ctx` are one object.
        if name.startswith("__") or name == "ctx":
            raise AttributeError(name)
        return getattr(self.ctx, name)

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.name()} object at {id(self):#x}>"


def _sums_to(shape: tuple, target: tuple) -> bool:
    """Whether a gradient of `shape` can be summed to `target`, as after broadcasting."""
    if shape == target:
        return True
    tail = shape[len(shape) - len(target) :] if target else ()
    return len(shape) >= len(target) and all(
        n in (m, 1) or m == 1 for m, n in zip(target, tail, strict=True)
    )


def _backward_of(function: Any) -> Callable:
    """The rule of a Function: its `backward`, or its `vjp`."""
    own, other = function.backward, function.vjp
    if own is Function.backward:
        return other
    if other is not Function.vjp:
        raise RuntimeError(
            "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You "
            "should only implement one of them."
        )
    return own


class Function:
    """The base of custom functions: give it static methods `forward` and `backward`.

    `forward(ctx, *args)` computes with tensors; `backward(ctx, *grad_outputs)` returns one gradient
    an argument (None where there is none). Use it as `MyFunction.apply(*args)`. With a
    `setup_context(ctx, inputs, output)`, `forward` gets no `ctx`. A `jvp` is not needed: forward
    mode goes through `backward` twice.
    """

    generate_vmap_rule = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises: RuntimeError: functions are applied by their class."""
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use "
            "new-style autograd function with static forward method. (Example: "
            "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """What the function computes."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments."""
        raise NotImplementedError(_NO_BACKWARD)

    @staticmethod
    def vjp(ctx: Any, *grad_outputs: Any) -> Any:
        """Another name of `backward`."""
        raise NotImplementedError(_NO_BACKWARD)

    setup_context: Any = None  # setup_context(ctx, inputs, output), for a forward without ctx

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """The outputs of forward, as one node of the graph."""
        if kwargs:
            args, kwargs = _positional(cls, args, kwargs), {}
        needs = tuple(isinstance(a, Tensor) and requires(a) for a in args)
        ctx = Context(needs)
        recorded = mode.enabled and any(needs)
        with no_grad():
            if cls.setup_context is None:
                outputs = cls.forward(ctx, *args)
            else:
                outputs = cls.forward(*args)
                cls.setup_context(ctx, args, outputs)
        several = isinstance(outputs, tuple)
        made = _attach(cls, ctx, args, outputs if several else (outputs,), recorded)
        return made if several else made[0]


_NO_BACKWARD = (
    "You must implement either the backward or vjp method for your custom autograd.Function to use "
    "it with backward mode AD."
)


def _positional(cls: type[Function], args: tuple, kwargs: dict) -> tuple:
    """All arguments by position: backward returns one gradient for each."""
    own = (None,) if cls.setup_context is None else ()
    bound = inspect.signature(cls.forward).bind(*own, *args, **kwargs)
    bound.apply_defaults()
    return bound.args[len(own) :]


def _attach(cls: type, ctx: Context, args: tuple, outputs: tuple, recorded: bool) -> tuple:
    """`outputs` as tensors of the graph, with the saved ones in `ctx`."""
    if not all(_among(t, outputs) for t in ctx._dirty):
        raise RuntimeError(
            "Some elements marked as dirty during the forward method were not returned as output. "
            "The inputs that are modified inplace must all be outputs of the Function."
        )
    outputs = tuple(_own(out, args, ctx) for out in outputs)
    ctx._saved = [_Saved(t, outputs) for t in ctx._to_save] if recorded else []
    ctx._to_save = ()
    if not recorded:
        return outputs
    node = FunctionNode(cls, ctx, args)
    node.count = [
        (t._array.shape, t._array.dtype, backend.xp_of(t._array)) if isinstance(t, Tensor) else None
        for t in outputs
    ]
    for k, t in enumerate(outputs):
        if isinstance(t, Tensor) and _differentiable(t, ctx):
            _join(t, node.edge_of_output(k), ctx)
    ctx._plain = ctx._dirty = ()
    return outputs


def _own(out: Any, args: tuple, ctx: Context) -> Any:
    """An input that comes back unchanged becomes a view of itself: a tensor has one history."""
    if isinstance(out, Tensor) and _among(out, args) and not _among(out, ctx._dirty):
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


class _Twice(Function):
    """Stands for gradients that cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, mark: Tensor, *gradients: Any) -> tuple:
        return tuple(t if t is None else t.detach() for t in gradients)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


def once_differentiable(backward: Callable) -> Callable:
    """`backward`, whose result cannot be differentiated again: to try is an error."""

    @functools.wraps(backward)
    def once(ctx: Any, *grad_outputs: Any) -> Any:
        with no_grad():
            results = backward(ctx, *grad_outputs)
        given = any(isinstance(g, Tensor) and requires(g) for g in grad_outputs)
        if not mode.enabled or not given:
            return results
        parts = results if isinstance(results, tuple) else (results,)
        mark = wrap(backend.xp_of(grad_outputs[0]._array).zeros(())).requires_grad_()
        made = _Twice.apply(mark, *parts)
        return made if isinstance(results, tuple) else made[0]

    return once
