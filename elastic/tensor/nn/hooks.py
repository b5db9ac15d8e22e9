"""Hooks of modules: how they are registered, and the slow way to call a module that has some."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from elastic.tensor import Tensor
from elastic.tensor._autograd import Removable
from elastic.tensor.autograd import Function

if TYPE_CHECKING:
    from elastic.tensor.nn.module import Module


class Hook(NamedTuple):
    """A user's function and when to call it: forward_pre, forward, backward_pre or backward."""

    kind: str
    function: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


EVERYWHERE: OrderedDict[int, Hook] = OrderedDict()  # hooks of all modules
ON_REGISTRATION: OrderedDict[int, Hook] = OrderedDict()  # parameter, buffer or module


def add(hooks: OrderedDict[int, Any], hook: Any, prepend: bool = False) -> Removable:
    """Return the handle of a hook after placing it last, or first."""
    handle = Removable(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


class Hooked:
    """The part of Module that registers hooks. Each method returns a handle with `remove()`."""

    _hooks: OrderedDict[int, Hook]
    _state_hooks: OrderedDict[int, Hook]

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> Removable:
        """Call `hook(module, args)` before forward; what it returns, if any, are the new args."""
        return add(self._hooks, Hook("forward_pre", hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> Removable:
        """Call `hook(module, args, output)` after forward; its result replaces the output."""
        return add(self._hooks, Hook("forward", hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> Removable:
        """Call `hook(module, grad_output)` when the gradients of the outputs are known."""
        return add(self._hooks, Hook("backward_pre", hook), prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> Removable:
        """Call `hook(module, grad_input, grad_output)`; its result replaces grad_input."""
        self._refuse_other("backward_of_node")
        return add(self._hooks, Hook("backward", hook), prepend)

    def register_backward_hook(self, hook: Callable) -> Removable:
        """Call `hook(module, grad_input, grad_output)` with the gradients of the last node alone.

        `register_full_backward_hook` replaced it.
        """
        self._refuse_other("backward")
        return add(self._hooks, Hook("backward_of_node", hook))

    def _refuse_other(self, kind: str) -> None:
        if any(hook.kind == kind for hook in self._hooks.values()):
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single "
                "Module. Please use only one of them."
            )

    def register_state_dict_pre_hook(self, hook: Callable) -> Removable:
        """Call `hook(module, prefix, keep_vars)` before `state_dict` of the module is made."""
        return add(self._state_hooks, Hook("save_pre", hook))

    def register_state_dict_post_hook(self, hook: Callable) -> Removable:
        """Call `hook(module, state_dict, prefix, local_metadata)` after it, to change it there."""
        return add(self._state_hooks, Hook("save_post", hook))

    def _register_state_dict_hook(self, hook: Callable) -> Removable:
        """As `register_state_dict_post_hook`; what the hook returns replaces the state_dict."""
        return add(self._state_hooks, Hook("save", hook))

    def register_load_state_dict_pre_hook(self, hook: Callable) -> Removable:
        """Call `hook(module, state_dict, prefix, ...)` before the module itself is loaded."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> Removable:
        kind = "load_pre_of_module" if with_module else "load_pre"
        return add(self._state_hooks, Hook(kind, hook))

    def register_load_state_dict_post_hook(self, hook: Callable) -> Removable:
        """Call `hook(module, incompatible_keys)` after the module and its children are loaded."""
        return add(self._state_hooks, Hook("load_post", hook))


def register_module_forward_pre_hook(hook: Callable) -> Removable:
    """Call `hook(module, args)` before forward of every module."""
    return add(EVERYWHERE, Hook("forward_pre", hook))


def register_module_forward_hook(
    hook: Callable, *, with_kwargs: bool = False, always_call: bool = False
) -> Removable:
    """Call `hook(module, args, output)` after forward of every module."""
    return add(EVERYWHERE, Hook("forward", hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Callable) -> Removable:
    """Call `hook(module, grad_output)` for every module."""
    return add(EVERYWHERE, Hook("backward_pre", hook))


def register_module_full_backward_hook(hook: Callable) -> Removable:
    """Call `hook(module, grad_input, grad_output)` for every module."""
    return add(EVERYWHERE, Hook("backward", hook))


def register_module_parameter_registration_hook(hook: Callable) -> Removable:
    """Call `hook(module, name, parameter)` when one is registered; its result replaces it."""
    return add(ON_REGISTRATION, Hook("parameter", hook))


def register_module_buffer_registration_hook(hook: Callable) -> Removable:
    """Call `hook(module, name, buffer)` when one is registered; its result replaces it."""
    return add(ON_REGISTRATION, Hook("buffer", hook))


def register_module_module_registration_hook(hook: Callable) -> Removable:
    """Call `hook(module, name, child)` when one is registered; its result replaces it."""
    return add(ON_REGISTRATION, Hook("module", hook))


def registered(module: Module, kind: str, name: str, value: Any) -> Any:
    """Return what the hooks of registration make of `value`."""
    for hook in ON_REGISTRATION.values():
        if hook.kind == kind:
            replaced = hook.function(module, name, value)
            value = value if replaced is None else replaced
    return value


def _all(module: Module) -> list[Hook]:
    return [*EVERYWHERE.values(), *module._hooks.values()]


def call(module: Module, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Return the output of a module that has hooks."""
    pending = [hook for hook in _all(module) if hook.kind == "forward"]
    try:
        return _call(module, args, kwargs, pending)
    except Exception:
        _call_the_rest(module, args, kwargs, pending)
        raise


def _call(module: Module, args: tuple, kwargs: dict[str, Any], pending: list[Hook]) -> Any:
    args, kwargs = _before(module, args, kwargs)
    watch = _Watch.of(module)
    if watch:
        args = watch.inputs(args)
    output = module.forward(*args, **kwargs)
    while pending:
        hook = pending.pop(0)
        replaced = _call_forward_hook(hook, module, args, kwargs, output)
        output = output if replaced is None else replaced
    for hook in module._hooks.values():
        if hook.kind == "backward_of_node":
            _watch_node(module, hook.function, output)
    return watch.outputs(output) if watch else output


def _watch_node(module: Module, function: Callable, output: Any) -> None:
    """Calls `function` with the gradients of the node that made the first tensor of `output`."""
    while not isinstance(output, Tensor):
        output = next(iter(output.values() if isinstance(output, dict) else output))
    if output.grad_fn is not None:
        output.grad_fn.register_hook(lambda given, out: function(module, given, out))


def _before(module: Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    for hook in [h for h in _all(module) if h.kind == "forward_pre"]:
        if hook.with_kwargs:
            args, kwargs = _checked_pair(hook.function(module, args, kwargs), args, kwargs)
        else:
            replaced = hook.function(module, args)
            if replaced is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
    return args, kwargs


def _checked_pair(result: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
    if result is None:
        return args, kwargs
    if isinstance(result, tuple) and len(result) == 2:
        return result
    raise RuntimeError(
        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {result}."
    )


def _call_forward_hook(
    hook: Hook, module: Module, args: tuple, kwargs: dict[str, Any], output: Any
) -> Any:
    if hook.with_kwargs:
        return hook.function(module, args, kwargs, output)
    return hook.function(module, args, output)


def _call_the_rest(
    module: Module, args: tuple, kwargs: dict[str, Any], pending: list[Hook]
) -> None:
    """Call the hooks that asked to be called even when forward fails; their output is None."""
    for hook in pending:
        if hook.always_call:
            try:
                _call_forward_hook(hook, module, args, kwargs, None)
            except Exception as error:  # noqa: BLE001  the error of forward is the one to tell
                warnings.warn(
                    "module forward hook with ``always_call=True`` raised an exception "
                    f"that was silenced as another error was raised in forward: {error}",
                    stacklevel=2,
                )


class _Gate(Function):
    """The identity; `watch` sees, and may replace, the gradients of all its tensors at once."""

    @staticmethod
    def forward(ctx: Any, watch: Callable[[tuple], tuple], *tensors: Tensor) -> tuple:
        ctx.watch = watch
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple:
        return None, *ctx.watch(grads)


class _Watch:
    """The backward hooks during one call: gates at the inputs and outputs of a module."""

    def __init__(self, module: Module, before: list[Callable], after: list[Callable]):
        self.module, self.before, self.after = module, before, after
        self.n_inputs = 0
        self.reaches_inputs = False
        self.grad_output: tuple | None = None

    @classmethod
    def of(cls, module: Module) -> _Watch | None:
        hooks = _all(module)
        before = [hook.function for hook in hooks if hook.kind == "backward_pre"]
        after = [hook.function for hook in hooks if hook.kind == "backward"]
        return cls(module, before, after) if before or after else None

    def inputs(self, args: tuple) -> tuple:
        self.n_inputs = len(args)
        places = _tensor_places(args)
        self.reaches_inputs = any(args[i].requires_grad for i in places)
        if not self.reaches_inputs:
            return args
        return _gated(args, places, lambda grads: self._at_inputs(grads, places))

    def outputs(self, output: Any) -> Any:
        values = output if isinstance(output, tuple) else (output,)
        places = _tensor_places(values)
        if not any(values[i].requires_grad for i in places):
            return output
        gated = _gated(values, places, lambda grads: self._at_outputs(grads, places, len(values)))
        return gated if isinstance(output, tuple) else gated[0]

    def _at_outputs(self, grads: tuple, places: list[int], count: int) -> tuple:
        grad_output = _spread(grads, places, count)
        for hook in self.before:
            grad_output = _replaced(hook(self.module, grad_output), grad_output, "grad_output")
        self.grad_output = grad_output
        if not self.reaches_inputs:
            nothing = (None,) * self.n_inputs
            for hook in self.after:
                hook(self.module, nothing, grad_output)
        return tuple(grad_output[i] for i in places)

    def _at_inputs(self, grads: tuple, places: list[int]) -> tuple:
        grad_input = _spread(grads, places, self.n_inputs)
        for hook in self.after:
            result = hook(self.module, grad_input, self.grad_output)
            grad_input = _replaced(result, grad_input, "grad_input")
        self.grad_output = None
        return tuple(grad_input[i] for i in places)


def _tensor_places(values: tuple) -> list[int]:
    return [i for i, value in enumerate(values) if isinstance(value, Tensor)]


def _gated(values: tuple, places: list[int], watch: Callable[[tuple], tuple]) -> tuple:
    passed = list(values)
    for i, tensor in zip(places, _Gate.apply(watch, *(values[i] for i in places)), strict=True):
        passed[i] = tensor
    return tuple(passed)


def _spread(grads: tuple, places: list[int], count: int) -> tuple:
    """Return the gradients at their places among `count`, None elsewhere."""
    spread: list[Any] = [None] * count
    for i, grad in zip(places, grads, strict=True):
        spread[i] = grad
    return tuple(spread)


def _replaced(result: Any, grads: tuple, what: str) -> tuple:
    if result is None:
        return grads
    result = result if isinstance(result, tuple) else (result,)
    if len(result) != len(grads):
        raise RuntimeError(
            f"Backward hook returned an invalid number of {what}, "
            f"got {len(result)}, but expected {len(grads)}"
        )
    return result
