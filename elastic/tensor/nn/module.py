"""Module: parameters, buffers and children under their names, as PyTorch keeps them.

A registered value lives twice: in its registry (`_parameters`, `_buffers`, `_modules`), which gives
the order, and in the instance's `__dict__`, so that `self.weight` costs a plain attribute. Both are
written by `_keep` and `_forget` alone.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.nn import _state_dict, hooks
from elastic.tensor.nn.hooks import EVERYWHERE, Hooked
from elastic.tensor.nn.parameter import Buffer, Parameter

__all__ = ["Module"]

_EXPECTED = {
    "_parameters": ("parameter", "torch.nn.Parameter or None expected"),
    "_modules": ("child module", "torch.nn.Module or None expected"),
    "_buffers": ("buffer", "torch.nn.Buffer, torch.Tensor or None expected"),
}


class Module(Hooked):
    """Base of all layers and models: assign parameters and modules as attributes, write `forward`.

    Source: the behaviour of torch.nn.Module, PyTorch 2.13.
    """

    _version = 1
    dump_patches = False
    call_super_init = False
    training: bool

    if TYPE_CHECKING:  # registered attributes

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _non_persistent_buffers_set=set(),
            _modules={},
            _hooks=OrderedDict(),
            _state_hooks=OrderedDict(),
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        Module.__init__(self)
        self.__dict__.update(state)

    def _missing_forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs for the inputs; every module defines its own."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # An attribute, not a method: every subclass writes its own, with its own parameters.
    forward: Callable[..., Any] = _missing_forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks or EVERYWHERE:
            return hooks.call(self, args, kwargs)
        return self.forward(*args, **kwargs)

    _call_impl = __call__

    # ---- registration -------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Parameter):
            self._make_room("parameters", name)
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._make_room("module", name)
            self._keep("_modules", name, hooks.registered(self, "module", name, value))
        elif isinstance(value, Buffer):
            self._make_room("buffer", name)
            self.register_buffer(name, value, value.persistent)
        elif "_modules" in own and (registry := self._registry_of(name)):
            self._replace(registry, name, value)
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if self._registry_of(name):
            self._forget(name)
        else:
            object.__delattr__(self, name)

    def _require_init(self, what: str) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")

    def _make_room(self, what: str, name: str) -> None:
        """Drop a plain attribute that a registered one is about to replace."""
        self._require_init(what)
        if name in self.__dict__ and self._registry_of(name) is None:
            del self.__dict__[name]

    def _registry_of(self, name: str) -> str | None:
        return next((kind for kind in _EXPECTED if name in self.__dict__[kind]), None)

    def _keep(self, registry: str, name: str, value: Any) -> None:
        if self._registry_of(name) not in (None, registry):
            self._forget(name)
        self.__dict__[registry][name] = value
        self.__dict__[name] = value

    def _forget(self, name: str) -> None:
        for registry in _EXPECTED:
            self.__dict__[registry].pop(name, None)
        self._non_persistent_buffers_set.discard(name)
        del self.__dict__[name]

    def _replace(self, registry: str, name: str, value: Any) -> None:
        """Put a plain value in a registered place: only None, and a tensor for a buffer, may."""
        if value is not None and not (registry == "_buffers" and isinstance(value, Tensor)):
            what, expected = _EXPECTED[registry]
            raise TypeError(f"cannot assign '{_kind(value)}' as {what} '{name}' ({expected})")
        self._keep(registry, name, value)

    def _check_name(self, what: str, name: Any, registry: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {_kind(name)}")
        if "." in name:
            told = f", got: {name}" if what == "module" else ""
            raise KeyError(f'{what} name can\'t contain "."{told}')
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[registry]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or a name that holds None until there is one."""
        self._require_init("parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{_kind(param)}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                f"created explicitly. To express '{name}' as a function of another Tensor, "
                "compute the value in the forward() method."
            )
        self._check_name("parameter", name, "_parameters")
        self._keep("_parameters", name, hooks.registered(self, "parameter", name, param))

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter; if persistent, `state_dict` has it."""
        self._require_init("buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{_kind(tensor)}' object to buffer '{name}' "
                "(torch Tensor or None required)"
            )
        self._check_name("buffer", name, "_buffers")
        self._keep("_buffers", name, hooks.registered(self, "buffer", name, tensor))
        (set.discard if persistent else set.add)(self._non_persistent_buffers_set, name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child under `name`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{_kind(module)} is not a Module subclass")
        self._check_name("module", name, "_modules")
        self._keep("_modules", name, hooks.registered(self, "module", name, module))

    register_module = add_module

    # ---- looking up and walking ---------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """Return the descendant at a dotted path; "" is the module itself."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put `module` at a dotted path; `strict` expects that there is one already."""
        path, _, name = target.rpartition(".")
        if not name:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path."""
        return self._get_leaf(target, "_parameters", "an nn.Parameter")

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at a dotted path."""
        return self._get_leaf(target, "_buffers", "a buffer")

    def _get_leaf(self, target: str, registry: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        if name not in module.__dict__[registry]:
            raise AttributeError(f"`{name}` is not {what}")
        return getattr(module, name)

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield (path, module) of the module itself and all its descendants, parents first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in modules if recurse else [(prefix, self)]:
            for name, value in module.__dict__[registry].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield (path, parameter), each parameter once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield (path, buffer), each buffer once."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) of the direct children."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def modules(self) -> Iterator[Module]:
        """Yield the module itself and all its descendants, each once."""
        return (module for _, module in self.named_modules())

    def children(self) -> Iterator[Module]:
        """Yield the direct children."""
        return (child for _, child in self.named_children())

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call `fn` on every descendant, children first, then on the module; return the module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # ---- conversion and modes -----------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert all tensors in place: parameters stay the same objects for their optimizers."""
        for child in self.children() if recurse else ():
            child._apply(fn)
        with torch.no_grad():
            for param in self.parameters(recurse=False):
                param.data = fn(param.data)
                if param.grad is not None:
                    param.grad = fn(param.grad)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._keep("_buffers", name, fn(buffer))
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the module with its tensors on another device and its floats in another dtype."""
        device, dtype = _parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                "nn.Module.to only accepts floating point or complex "
                f"dtypes, but got desired dtype={dtype}"
            )
        return self._apply(lambda t: t.to(device, dtype if _is_real(t) else t.dtype))

    def _cast(self, dtype: torch.dtype) -> Self:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Return the module with uninitialised tensors of the same shapes on `device`."""
        return self._apply(lambda t: torch.empty_like(t, device=device), recurse)

    def share_memory(self) -> Self:
        """Return the module, its tensors in memory that processes forked from now on share."""
        return self._apply(lambda t: t.share_memory_())

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: there is nothing to compile."""

    def type(self, dst_type: torch.dtype) -> Self:
        """Return the module with all its tensors in `dst_type`, integers too."""
        return self._apply(lambda t: t.to(dst_type))

    def float(self) -> Self:
        """Return the module with its floats in float32."""
        return self._cast(torch.float32)

    def double(self) -> Self:
        """Return the module with its floats in float64."""
        return self._cast(torch.float64)

    def half(self) -> Self:
        """Return the module with its floats in float16."""
        return self._cast(torch.float16)

    def bfloat16(self) -> Self:
        """Return the module with its floats in bfloat16."""
        return self._cast(torch.bfloat16)

    def cuda(self, device: Any = None) -> Self:
        """Return the module with its tensors on a GPU."""
        return self._apply(lambda t: t.cuda(device))

    def cpu(self) -> Self:
        """Return the module with its tensors in host memory."""
        return self._apply(lambda t: t.cpu())

    def train(self, mode: bool = True) -> Self:
        """Set training mode on the module and all its descendants."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: no dropout, norms use their running statistics."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let backward reach the parameters, or not."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad.detach().zero_()

    # ---- state_dict ---------------------------------------------------------------------------

    def state_dict(
        self, *, destination: dict | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Return {path: tensor} of all parameters and persistent buffers.

        The tensors share memory with the module; they are detached unless `keep_vars`.
        """
        return _state_dict.save(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _state_dict._IncompatibleKeys:
        """Copy values into the parameters and buffers; return the keys that did not match.

        Raises: RuntimeError that lists every missing, unexpected or misshapen entry.
        """
        return _state_dict.load(self, state_dict, strict, assign)

    def get_extra_state(self) -> Any:
        """Return more state for `state_dict`, where a subclass has some."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called."
        )

    def set_extra_state(self, state: Any) -> None:
        """Take what `get_extra_state` returned, where a subclass has it."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called."
        )

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        _state_dict.save_own(self, destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *report: Any) -> None:
        _state_dict.load_own(self, state_dict, prefix, *report)

    def _persistent(self) -> Iterator[tuple[str, Tensor | None]]:
        buffers = (
            (n, b) for n, b in self._buffers.items() if n not in self._non_persistent_buffers_set
        )
        return itertools.chain(self._parameters.items(), buffers)

    # ---- repr ---------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """Return what stands between the brackets of the repr."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        own = extra.split("\n") if extra else []
        return lay_out(self._get_name(), own, self._child_lines())

    def _child_lines(self) -> list[str]:
        return [f"({name}): " + indent(repr(child)) for name, child in self._modules.items()]

    def __dir__(self) -> list[str]:
        return sorted(name for name in super().__dir__() if not name[0].isdigit())


def indent(text: str) -> str:
    """Return the text with all its lines but the first moved right by two."""
    return text.replace("\n", "\n  ")


def lay_out(name: str, own: list[str], children: list[str]) -> str:
    """Return PyTorch's repr of a module: on one line if there are no children and one own line."""
    if len(own) == 1 and not children:
        return f"{name}({own[0]})"
    lines = "".join(f"\n  {line}" for line in [*own, *children])
    return f"{name}({lines}\n)" if lines else f"{name}()"


def _kind(value: Any) -> str:
    """Return what PyTorch's messages call the type of a value."""
    return value.type() if isinstance(value, Tensor) else type(value).__name__


def _is_real(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Return (device, dtype) of the ways to call `to`: (device, dtype), (dtype), (tensor)."""
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    for arg in args:
        if isinstance(arg, Tensor):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, torch.dtype):
            dtype = arg
        elif not isinstance(arg, bool):
            device = arg
    return device, dtype
