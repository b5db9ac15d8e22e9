"""What autocast does to operations, and how it is switched on without a cost while it is off.

While any thread is in autocast, ops take the detour (`_detour`) to an `apply` that casts first.
Functions that are made of several ops are covered: they ask whether a thread is in autocast. Each
thread has its own state: one that is not in autocast computes as ever.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from elastic.tensor import _detour, dtypes
from elastic.tensor import _dispatch as dispatch
from elastic.tensor._autocast_rules import LOWER, OWN, RULES, SAME, WIDE
from elastic.tensor._grad_mode import mode
from elastic.tensor._registry import F32, REGISTRY, TENSORS
from elastic.tensor._tensor import Tensor

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


_users = {"count": 0}  # threads in autocast
_lock = threading.Lock()


def _count(step: int) -> None:
    """Note that a thread enters (1) or leaves (-1) autocast."""
    with _lock:
        _users["count"] += step
        _detour.take(step)
        vars(dispatch)["apply"] = _apply if _users["count"] else _plain_apply


def cover(table: dict[str, Any]) -> dict[str, Any]:
    """The table, its functions that autocast has a rule for replaced by ones that know it.

    Ops know it without: they take the detour.
    """
    names = {name for rules in RULES.values() for name in rules} - REGISTRY.keys() - _MADE_OF_ONE_OP
    table.update({name: _casting(name, table[name]) for name in names & table.keys()})
    return table


_MADE_OF_ONE_OP = {"linear", "prelu"}
_MADE_OF_ONE_OP |= {f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)}


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
        if not _users["count"]:
            return function(*args, **named)
        where = _where(args) or _where(named.values())
        rule = where and RULES[where].get(name)
        if not where or rule is None or named.get("out") is not None:
            return function(*args, **named)
        given = (args, named)
        if rule == LOWER:
            given = _cast(given, where, state.dtype[where])
        if rule != OWN:  # also LOWER: halves are computed in float32, and rounded once
            given = _cast(given, where, dtypes.float32)
        with disabled(where):
            result = function(*given[0], **given[1])
        if rule == LOWER and result.dtype is dtypes.float32:
            return result.to(state.dtype[where])
        return result.to(args[0].dtype) if rule == SAME else result

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
