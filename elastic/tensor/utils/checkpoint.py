"""Activation checkpointing: what a part of the model saves for backward is computed again instead.

The usual form hooks into what the graph saves: a placeholder is kept for each tensor, and the first
that backward asks for runs the function again. The reentrant form is a custom Function that runs
backward inside backward.
"""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor, _engine
from elastic.tensor.autograd.graph import saved_tensors_hooks

__all__ = ["CheckpointError", "checkpoint", "checkpoint_sequential", "noop_context_fn"]
__all__ += ["set_checkpoint_early_stop"]


class CheckpointError(RuntimeError):
    """The second run of a function was not like the first."""


def noop_context_fn() -> tuple:
    """Two contexts that do nothing."""
    return nullcontext(), nullcontext()


class _EarlyStop(threading.local):
    forced: bool | None = None


_early_stop = _EarlyStop()


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Any:
    """Inside, all checkpoints stop (or do not stop) computing again when nothing more is needed."""
    before, _early_stop.forced = _early_stop.forced, enable
    try:
        yield
    finally:
        _early_stop.forced = before


_NOT_SAID = (
    "the use_reentrant parameter should be passed explicitly. {} use_reentrant=False is "
    "recommended, but if you need to preserve the current default behavior, you can pass "
    "use_reentrant=True. Refer to docs for more details on the differences between the two "
    "variants."
)


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, whose intermediate results are computed again in backward.

    `preserve_rng_state` lets the second run draw the same random numbers. `context_fn` gives the
    contexts of the two runs. The second run ends early when all is there (`early_stop`), and
    `determinism_check="none"` leaves unchecked whether it computes the same forms. `debug` is
    accepted.

    Raises: CheckpointError in backward when the second run differs.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: "
            + _NOT_SAID.format(
                "Starting in PyTorch 2.9, calling checkpoint without use_reentrant will raise an "
                "exception."
            ),
            stacklevel=2,
        )
        use_reentrant = True
    if not use_reentrant:
        stop = early_stop if _early_stop.forced is None else _early_stop.forced
        frame = _Frame(function, args, kwargs, (preserve_rng_state, determinism_check, stop))
        first, frame.context = context_fn()
        with first, saved_tensors_hooks(frame.pack, frame.unpack):
            return function(*args, **kwargs)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if context_fn is not noop_context_fn or debug:
        raise ValueError(
            "Passing `context_fn` or `debug` is only supported when use_reentrant=False."
        )
    return _Reentrant.apply(function, preserve_rng_state, *args)


