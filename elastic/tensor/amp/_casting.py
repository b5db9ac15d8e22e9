"""What autocast does to operations, and how it is switched on without a cost while it is off.

While any thread is in autocast, `apply` of the dispatch is ours, its short paths for float32 are
closed, and functions that are made of several ops are replaced by ones that cast first. When the
last thread has left, all is as before. Each thread has its own state: one that is not in autocast
computes as ever.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from elastic.tensor import Tensor, dtypes
from elastic.tensor import _dispatch as dispatch
from elastic.tensor._grad_mode import mode
from elastic.tensor._registry import F32, F64, REGISTRY, TENSORS
from elastic.tensor.amp._lists import LOWER, OWN, RULES, SAME, WIDE

__all__ = ["State", "disabled", "state", "switch"]

_plain_apply = dispatch.apply


class State(threading.local):
    """What autocast does in this thread."""

    def __init__(self) -> None:
        self.enabled = dict.fromkeys(RULES, False)
        self.dtype = {"cpu": dtypes.bfloat16, "cuda": dtypes.float16}
        self.cache_enabled = True
        self.nesting = 0
        self.cache: dict[int, tuple[Tensor, Tensor]] = {}  # casts of parameters, by their id


state = State()


def switch(device_type: str, enabled: bool) -> None:
    """Switch autocast on or off in this thread, for operations on that kind of device."""
    before = any(state.enabled.values())
    state.enabled[device_type] = enabled
    after = any(state.enabled.values())
    if before != after:
        _count(1 if after else -1)


@contextmanager
def disabled(device_type: str) -> Iterator[None]:
    """A context in which this thread computes as without autocast."""
    before = state.enabled[device_type]
    state.enabled[device_type] = False  # not `switch`: it is on again in a moment
    try:
        yield
    finally:
        state.enabled[device_type] = before


_lock = threading.Lock()
_threads = 0


def _count(change: int) -> None:
    """Note that a thread enters or leaves autocast."""
    global _threads
    with _lock:
        _threads += change
        if _threads == max(change, 0):  # the first enters, the last leaves
            _install(change > 0)


def _install(on: bool) -> None:
    closed = {"apply": _apply, "F32": None, "F64": None}
    opened = {"apply": _plain_apply, "F32": F32, "F64": F64}
    vars(dispatch).update(closed if on else opened)
    for owner, name, plain, casting in _places():
        setattr(owner, name, casting if on else plain)


@functools.cache
def _places() -> list[tuple[Any, str, Callable, Callable]]:
    """Where the functions that are to be replaced are bound: (owner, name, function, casting)."""
    functional = importlib.import_module("elastic.tensor.nn.functional")
    namespace = sys.modules["elastic.tensor"]
    casting: dict[Callable, Callable] = {}
    for name in {name for rules in RULES.values() for name in rules}:
        for owner in (namespace, functional):
            function = vars(owner).get(name)
            if callable(function) and getattr(REGISTRY.get(name), "call", None) is not function:
                casting[function] = _casting(name, function)
    owners = [m for name, m in sys.modules.items() if f"{name}.".startswith("elastic.tensor.")]
    owners = [m for m in owners if not m.__name__.startswith(__name__.rpartition(".")[0])]
    return [
        (owner, name, value, casting[value])
        for owner in (Tensor, *owners)
        for name, value in vars(owner).items()
        if callable(value) and getattr(value, "__hash__", None) and value in casting
    ]


def _apply(op: Any, args: list, out: Tensor | None = None) -> Any:
    """The result of an op on its arguments, cast as autocast wants it in this thread."""
    where = _where(args) if out is None else None
    rule = where and RULES[where].get(_public_name(op, args))
    if not where or rule not in (LOWER, WIDE):
        return _plain_apply(op, args, out)
    return _plain_apply(op, _cast(args, where, _target(where, rule)), out)


def _public_name(op: Any, args: list) -> str:
    """What PyTorch calls an op; the recurrent networks are one op of ours."""
    if op.name == "_recurrence":
        return args[op.positions["kind"]]
    return op.name.lstrip("_")


def _casting(name: str, function: Callable) -> Callable:
    """A function that is made of several ops, with its arguments cast first."""

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        where = _where(args) or _where(named.values())
        rule = where and RULES[where].get(name)
        if not where or rule is None or named.get("out") is not None:
            return function(*args, **named)
        first = getattr(args[0], "dtype", None)
        if rule != OWN:
            target = _target(where, rule)
            args, named = _cast(args, where, target), _cast(named, where, target)
        with disabled(where):
            result = function(*args, **named)
        return result.to(first) if rule == SAME else result

    return call


def _where(values: Any) -> str | None:
    """The kind of device of the first tensor, if this thread is in autocast there."""
    for value in values:
        if isinstance(value, (list, tuple)):
            found = _where(value)
            if found:
                return found
        elif isinstance(value, Tensor):
            kind = "cuda" if value.is_cuda else "cpu"
            return kind if state.enabled[kind] else None
    return None


def _target(where: str, rule: str) -> dtypes.dtype:
    return state.dtype[where] if rule == LOWER else dtypes.float32


def _cast(value: Any, where: str, target: dtypes.dtype) -> Any:
    """A value with its floating tensors, but those of float64, in another dtype."""
    if isinstance(value, Tensor):
        return _cast_tensor(value, target) if _is_eligible(value, where, target) else value
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)([_cast(each, where, target) for each in value])
    if type(value) is dict:
        return {name: _cast(each, where, target) for name, each in value.items()}
    return value


def _is_eligible(tensor: Tensor, where: str, target: dtypes.dtype) -> bool:
    dtype = tensor.dtype
    return (
        dtype.is_floating_point
        and dtype is not dtypes.float64
        and dtype is not target
        and tensor.is_cuda == (where == "cuda")
    )


def _cast_tensor(tensor: Tensor, target: dtypes.dtype) -> Tensor:
    """The cast; of a parameter only one is made until the outermost context ends."""
    is_parameter = (
        tensor._node is None
        and tensor._requires_grad
        and tensor._view is None
        and tensor._array.dtype == F32
        and target is not dtypes.float32
    )
    if not (is_parameter and state.cache_enabled and mode.enabled and state.nesting):
        return TENSORS._cast(tensor, target.np)
    found = state.cache.get(id(tensor))
    if found is None or found[0] is not tensor:
        found = state.cache[id(tensor)] = tensor, TENSORS._cast(tensor, target.np)
    return found[1]
