"""Learning rate schedules: `scheduler.step()` after each epoch, or step, of the optimizer.

A schedule computes each rate from the one before, as PyTorch does, so the rates are the same bits.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

from elastic.tensor.optim.optimizer import Group, Optimizer

__all__ = ["CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "StepLR"]


class LRScheduler:
    """Base of the schedules: a subclass says in `rate(group, base_lr)` what the next rate is.

    `last_epoch` counts the steps taken; with -1 the schedule starts at the groups' rates, else it
    goes on after that many steps, from groups that have "initial_lr".
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group["initial_lr"] = group["lr"]
            elif "initial_lr" not in group:
                raise KeyError(
                    "param 'initial_lr' is not specified in "
                    f"param_groups[{i}] when resuming scheduler with last_epoch >= 0.\n"
                    "This typically happens when:\n"
                    "1. You're trying to resume training from a checkpoint but haven't properly "
                    "loaded the optimizer state\n"
                    "2. You're using last_epoch >= 0 for a fresh training run (not recommended)"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._advance()

    def rate(self, group: Group, base_lr: float) -> float:
        """Return the rate of a group at `last_epoch`; group["lr"] is the one before."""
        raise NotImplementedError(f"{type(self).__name__} must define rate")

    def step(self) -> None:
        """Set the next learning rate of every group."""
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch "
                "1.1.0 and later, you should call them in the opposite order: `optimizer.step()` "
                "before `lr_scheduler.step()`. Failure to do this will result in PyTorch skipping "
                "the first value of the learning rate schedule.",
                UserWarning,
                stacklevel=2,
            )
        self._advance()

    def _advance(self) -> None:
        self._step_count += 1
        self.last_epoch += 1
        groups = self.optimizer.param_groups
        for group, rate in zip(groups, self.get_lr(), strict=True):
            group["lr"] = rate
        self._last_lr = [group["lr"] for group in groups]

    def get_lr(self) -> list[float]:
        """Return the rates of all groups at `last_epoch`."""
        groups = self.optimizer.param_groups
        return [self.rate(g, base) for g, base in zip(groups, self.base_lrs, strict=True)]

    def get_last_lr(self) -> list[float]:
        """Return the rates that the optimizer uses now."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        vars(self).update(state_dict)


class StepLR(LRScheduler):
    """Multiplies the rate by gamma every step_size epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ):
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: float) -> float:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return group["lr"] * self.gamma if due else group["lr"]


class ExponentialLR(LRScheduler):
    """Multiplies the rate by gamma every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: float) -> float:
        return group["lr"] * self.gamma if self.last_epoch > 0 else group["lr"]


class CosineAnnealingLR(LRScheduler):
    """Moves the rate from its start to eta_min along half a cosine of T_max epochs, and back.

    Source: Loshchilov and Hutter, "SGDR", 2016, without the restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ):
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: float) -> float:
        epoch, rate = self.last_epoch, group["lr"]
        height = base_lr - self.eta_min
        if epoch == 0:
            return rate
        if self._step_count == 1:  # resumed in the middle: there is no rate before
            return self.eta_min + height * (1 + self._cos(epoch)) / 2
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # the valley: the quotient is 0 / 0
            return rate + height * (1 - self._cos(1)) / 2
        return (1 + self._cos(epoch)) / (1 + self._cos(epoch - 1)) * (
            rate - self.eta_min
        ) + self.eta_min

    def _cos(self, epoch: int) -> float:
        return math.cos(math.pi * epoch / self.T_max)


class LambdaLR(LRScheduler):
    """Multiplies the first rate by lr_lambda(epoch); one function for all groups or one a group."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        groups = optimizer.param_groups
        if callable(lr_lambda):
            lr_lambda = [lr_lambda] * len(groups)
        self.lr_lambdas = list(lr_lambda)
        if len(self.lr_lambdas) != len(groups):
            raise ValueError(f"Expected {len(groups)} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [
            base * function(self.last_epoch)
            for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer and plain functions; of callable objects, vars."""
        state = {k: v for k, v in super().state_dict().items() if k != "lr_lambdas"}
        return {**state, "lr_lambdas": [_object_vars(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; the functions stay this schedule's."""
        state = dict(state_dict)
        for function, saved in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            if saved is not None:
                vars(function).update(saved)
        super().load_state_dict(state)


def _object_vars(function: Any) -> dict[str, Any] | None:
    is_plain = isinstance(function, FunctionType) or not hasattr(function, "__dict__")
    return None if is_plain else dict(vars(function))