class _Holder:
    """What the graph keeps in place of a tensor."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int):
        self.number = number


class _Complete(Exception):
    """All that is needed has been computed again."""


class _Frame:
    """One call of `checkpoint`: what its function saved, and how to run it again."""

    def __init__(self, function: Callable, args: tuple, kwargs: dict, settings: tuple):
        self.call = function, args, kwargs
        self.preserve_rng_state, self.determinism_check, self.early_stop = settings
        self.context: Any = nullcontext()
        self.state = torch.get_rng_state() if self.preserve_rng_state else None
        self.holders: list[weakref.ref[_Holder]] = []
        self.forms: list[dict] = []
        self.again: dict[int, Tensor] = {}

    def pack(self, t: Tensor) -> _Holder:
        """A placeholder for `t`."""
        holder = _Holder(len(self.holders))
        self.holders.append(weakref.ref(holder))
        self.forms.append(_form(t))
        return holder

    def unpack(self, holder: _Holder) -> Tensor:
        """The tensor that `holder` stands for."""
        if holder.number not in self.again:
            try:
                self._run_again()
            except BaseException:
                self.again.clear()
                raise
        return self.again.pop(holder.number)

    def _run_again(self) -> None:
        function, args, kwargs = self.call
        args = tuple(_detached(each) for each in args)
        kwargs = {name: _detached(each) for name, each in kwargs.items()}
        self.again.clear()
        self.count = 0
        keeping = torch.random.fork_rng(devices=[]) if self.state is not None else nullcontext()
        with keeping, self.context, torch.enable_grad():
            if self.state is not None:
                torch.set_rng_state(self.state)
            try:
                with saved_tensors_hooks(self._keep, lambda t: t):
                    function(*args, **kwargs)
            except _Complete:
                pass
        self._check()

    def _keep(self, t: Tensor) -> Tensor:
        number, self.count = self.count, self.count + 1
        if number >= len(self.holders):
            raise CheckpointError(
                "torch.utils.checkpoint: trying to save more tensors during recomputation than "
                f"during the original forward pass.\n{_TIP}"
            )
        if self.holders[number]() is not None:
            self.again[number] = t.detach()
        if self.early_stop and self.count == len(self.holders):
            raise _Complete
        return t

    def _check(self) -> None:
        if self.count != len(self.holders):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the "
                "original forward and recomputation.\nNumber of tensors saved during forward: "
                f"{len(self.holders)}\nNumber of tensors saved during recomputation: "
                f"{self.count}.\n{_TIP}"
            )
        if self.determinism_check == "none":
            return
        told = [
            f"tensor at position {k}:\nsaved metadata: {self.forms[k]}\n"
            f"recomputed metadata: {_form(t)}"
            for k, t in sorted(self.again.items())
            if self.forms[k] != _form(t)
        ]
        if told:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have "
                "different metadata than during the forward pass.\n"
                + "\n".join(told)
                + f".\n{_TIP}"
            )


_TIP = """
Tip: To see a more detailed error message, either pass `debug=True` to
`torch.utils.checkpoint.checkpoint(...)` or wrap the code block
with `with torch.utils.checkpoint.set_checkpoint_debug_enabled(True):` to
enable checkpoint-debug mode globally.
"""


def _form(t: Tensor) -> dict:
    return {"shape": t.shape, "dtype": t.dtype, "device": t.device}


def _detached(value: Any) -> Any:
    """A tensor on the same memory that begins a graph of its own."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().requires_grad_(value.requires_grad)


class _Reentrant(torch.autograd.Function):
    """The form that runs backward inside backward."""

    @staticmethod
    def forward(ctx: Any, run_function: Callable, preserve: bool, *args: Any) -> Any:
        if not any(isinstance(each, Tensor) and each.requires_grad for each in args):
            warnings.warn(
                "None of the inputs have requires_grad=True. Gradients will be None", stacklevel=4
            )
        ctx.run_function = run_function
        ctx.state = torch.get_rng_state() if preserve else None
        ctx.places = [k for k, each in enumerate(args) if isinstance(each, Tensor)]
        ctx.others = [None if isinstance(each, Tensor) else each for each in args]
        ctx.save_for_backward(*[args[k] for k in ctx.places])
        return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if _engine.running.restricted:
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or "
                "passing an `inputs` parameter to .backward(). To resolve this error, you can "
                "either set use_reentrant=False, or call .backward() without passing the `inputs` "
                "argument."
            )
        args = list(ctx.others)
        for k, t in zip(ctx.places, ctx.saved_tensors, strict=True):
            args[k] = _detached(t)
        keeping = torch.random.fork_rng(devices=[]) if ctx.state is not None else nullcontext()
        with keeping, torch.enable_grad():
            if ctx.state is not None:
                torch.set_rng_state(ctx.state)
            outputs = ctx.run_function(*args)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        pairs = [
            (out, g)
            for out, g in zip(outputs, grads, strict=True)
            if isinstance(out, Tensor) and out.requires_grad
        ]
        if not pairs:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        torch.autograd.backward([out for out, _ in pairs], [g for _, g in pairs])
        return None, None, *[each.grad if isinstance(each, Tensor) else None for each in args]


def checkpoint_sequential(
    functions: Any,
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """`input` through all `functions`, in `segments` of which all but the last are checkpoints."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: "
            + _NOT_SAID.format(
                "In version 2.9 we will raise an exception if use_reentrant is not passed."
            ),
            stacklevel=2,
        )
        use_reentrant = True
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    functions = list(functions)
    size = len(functions) // segments
    last = size * (segments - 1)
    for start in range(0, last, size):
        part = _chain(functions[start : start + size])
        input = checkpoint(
            part, input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state
        )
    return _chain(functions[last:])(input)


def _chain(functions: Sequence[Callable]) -> Callable:
    def run(value: Any) -> Any:
        for function in functions:
            value = function(value)
        return value

    return run
