"""What is public beside the ops: functions that choose between ops or are made of several.

    @public(out=True)
    def cumsum(input, dim, *, dtype=None): ...

makes `torch.cumsum(x, 0, out=y)` and `x.cumsum(0)`. Ops are public by their names alone: one that
begins with an underscore, or with the name of a module (`linalg_inv`), is not in the namespace.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from elastic.tensor._dispatch import check_overlap, into
from elastic.tensor._registry import ALIASES

FUNCTIONS: dict[str, Callable] = {}
METHODS: dict[str, Callable] = {}
IN_PLACE: dict[str, Callable] = {}


def public(
    *,
    function: bool = True,
    method: bool = True,
    inplace: bool = False,
    out: bool | Callable = False,
) -> Callable:
    """A decorator: publishes the function in the namespace, as a method, as `name_`, with `out`.

    `out` may be what checks it: called with the arguments, the result, and what `out=` names.
    """

    def publish(body: Callable) -> Callable:
        name = body.__name__
        call = _called_as_in_pytorch(body, out)
        if function:
            FUNCTIONS[name] = call
        if method:
            METHODS[name] = call
        if inplace:
            IN_PLACE[name] = body
        return call

    return publish


def _called_as_in_pytorch(body: Callable, has_out: bool | Callable) -> Callable:
    """The function with `out=`, and with numpy's names of `dim` and `keepdim`, where it has these.

    `out` is a tensor (or several) that is overwritten with the result.
    """
    if not has_out and "dim" not in body.__code__.co_varnames:
        return body

    @functools.wraps(body)
    def call(*args: Any, out: Any = None, **named: Any) -> Any:
        for alias in named.keys() & ALIASES.keys():
            named[ALIASES[alias]] = named.pop(alias)
        if out is not None:
            check_overlap(out, args)
        result = body(*args, **named)
        if out is None:
            return result
        if callable(has_out):
            has_out(args, result, out)
        return into(out, result)

    return call
