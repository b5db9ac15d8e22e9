"""Elementwise: base of the optimizers that treat every element of a parameter by itself.

A subclass writes its formula once, with augmented assignments and functions of `F`. It is computed
on arrays, block by block and without temporaries (halves in float32, rounded once a step), or on
tensors: for other layouts, other devices, and where gradients shall flow through the step.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from elastic.tensor import Tensor
from elastic.tensor._registry import HALF_DTYPES, TENSORS
from elastic.tensor.optim import _blocks
from elastic.tensor.optim.optimizer import Group, Optimizer, scalar_state

__all__ = ["Elementwise"]

_CAPTURABLE = "['cuda', 'xpu', 'hpu', 'privateuseone', 'xla']"
_FUSABLE = "['mps', 'cuda', 'xpu', 'hpu', 'cpu', 'mtia', 'privateuseone']"
_KINDS = HALF_DTYPES | {np.dtype(name) for name in ("f4", "f8", "c8", "c16")}


class Elementwise(Optimizer):
    """Base of the optimizers whose step is a formula of each element."""

    added_settings: ClassVar[Group] = {
        "maximize": False,
        "foreach": None,
        "differentiable": False,
    }
    on_device: ClassVar[str] = "params and state_steps"  # what capturable wants on the GPU
    hint: ClassVar[str] = ""  # what to use for sparse gradients

    def coefficients(self, param: Tensor, state: dict[str, Any], group: Group) -> tuple:
        """Return the numbers of this step of a parameter, having counted it in the state."""
        raise NotImplementedError(f"{type(self).__name__} must define coefficients")

    @staticmethod
    def formula(F: Any, param: Any, grad: Any, state: dict[str, Any], *coefficients: Any) -> None:
        """Change the parameter and its state in place. Results of `F` are good for three calls."""
        raise NotImplementedError

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Group) -> None:
        """Take one step with one parameter as a whole, on tensors."""
        if group.get("differentiable"):
            for name, value in state.items():  # the graph of the step before reads the old ones
                state[name] = value.clone() if isinstance(value, Tensor) else value
        coefficients = self.coefficients(param, state, group)
        self.formula(TENSORS, param, _descent(param, grad, group), state, *coefficients)

    def step_group(self, group: Group) -> None:
        """Take one step with every parameter of one group that has a gradient."""
        self._check(group)
        group = group if group.get("differentiable") else _with_numbers(group)
        jobs: list[_blocks.Job] = []
        halves: list[tuple[Any, Any]] = []
        for param in group["params"]:
            grad = param.grad
            if grad is None:
                continue
            self._check_param(param, grad, group)
            state = self.state_of(param, group)
            if group.get("differentiable") or not _is_plain(param, grad, state):
                self.update(param, grad, state, group)
            else:
                jobs.append(self._job(param, grad, state, group, halves))
                param._cell[0] += 1
        if jobs:
            _blocks.run(self.formula, jobs)
        for array, wide in halves:
            array[...] = wide

    def _job(
        self, param: Tensor, grad: Tensor, state: dict[str, Any], group: Group, halves: list
    ) -> _blocks.Job:
        coefficients = self.coefficients(param, state, group)
        shape, is_half = param._array.shape, param._array.dtype in HALF_DTYPES

        def flat(tensor: Tensor) -> Any:
            array = _flat(tensor._array)
            if not is_half:
                return array
            wide = array.astype(np.float32)
            if tensor is not grad:
                halves.append((array, wide))
            return wide

        arrays = {
            name: flat(value)
            for name, value in state.items()
            if isinstance(value, Tensor) and value._array.shape == shape and name != "step"
        }
        sign = -1 if group["maximize"] else 1
        return _blocks.Job(flat(param), flat(grad), arrays, sign, _decay(group), coefficients)

    def _check(self, group: Group) -> None:
        if group.get("foreach") and group.get("differentiable"):
            raise AssertionError("_foreach ops don't support autograd")

    def _check_param(self, param: Tensor, grad: Tensor, group: Group) -> None:
        if is_sparse(grad):
            name = type(self).__name__
            raise RuntimeError(f"{name} does not support sparse gradients{self.hint}")
        if group.get("capturable") and not param.is_cuda:
            raise AssertionError(
                f"If capturable=True, {self.on_device} must be on supported devices: {_CAPTURABLE}."
            )
        if group.get("fused") and not param.is_floating_point():
            raise RuntimeError(
                "`fused=True` requires all the params to be floating point Tensors of supported "
                f"devices: {_FUSABLE} but {param.dtype} and {param.device.type}"
            )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for each in self.state.values():
            for name in ("step", "eta", "mu", "mu_product"):  # once these were plain numbers
                if name in each and not isinstance(each[name], Tensor):
                    each[name] = scalar_state(float(each[name]))


def is_sparse(tensor: Any) -> bool:
    """Whether a tensor keeps only its nonzero elements."""
    return bool(getattr(tensor, "is_sparse", False))


def count_step(state: dict[str, Any]) -> float:
    """Count a step in the state; return its number."""
    step = state["step"]
    step._array += 1
    step._cell[0] += 1
    return float(step._array)


def _is_plain(param: Tensor, grad: Tensor, state: dict[str, Any]) -> bool:
    """Whether a parameter, its gradient and its state can be cut into flat blocks."""
    a, b = param._array, grad._array
    if a.__class__ is not np.ndarray or a.dtype not in _KINDS or a.dtype != b.dtype or not a.size:
        return False
    tensors = [each._array for each in state.values() if isinstance(each, Tensor)]
    return all(each.flags.c_contiguous for each in (a, *tensors))


def _flat(array: Any) -> Any:
    """Return a flat view of an array (a copy if it is a gradient in another order), as reals."""
    flat = array.reshape(-1)
    return flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat


def _with_numbers(group: Group) -> Group:
    """Return a group whose settings are numbers where they were tensors."""
    return {name: _number(value) if name != "params" else value for name, value in group.items()}


def _number(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_number, value))
    return value.item() if isinstance(value, Tensor) else value


def _decay(group: Group) -> Any:
    """Return what share of the parameter is added to the gradient."""
    return 0 if group.get("decoupled_weight_decay") else group.get("weight_decay", 0)


def _descent(param: Tensor, grad: Tensor, group: Group) -> Tensor:
    """Return the gradient to go down, with the weight decay."""
    decay = _decay(group)
    grad = -grad if group["maximize"] else grad
    if isinstance(decay, Tensor):
        return grad + param.clone() * decay
    return grad + param * decay if decay != 0 else grad
