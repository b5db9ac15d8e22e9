"""What `Module.state_dict` and `Module.load_state_dict` do: PyTorch's keys, texts and order."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.nn.parameter import Parameter

if TYPE_CHECKING:
    from elastic.tensor.nn.module import Module

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class StateDict(OrderedDict):
    """A state_dict: ordered, with the version of every module in `_metadata`."""

    _metadata: OrderedDict


def _hooks(module: Module, *kinds: str) -> list:
    return [hook for hook in list(module._state_hooks.values()) if hook.kind in kinds]


def save(module: Module, destination: Any, prefix: str, keep_vars: bool) -> dict[str, Any]:
    """Return the destination with all entries of the module and its descendants."""
    if destination is None:
        destination = StateDict()
        destination._metadata = OrderedDict()
    metadata = {"version": module._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = metadata
    for hook in _hooks(module, "save_pre"):
        hook.function(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(
                destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
            )
    for hook in _hooks(module, "save", "save_post"):
        replaced = hook.function(module, destination, prefix, metadata)
        if replaced is not None and hook.kind == "save_post":
            raise RuntimeError("state_dict post-hook must return None")
        destination = destination if replaced is None else replaced
    return destination


def _has_extra_state(module: Module, method: str) -> bool:
    from elastic.tensor.nn.module import Module as Base

    return getattr(type(module), method) is not getattr(Base, method)


def save_own(module: Module, destination: dict, prefix: str, keep_vars: bool) -> None:
    """Write the entries of one module, without its children."""
    for name, value in module._persistent():
        if value is not None:
            destination[prefix + name] = value if keep_vars else value.detach()
    if _has_extra_state(module, "get_extra_state"):
        destination[prefix + EXTRA_STATE] = module.get_extra_state()


def load(module: Module, state: Mapping[str, Any], strict: bool, assign: bool) -> _IncompatibleKeys:
    """Fill a module and its descendants; the errors of all of them are told together."""
    if not isinstance(state, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state)}.")
    missing: list[str] = []
    unexpected: list[str] = []
    errors: list[str] = []
    versions = getattr(state, "_metadata", {})
    entries = OrderedDict(state)

    def visit(part: Module, prefix: str) -> None:
        metadata = dict(versions.get(prefix[:-1], {}))
        if assign:
            metadata["assign_to_params_buffers"] = assign
        part._load_from_state_dict(entries, prefix, metadata, True, missing, unexpected, errors)
        for name, child in part._modules.items():
            if child is not None:
                visit(child, f"{prefix}{name}.")
        for hook in _hooks(part, "load_post"):
            if hook.function(part, _IncompatibleKeys(missing, unexpected)) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected "
                    "to return new values, if incompatible_keys need to be modified, it should be "
                    "done inplace."
                )

    visit(module, "")
    if strict:
        errors = _key_errors(unexpected, missing) + errors
    if errors:
        listed = "\n\t".join(errors)
        raise RuntimeError(f"Error(s) in loading state_dict for {module._get_name()}:\n\t{listed}")
    return _IncompatibleKeys(missing, unexpected)


def _key_errors(unexpected: list[str], missing: list[str]) -> list[str]:
    def told(what: str, keys: list[str]) -> list[str]:
        quoted = ", ".join(f'"{key}"' for key in keys)
        return [f"{what} key(s) in state_dict: {quoted}. "] if keys else []

    return told("Missing", missing) + told("Unexpected", unexpected)


def load_own(
    module: Module,
    state: dict,
    prefix: str,
    metadata: dict,
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    errors: list[str],
) -> None:
    """Fill one module, without its children. The signature is PyTorch's: subclasses override it."""
    for hook in _hooks(module, "load_pre", "load_pre_of_module"):
        first = (module,) if hook.kind == "load_pre_of_module" else ()
        hook.function(*first, state, prefix, metadata, strict, missing, unexpected, errors)
    assign = metadata.get("assign_to_params_buffers", False)
    for name, target in list(module._persistent()):
        if target is None:
            continue
        if prefix + name not in state:
            missing.append(prefix + name)
        else:
            value = state[prefix + name]
            if not target.dim() and isinstance(value, Tensor) and value.dim() == 1:
                value = value[0]  # scalars were vectors once
            if error := _mismatch(prefix + name, target, value):
                errors.append(error)
            else:
                _fill(module, name, target, value, assign)
    _load_extra_state(module, state, prefix + EXTRA_STATE, missing)
    unexpected += _strangers(module, state, prefix)


def _mismatch(key: str, target: Tensor, value: Any) -> str | None:
    if not isinstance(value, Tensor):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
            f"object from checkpoint but received {type(value)}"
        )
    if target.shape != value.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
            f"the shape in current model is {target.shape}."
        )
    return None


def _fill(module: Module, name: str, target: Tensor, value: Tensor, assign: bool) -> None:
    with torch.no_grad():
        if not assign:
            target.copy_(value)
        elif name in module._parameters:
            setattr(module, name, Parameter(value, target.requires_grad))
        else:
            setattr(module, name, value)


def _load_extra_state(module: Module, state: dict, key: str, missing: list[str]) -> None:
    if not _has_extra_state(module, "set_extra_state"):
        return
    if key in state:
        module.set_extra_state(state[key])
    else:
        missing.append(key)


def _strangers(module: Module, state: dict, prefix: str) -> list[str]:
    """Return the keys below `prefix` that belong neither to the module nor to a child of it."""
    known = {name for name, value in module._persistent() if value is not None}
    if _has_extra_state(module, "set_extra_state"):
        known.add(EXTRA_STATE)
    strange = []
    for key in state:
        if key.startswith(prefix):
            name, dot, _ = key[len(prefix) :].partition(".")
            if not (dot and name in module._modules) and key[len(prefix) :] not in known:
                strange.append(key)
    return strange
