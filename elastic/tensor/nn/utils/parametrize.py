"""Parameters computed from others: `register_parametrization` puts a module in front of one.

The module then holds `parametrizations.<name>.original` (or `original0`, `original1`, ...) in place
of the parameter, and the attribute of its name is what the parametrizations make of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.nn.container import ModuleDict, ModuleList
from elastic.tensor.nn.module import Module
from elastic.tensor.nn.parameter import Parameter

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization",
    "remove_parametrizations", "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]  # fmt: skip

_caching = 0
_cache: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized tensor is computed once, however often it is read."""
    global _caching
    _caching += 1
    try:
        yield
    finally:
        _caching -= 1
        if not _caching:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in order, and the tensors that they start from."""

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False):
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with torch.no_grad():
            new: Any = original
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    try:
                        new = module.right_inverse(new)
                    except NotImplementedError:
                        continue
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if isinstance(new, Tensor):
            if new.dtype != dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {dtype}\nright_inverse(original).dtype: {new.dtype}"
                )
            original.data = new.data
            _register(self, "original", original)
        else:
            for k, value in enumerate(new):
                self._register_part(k, value, original)
        if not unsafe:
            check_result(self(), shape, dtype)

    def _register_part(self, k: int, value: Any, like: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got element {k} of the sequence with type {type(value).__name__}."
            )
        if isinstance(like, Parameter):
            value = Parameter(value, like.requires_grad)
        _register(self, f"original{k}", value)

    def right_inverse(self, value: Any) -> None:
        """Set the originals so that the parametrized tensor becomes `value`."""
        with torch.no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                value = module.right_inverse(value)
            if self.is_tensor:
                self.original.data = value.data
                return
            if len(value) != self.ntensors:
                raise ValueError(
                    "'right_inverse' must return a sequence of tensors of length "
                    f"{self.ntensors}. Got a sequence of length {len(value)}."
                )
            for k, part in enumerate(value):
                getattr(self, f"original{k}").data = part.data

    def forward(self) -> Tensor:
        names = ["original"] if self.is_tensor else [f"original{k}" for k in range(self.ntensors)]
        first, *rest = self
        x = first(*[getattr(self, name) for name in names])
        for module in rest:
            x = module(x)
        return x


def check_result(made: Any, shape: Any, dtype: Any) -> None:
    """Raises: ValueError when a parametrization gives another dtype or shape, or no tensor."""
    if not isinstance(made, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(made).__name__}.")
    for what, before, after in (("dtype", dtype, made.dtype), ("shape", shape, made.shape)):
        if before != after:
            raise ValueError(
                f"Registering a parametrization may not change the {what} of the tensor, unless "
                f"`unsafe` flag is enabled.\nunparametrized {what}: {before}\n"
                f"parametrized {what}: {after}"
            )


def _register(module: Module, name: str, value: Tensor) -> None:
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Return the module, whose tensor is from now on what `parametrization` makes of it.

    A second parametrization applies to the result of the first. Unless `unsafe`, neither dtype nor
    shape may change. Raises: ValueError when there is no tensor of that name.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        before = getattr(module, tensor_name)
        if not unsafe:
            check_result(parametrization(before), before.shape, before.dtype)
        parts = module.parametrizations[tensor_name]
        parts.append(parametrization)
        parts.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        parts = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _specialise(module)
            module.parametrizations = ModuleDict()
        setattr(type(module), tensor_name, _property(tensor_name))
        module.parametrizations[tensor_name] = parts
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    return module


def _specialise(module: Module) -> None:
    """Gives the module a class of its own, to which properties can be added."""
    base = type(module)

    def refuse(self: Module) -> None:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(). See:\n"
            "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
            "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
        )

    def copied(self: Module, memo: dict[int, Any]) -> Module:
        if id(self) not in memo:
            replica = memo[id(self)] = self.__new__(type(self))
            replica.__dict__ = deepcopy(self.__dict__, memo)
        return memo[id(self)]

    body = {"__getstate__": refuse, "__deepcopy__": copied}
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), body)


def _property(name: str) -> property:
    def value(self: Module) -> Tensor:
        parts = self.parametrizations[name]
        if not _caching:
            return parts()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = parts()
        return _cache[key]

    def assign(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(value, assign)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Return whether the module has parametrizations, or one of `tensor_name`."""
    found = module.__dict__.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Return the module with a plain tensor again: as it was computed, or the original."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    parts = module.parametrizations[tensor_name]
    if leave_parametrized:
        with torch.no_grad():
            made = getattr(module, tensor_name)
        source = parts.original if parts.is_tensor else parts.original0
        if parts.is_tensor:
            parts.original.data = made.data
            plain = parts.original
        else:
            kind = isinstance(source, Parameter)
            plain = Parameter(made.detach(), source.requires_grad) if kind else made.detach()
    elif parts.is_tensor:
        plain = parts.original
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, plain)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """Return the class that the module had before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Return `to_module` with the parametrizations of another module, and their originals."""
    names = from_module.parametrizations if tensor_name is None else [tensor_name]
    for name in names if is_parametrized(from_module) else ():
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        for part in source:
            register_parametrization(to_module, name, deepcopy(part), unsafe=True)
        target = to_module.parametrizations[name]
        for key, value in source.named_parameters(recurse=False):
            getattr(target, key).data = value.detach().clone()
    return to_module
