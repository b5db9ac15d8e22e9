"""Optimizer: parameter groups, their state, and the loop over both.

A subclass gives its settings to `__init__` and either writes `step`, as PyTorch's do, or two
methods: `init_state(param, group)` returns the state of one parameter before its first step, and
`update(param, grad, state, group)` changes the parameter and its state in place.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, ClassVar

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._autograd import Removable

__all__ = [
    "Optimizer",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
]

Group = dict[str, Any]

_before_every_step: OrderedDict[int, Callable] = OrderedDict()
_after_every_step: OrderedDict[int, Callable] = OrderedDict()

_HOOK_TABLES = (
    *("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"),
    *("_optimizer_state_dict_pre_hooks", "_optimizer_state_dict_post_hooks"),
    *("_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks"),
)


def register_optimizer_step_pre_hook(hook: Callable) -> Removable:
    """Call `hook(optimizer, args, kwargs)` before each step of every optimizer; return its handle.

    It may return new (args, kwargs).
    """
    return Removable(_before_every_step, hook)


def register_optimizer_step_post_hook(hook: Callable) -> Removable:
    """Call `hook(optimizer, args, kwargs)` after each step of every one; return its handle."""
    return Removable(_after_every_step, hook)


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()  # a default that stands for none: each group must have its own value


class Optimizer:
    """Base of the optimizers.

    Shapes: `params` is an iterable of tensors, of (name, tensor) pairs, or of groups: dicts with
    "params" and settings that differ from `defaults`.
    """

    # Settings that old checkpoints may lack, with the value that they had then.
    added_settings: ClassVar[Group] = {}

    # None until a scheduler asks to be told, then whether `step` was called since.
    _opt_called: bool | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = _with_hooks(cls.step)  # type: ignore[method-assign]

    def __init__(self, params: Iterable[Any], defaults: Group):
        self.defaults = defaults
        self._make_hook_tables()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or "
                f"dicts, but got {torch.typename(params)}"
            )
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        for group in _as_groups(params):
            self.add_param_group(group)
        if defaults.get("fused"):
            self._check_fused()

    def _make_hook_tables(self) -> None:
        for name in _HOOK_TABLES:
            vars(self).setdefault(name, OrderedDict())

    def _check_fused(self) -> None:
        if self.defaults["differentiable"]:
            raise RuntimeError("`fused` does not support `differentiable`")
        if self.defaults["foreach"]:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    def init_state(self, param: Tensor, group: Group) -> dict[str, Any]:
        """Return the state of a parameter before its first step."""
        return {}

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Group) -> None:
        """Take one step with one parameter, in place."""
        raise NotImplementedError(f"{type(self).__name__} must define update")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with every parameter that has a gradient; return the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(bool(self.defaults.get("differentiable"))):
            for group in self.param_groups:
                self.step_group(group)
        return loss

    def step_group(self, group: Group) -> None:
        """Take one step with every parameter of one group that has a gradient."""
        for param in group["params"]:
            if param.grad is not None:
                self.update(param, param.grad, self.state_of(param, group), group)

    def state_of(self, param: Tensor, group: Group) -> dict[str, Any]:
        """Return the state of a parameter, made when it is asked for first."""
        state = self.state.get(param)
        if not state:
            state = self.init_state(param, group)
            if state:
                self.state[param] = state
        return state

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for param in self._all_params():
            if set_to_none or param.grad is None:
                param.grad = None
            else:
                param.grad = param.grad.detach() if param.grad.requires_grad else param.grad
                param.grad.zero_()

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with settings of their own, for instance layers that are unfrozen.

        Raises: TypeError for what is no tensor, ValueError for non-leaves and for parameters that
        are in a group already.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        _split_names(param_group, _as_list(param_group["params"]))
        self._check_params(param_group["params"])
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
            param_group.setdefault(name, default)
        self._check_apart(param_group)
        self.param_groups.append(param_group)

    def _check_params(self, params: list[Any]) -> None:
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, "
                    f"but one of the params is {torch.typename(param)}"
                )
            if not (self.defaults.get("differentiable") or param.is_leaf or retains_grad(param)):
                raise ValueError("can't optimize a non-leaf Tensor")
        if len(set(params)) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error; see github.com/pytorch/pytorch/issues/40967 for more "
                "information",
                stacklevel=4,
            )

    def _check_apart(self, new: Group) -> None:
        named = "param_names" in new
        if any(named != ("param_names" in group) for group in self.param_groups):
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if named else 'without'} names to the optimizer"
            )
        if set(self._all_params()).intersection(new["params"]):
            raise ValueError("some parameters appear in more than one parameter group")

    def _all_params(self) -> Iterator[Tensor]:
        return (param for group in self.param_groups for param in group["params"])

    # ---- state_dict ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return {"state": {index: state}, "param_groups": [settings and indices]}.

        Parameters are numbered in the order of the groups. Tensors are shared, not copied.
        """
        for hook in self._hooks("state_dict_pre"):
            hook(self)
        index: dict[Any, int] = {}
        for i, param in enumerate(self._all_params()):
            index.setdefault(param, i)
        groups = []
        for group in self.param_groups:
            settings = {name: value for name, value in group.items() if name != "params"}
            groups.append({**settings, "params": [index[param] for param in group["params"]]})
        state = {index[p] if isinstance(p, Tensor) else p: s for p, s in self.state.items()}
        found = {"state": state, "param_groups": groups}
        for hook in self._hooks("state_dict_post"):
            found = _unless_none(hook(self, found), found)
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over settings and state; the parameters themselves stay.

        Raises: ValueError if the groups are not as many or as long as this optimizer's.
        """
        state_dict = dict(state_dict)
        for hook in self._hooks("load_state_dict_pre"):
            state_dict = _unless_none(hook(self, state_dict), state_dict)
        saved = copy.deepcopy(state_dict["param_groups"])
        _check_lengths(self.param_groups, saved)
        indices = [index for group in saved for index in group["params"]]
        param_at = dict(zip(indices, self._all_params(), strict=True))
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for i, each in state_dict["state"].items():
            param = param_at.get(i)
            state[i if param is None else param] = each if param is None else _cast(each, param)
        for old, new in zip(self.param_groups, saved, strict=True):
            new["params"] = old["params"]
            if "param_names" in old:
                new.setdefault("param_names", old["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in self._hooks("load_state_dict_post"):
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: vars(self)[name] for name in ("defaults", "state", "param_groups")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._make_hook_tables()
        self.defaults.setdefault("differentiable", False)
        for group in self.param_groups:
            for name, value in self.added_settings.items():
                group.setdefault(name, value)

    def __repr__(self) -> str:
        groups = []
        for i, group in enumerate(self.param_groups):
            settings = [
                f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params"
            ]
            groups.append(f"Parameter Group {i}\n" + "".join(settings))
        return f"{type(self).__name__} (\n" + "\n".join(groups) + ")"

    # ---- hooks --------------------------------------------------------------------------------

    def _hooks(self, kind: str) -> list[Callable]:
        return list(vars(self)[f"_optimizer_{kind}_hooks"].values())

    def _add_hook(self, kind: str, hook: Callable, prepend: bool = False) -> Removable:
        table = vars(self)[f"_optimizer_{kind}_hooks"]
        handle = Removable(table, hook)
        if prepend:
            table.move_to_end(handle.id, last=False)
        return handle

    def register_step_pre_hook(self, hook: Callable) -> Removable:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return new ones."""
        return self._add_hook("step_pre", hook)

    def register_step_post_hook(self, hook: Callable) -> Removable:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return self._add_hook("step_post", hook)

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> Removable:
        """Call `hook(optimizer)` before `state_dict` is made."""
        return self._add_hook("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> Removable:
        """Call `hook(optimizer, state_dict)` on what `state_dict` returns, or return another."""
        return self._add_hook("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> Removable:
        """Call `hook(optimizer, state_dict)` before a state_dict is loaded, or return another."""
        return self._add_hook("load_state_dict_pre", hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> Removable:
        """Call `hook(optimizer)` after a state_dict was loaded."""
        return self._add_hook("load_state_dict_post", hook, prepend)

    @staticmethod
    def profile_hook_step(step: Callable) -> Callable:
        """Return `step` with the hooks around it, for a step that is not written in a subclass."""
        return _with_hooks(step)


def _with_hooks(step: Callable) -> Callable:
    if getattr(step, "hooked", False):
        return step

    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        given: tuple = ((self, *args), kwargs)  # hooks see what PyTorch's see: self among the args
        for hook in chain(_before_every_step.values(), self._hooks("step_pre")):
            given = _checked_args(step, _unless_none(hook(self, *given), given))
        if self._opt_called is False:
            self._opt_called = True
        found = step(*given[0], **given[1])
        for hook in chain(self._hooks("step_post"), _after_every_step.values()):
            hook(self, *given)
        return found

    hooked.hooked = True  # type: ignore[attr-defined]
    return hooked


Optimizer.step = _with_hooks(Optimizer.step)  # type: ignore[method-assign]


def _checked_args(step: Callable, given: Any) -> tuple:
    if isinstance(given, tuple) and len(given) == 2:
        return given
    raise RuntimeError(
        f"{step} must return None or a tuple of (new_args, new_kwargs), but got {given}."
    )


def _unless_none(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def retains_grad(tensor: Tensor) -> bool:
    """Whether a tensor that is no leaf keeps its gradient."""
    return bool(getattr(tensor, "retains_grad", False))


def zeros_for(param: Tensor) -> Tensor:
    """Return zeros of a parameter's shape and dtype in C order, whatever the parameter's is."""
    return torch.zeros(param.shape, dtype=param.dtype, device=param.device)


def scalar_state(value: float, param: Tensor | None = None) -> Tensor:
    """Return a number of the state as a tensor, on the parameter's device if one is given."""
    wide = torch.get_default_dtype() is torch.float64
    where = None if param is None else param.device
    return torch.tensor(value, dtype=torch.float64 if wide else torch.float32, device=where)


def settings(arguments: dict[str, Any]) -> Group:
    """Return a constructor's `locals()` without what is no setting."""
    return {k: v for k, v in arguments.items() if k not in ("self", "params", "__class__")}


def check_settings(**values: Any) -> None:
    """Raise a ValueError in PyTorch's words if a setting is below zero, or a beta not in [0, 1)."""
    told = {"lr": "learning rate", "eps": "epsilon value"}
    for name, value in values.items():
        if name == "lr" and isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if name == "betas":
            for i, beta in enumerate(value):
                if not 0.0 <= beta < 1.0:
                    raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        elif not value >= 0.0:
            raise ValueError(f"Invalid {told.get(name, f'{name} value')}: {value}")


def _as_list(params: Any) -> list[Any]:
    if isinstance(params, Tensor):
        return [params]
    if isinstance(params, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but "
            "the ordering of tensors in sets will change between runs. Please use a list instead."
        )
    return list(params)


def _as_groups(params: Iterable[Any]) -> list[Group]:
    entries = list(params)
    if not entries:
        raise ValueError("optimizer got an empty parameter list")
    return entries if isinstance(entries[0], dict) else [{"params": entries}]


def _split_names(group: Group, entries: list[Any]) -> None:
    """Put the tensors of (name, tensor) pairs into "params" and the names into "param_names"."""
    names = [each[0] for each in entries if isinstance(each, tuple)]
    group["params"] = [each[1] if isinstance(each, tuple) else each for each in entries]
    if len(names) not in (0, len(entries)):
        raise ValueError(
            "all optimizer params should be with/without names. Some param names are missing"
        )
    if names:
        group["param_names"] = names


def _check_lengths(groups: list[Group], saved: list[Group]) -> None:
    if len(groups) != len(saved):
        raise ValueError("loaded state dict has a different number of parameter groups")
    if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, saved, strict=True)):
        raise ValueError(
            "loaded state dict contains a parameter group that doesn't match the size of "
            "optimizer's group"
        )


def _cast(value: Any, param: Tensor, name: Any = None) -> Any:
    """Return a copy in C order of a state, its tensors in the parameter's dtype but for `step`."""
    if isinstance(value, dict):
        return {key: _cast(each, param, key) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(each, param) for each in value)
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    is_step = name == "step"
    dtype = value.dtype if is_step or not param.is_floating_point() else param.dtype
    where = value.device if is_step else param.device
    return torch.empty(value.shape, dtype=dtype, device=where).copy_(value)
