"""A module called with other tensors in place of its own."""

from __future__ import annotations

from typing import Any

from elastic.tensor import Tensor
from elastic.tensor.nn.module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Tensor],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Return `module(*args, **kwargs)`, computed with the tensors given by their dotted names.

    `tie_weights` gives a tensor that the module has under several names to all of them; `strict`
    expects all parameters and buffers to be given.
    """
    own = _places(module)
    _check_names(parameters_and_buffers, own, strict)
    given = _tied(parameters_and_buffers, own) if tie_weights else parameters_and_buffers
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    before = []
    try:
        for name, value in given.items():
            holder, registry, key = own[name]
            before.append((holder, registry, key, holder.__dict__[registry][key]))
            _put(holder, registry, key, value)
        return module(*args, **(kwargs or {}))
    finally:
        for holder, registry, key, value in reversed(before):
            _put(holder, registry, key, value)


def _places(module: Module) -> dict[str, tuple[Module, str, str]]:
    """Where each tensor is kept, by its dotted name."""
    return {
        f"{path}.{key}" if path else key: (holder, registry, key)
        for path, holder in module.named_modules(remove_duplicate=False)
        for registry in ("_parameters", "_buffers")
        for key, value in holder.__dict__[registry].items()
        if value is not None
    }


def _put(holder: Module, registry: str, key: str, value: Any) -> None:
    holder.__dict__[registry][key] = value
    holder.__dict__[key] = value


def _check_names(given: dict, own: dict, strict: bool) -> None:
    unexpected = [name for name in given if name not in own]
    if unexpected and not strict:
        raise AttributeError(f"{unexpected[0]!r} is no parameter or buffer of the module")
    missing = [name for name in own if name not in given] if strict else []
    if unexpected or missing:
        words = [
            f"{what} key(s): {', '.join(map(repr, keys))}."
            for what, keys in (("Unexpected", unexpected), ("Missing", missing))
            if keys
        ]
        raise RuntimeError("Error(s) in reparametrizing:\n\t" + "\n\t".join(words))


def _tied(given: dict[str, Tensor], own: dict) -> dict[str, Tensor]:
    """`given`, also under the other names of the same tensors."""
    by_tensor: dict[int, list[str]] = {}
    for name, (holder, registry, key) in own.items():
        by_tensor.setdefault(id(holder.__dict__[registry][key]), []).append(name)
    found = dict(given)
    for names in by_tensor.values():
        values = [given[name] for name in names if name in given]
        if len({id(value) for value in values}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(names)}, which are tied. "
                "Consider using tie_weights=False"
            )
        if values:
            found |= dict.fromkeys(names, values[0])
    return found
