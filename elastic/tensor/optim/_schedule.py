"""LRScheduler, the base of the schedules, and what they share."""

from __future__ import annotations

import warnings
from types import FunctionType
from typing import Any

from elastic.tensor import Tensor
from elastic.tensor.optim.optimizer import Group, Optimizer

__all__ = ["LRScheduler"]


class LRScheduler:
    """Base of the schedules: a subclass says in `get_lr()` what the rates at `last_epoch` are.

    `last_epoch` counts the steps taken; with -1 the schedule starts at the groups' rates, else it
    goes on after that many steps, from groups that have "initial_lr". A subclass of ours may
    write `rate(group, base_lr)` for one group instead.
    """

    _get_lr_called_within_step = False
    _is_initial = False
    _last_lr: list[Any]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(_NO_START.format(i))
        self.base_lrs = settings_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        if optimizer._opt_called is None:
            optimizer._opt_called = False
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def rate(self, group: Group, base_lr: Any) -> Any:
        """Return the rate of a group at `last_epoch`; group["lr"] is the one before."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr or rate")

    def get_lr(self) -> list[Any]:
        """Return the rates of all groups at `last_epoch`, for `step` to set."""
        warn_outside_step(self)
        groups = self.optimizer.param_groups
        return [self.rate(g, base) for g, base in zip(groups, self.base_lrs, strict=True)]

    def get_last_lr(self) -> list[Any]:
        """Return the rates that the optimizer uses now."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Set the next learning rate of every group, or those of `epoch`."""
        if self._step_count == 1:
            self._warn_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_IS_OLD, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _warn_order(self) -> None:
        if not getattr(self.optimizer.step, "hooked", False):
            warnings.warn(_OVERRIDDEN, UserWarning, stacklevel=3)
        elif not self.optimizer._opt_called:
            warnings.warn(_TOO_EARLY, UserWarning, stacklevel=3)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                rates = getattr(self, "_get_closed_form_lr", self.get_lr)()
        finally:
            self._get_lr_called_within_step = False
        self._set(rates)

    def _set(self, rates: list[Any]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            set_setting(group, "lr", rate)
        self._last_lr = settings_of(self.optimizer, "lr")

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        vars(self).update(state_dict)


class _LRScheduler(LRScheduler):
    """LRScheduler under the name that it had before PyTorch 2."""


def check_optimizer(optimizer: Any) -> None:
    """Raise a TypeError for what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def copied(value: Any) -> Any:
    """Return a value, a tensor as a copy: rates that are tensors change in place."""
    return value.clone() if isinstance(value, Tensor) else value


def settings_of(optimizer: Optimizer, name: str) -> list[Any]:
    """Return one setting of all groups."""
    return [copied(group[name]) for group in optimizer.param_groups]


def set_setting(group: Group, name: str, value: Any) -> None:
    """Change a setting of a group, in place if it is a tensor."""
    if isinstance(group[name], Tensor):
        group[name].fill_(value.item() if isinstance(value, Tensor) else value)
    else:
        group[name] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """Return one value a group, of a list of them or of one for all."""
    groups = optimizer.param_groups
    if not isinstance(value, (list, tuple)):
        value = [value] * len(groups)
    elif len(value) != len(groups):
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has "
            f"{len(value)} values, param_groups has {len(groups)}."
        )
    return [copied(each) for each in value]


def warn_outside_step(scheduler: LRScheduler) -> None:
    """Warn who asks for the next rates instead of the last."""
    if not scheduler._get_lr_called_within_step:
        warnings.warn(
            "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
            UserWarning,
            stacklevel=3,
        )


def object_vars(function: Any) -> dict[str, Any] | None:
    """Return what a callable object holds, None for a plain function: that is not saved."""
    is_plain = isinstance(function, FunctionType) or not hasattr(function, "__dict__")
    return None if is_plain else dict(vars(function))


def restore_vars(function: Any, saved: dict[str, Any] | None) -> None:
    """Give a callable object what `object_vars` returned."""
    if saved is not None:
        vars(function).update(saved)


EPOCH_IS_OLD = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler. During the deprecation, if "
    "epoch is different from None, the closed form is used instead of the new chainable form, "
    "where available. Please open an issue if you are unable to replicate your use case: "
    "https://github.com/pytorch/pytorch/issues/new/choose."
)
_NO_START = (
    "param 'initial_lr' is not specified in param_groups[{}] when resuming scheduler with "
    "last_epoch >= 0.\nThis typically happens when:\n"
    "1. You're trying to resume training from a checkpoint but haven't properly loaded the "
    "optimizer state\n"
    "2. You're using last_epoch >= 0 for a fresh training run (not recommended)"
)
_SEE = "See more details at https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
_OVERRIDDEN = (
    "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
    "initialization. Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. "
    + _SEE
)
_TOO_EARLY = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and "
    "later, you should call them in the opposite order: `optimizer.step()` before "
    "`lr_scheduler.step()`.  Failure to do this will result in PyTorch skipping the first value "
    "of the learning rate schedule. " + _SEE
)
