"""Optimizer: parameter groups, their state, and the loop over both.

A subclass gives its settings to `__init__` and writes two methods: `init_state(param, group)`
returns the state of one parameter before its first step, and `update(param, grad, state, group)`
changes the parameter and its state in place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = ["Optimizer"]

Group = dict[str, Any]


class Optimizer:
    """Base of the optimizers.

    Shapes: `params` is an iterable of tensors, of (name, tensor) pairs, or of groups: dicts with
    "params" and settings that differ from the defaults.
    """

    # They choose among PyTorch's implementations of a step. We have one; the names stay in the
    # groups, so that programs, reprs and state_dicts are PyTorch's.
    kernel_flags: ClassVar[Group] = {"foreach": None, "differentiable": False, "fused": None}

    def __init__(self, params: Iterable[Any], defaults: Group, **kernel_flags: Any):
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or "
                f"dicts, but got {params.type()}"
            )
        for name in kernel_flags.keys() - self.kernel_flags.keys():
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument '{name}'"
            )
        self.defaults = {**defaults, **self.kernel_flags, **kernel_flags}
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[Group] = []
        self.stepped = False  # schedulers warn when they are called first
        for group in _as_groups(params):
            self.add_param_group(group)

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
        with torch.no_grad():
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        self._step_one(param, param.grad, group)
        self.stepped = True
        return loss

    def _step_one(self, param: Tensor, grad: Tensor, group: Group) -> None:
        state = self.state.get(param)
        if state is None:
            state = self.init_state(param, group)
            if state:
                self.state[param] = state
        self.update(param, grad, state, group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for param in self._params():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad.detach().zero_()

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with settings of their own, for instance layers that are unfrozen."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        group = {**param_group, "params": _as_list(param_group["params"])}
        names = [p[0] for p in group["params"] if isinstance(p, tuple)]
        if names:
            group["params"] = [p[1] for p in group["params"]]
            group["param_names"] = names
        _check_params(group["params"], set(self._params()))
        for name, default in self.defaults.items():
            group.setdefault(name, default)
        self.param_groups.append(group)

    def _params(self) -> Iterator[Tensor]:
        return (param for group in self.param_groups for param in group["params"])

    # ---- state_dict ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return {"state": {index: state}, "param_groups": [settings and indices]}.

        Parameters are numbered in the order of the groups. Tensors are shared, not copied.
        """
        index = {param: i for i, param in enumerate(self._params())}
        groups = []
        for group in self.param_groups:
            settings = {name: value for name, value in group.items() if name != "params"}
            groups.append({**settings, "params": [index[param] for param in group["params"]]})
        return {"state": {index[p]: s for p, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over settings and state; the parameters themselves stay.

        Raises: ValueError if the groups are not as many or as long as this optimizer's.
        """
        saved = copy.deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        lengths = [
            [len(group["params"]) for group in groups] for groups in (saved, self.param_groups)
        ]
        if lengths[0] != lengths[1]:
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        indices = [index for group in saved for index in group["params"]]
        param_at = dict(zip(indices, self._params(), strict=True))
        self.state = {
            param_at[i]: {name: _taken_over(name, value, param_at[i]) for name, value in s.items()}
            for i, s in state_dict["state"].items()
        }
        for old, new in zip(self.param_groups, saved, strict=True):
            old.update({**new, "params": old["params"]})

    def __repr__(self) -> str:
        groups = []
        for i, group in enumerate(self.param_groups):
            settings = [
                f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params"
            ]
            groups.append(f"Parameter Group {i}\n" + "".join(settings))
        return f"{type(self).__name__} (\n" + "\n".join(groups) + ")"


def zeros_for(param: Tensor) -> Tensor:
    """Return zeros of a parameter's shape and dtype in C order, whatever the parameter's is."""
    return torch.zeros(param.shape, dtype=param.dtype, device=param.device)


def check_not_negative(**settings: float) -> None:
    """Raise a ValueError in PyTorch's words if one of the settings is below zero."""
    told = {"lr": "learning rate", "eps": "epsilon value"}
    for name, value in settings.items():
        if not value >= 0.0:
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
    entries = _as_list(params)
    if not entries:
        raise ValueError("optimizer got an empty parameter list")
    return entries if isinstance(entries[0], dict) else [{"params": entries}]


def _check_params(params: list[Any], known: set[Tensor]) -> None:
    for param in params:
        if not isinstance(param, Tensor):
            raise TypeError(
                "optimizer can only optimize Tensors, "
                f"but one of the params is {type(param).__name__}"
            )
        if not param.is_leaf:
            raise ValueError("can't optimize a non-leaf Tensor")
    if known.intersection(params):
        raise ValueError("some parameters appear in more than one parameter group")
    if len(set(params)) != len(params):
        raise ValueError("optimizer contains a parameter group with duplicate parameters")


def _taken_over(name: str, value: Any, param: Tensor) -> Any:
    """Return a copy in C order of a state's entry, in the parameter's dtype unless it is `step`."""
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    dtype = value.dtype if name == "step" or not param.is_floating_point() else param.dtype
    return torch.empty(value.shape, dtype=dtype, device=param.device).copy_(value)
