"""Modules as functions of their parameters and buffers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with these tensors in place of its parameters and buffers.

    They are given by name, in one dict or in several. With `tie_weights`, a tensor that the module
    has under several names is replaced under all. Raises: RuntimeError with `strict` when names are
    missing or not known.
    """
    given = parameter_and_buffer_dicts
    dicts = [given] if isinstance(given, dict) else list(given)
    tensors = {name: value for each in dicts for name, value in each.items()}
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    places = _places_of(module, tie_weights)
    known = set(places)
    if strict and known != set(tensors):
        missing, unknown = sorted(known - set(tensors)), sorted(set(tensors) - known)
        raise RuntimeError(f"Missing key(s): {missing}. Unexpected key(s): {unknown}.")
    before = []
    try:
        for name, value in tensors.items():
            for owner, attribute in places.get(name, ()):
                before.append((owner, attribute, getattr(owner, attribute)))
                _put(owner, attribute, value)
        return module(*args, **(kwargs or {}))
    finally:
        for owner, attribute, value in reversed(before):
            _put(owner, attribute, value)


def _places_of(module: Any, tie_weights: bool) -> dict[str, list]:
    """Where each name of a parameter or buffer is kept: (owner, attribute) pairs."""
    by_name: dict[str, list] = {}
    by_value: dict[int, list] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        members = [*owner._parameters.items(), *owner._buffers.items()]
        for attribute, value in members:
            name = f"{path}.{attribute}" if path else attribute
            place = (owner, attribute)
            by_name[name] = [place]
            if value is not None and tie_weights:
                by_value.setdefault(id(value), []).append(place)
                by_name[name] = by_value[id(value)]
    return by_name


def _put(owner: Any, attribute: str, value: Tensor) -> None:
    """Replaces a registered tensor, of whatever kind, where the module keeps it."""
    registry = owner._parameters if attribute in owner._parameters else owner._buffers
    registry[attribute] = value
    vars(owner)[attribute] = value


def stack_module_state(models: Sequence) -> tuple[dict, dict]:
    """The parameters and the buffers of equal models by name, each stacked in a new dimension."""
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if any(model.training != models[0].training for model in models):
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if any(type(model) is not type(models[0]) for model in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")

    def stacked(members: str) -> dict:
        tables = [dict(getattr(model, members)()) for model in models]
        return {
            name: torch.stack([table[name] for table in tables])
            .detach()
            .requires_grad_(tables[0][name].requires_grad)
            for name in tables[0]
        }

    return stacked("named_parameters"), stacked("named_buffers")


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """`func` itself: nothing here needs mutations removed."""
    return func
