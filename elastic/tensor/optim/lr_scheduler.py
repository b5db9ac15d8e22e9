"""Learning rate schedules: `scheduler.step()` after each epoch, or step, of the optimizer.

A schedule computes each rate from the one before, as PyTorch does, so the rates are the same bits.
A rate that is a tensor is changed in place.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from elastic.tensor.optim._cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from elastic.tensor.optim._schedule import (
    EPOCH_IS_OLD,
    LRScheduler,
    _LRScheduler,
    check_optimizer,
    object_vars,
    restore_vars,
    set_setting,
    settings_of,
    warn_outside_step,
)
from elastic.tensor.optim.optimizer import Group, Optimizer

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "_LRScheduler",
]

Factor = Callable[[int], float]


class LambdaLR(LRScheduler):
    """Multiplies the first rate by lr_lambda(epoch); one function for all groups or one a group."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ):
        self.optimizer = optimizer
        groups = optimizer.param_groups
        if not isinstance(lr_lambda, (list, tuple)):
            lr_lambda = [lr_lambda] * len(groups)  # type: ignore[list-item]
        elif len(lr_lambda) != len(groups):
            raise ValueError(f"Expected {len(groups)} lr_lambdas, but got {len(lr_lambda)}")
        self.lr_lambdas = list(lr_lambda)
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[float]:
        return [function(self.last_epoch) for function in self.lr_lambdas]

    def get_lr(self) -> list[Any]:
        warn_outside_step(self)
        pairs = zip(self.base_lrs, self._factors(), strict=True)
        return [base * factor for base, factor in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer and plain functions; of callable objects, vars."""
        return {**super().state_dict(), "lr_lambdas": [object_vars(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; the functions stay this schedule's."""
        state = dict(state_dict)
        for function, saved in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            restore_vars(function, saved)
        super().load_state_dict(state)


class MultiplicativeLR(LambdaLR):
    """Multiplies the rate by lr_lambda(epoch) every epoch."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ):
        for function in lr_lambda if isinstance(lr_lambda, (list, tuple)) else [lr_lambda]:
            if not callable(function):
                kind = type(function).__name__
                raise TypeError(f"lr_lambda should be a function, but got {kind}")
        super().__init__(optimizer, lr_lambda, last_epoch)

    def get_lr(self) -> list[Any]:
        warn_outside_step(self)
        if self._is_initial:
            return settings_of(self.optimizer, "lr")
        pairs = zip(self.optimizer.param_groups, self._factors(), strict=True)
        return [group["lr"] * factor for group, factor in pairs]


class StepLR(LRScheduler):
    """Multiplies the rate by gamma every step_size epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ):
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: Any) -> Any:
        due = self.last_epoch != 0 and self.last_epoch % self.step_size == 0
        return group["lr"] * self.gamma if due else group["lr"]

    def _get_closed_form_lr(self) -> list[Any]:
        factor = self.gamma ** (self.last_epoch // self.step_size)
        return [base * factor for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Multiplies the rate by gamma at each of the milestones."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ):
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: Any) -> Any:
        times = self.milestones.get(self.last_epoch)
        return group["lr"] if times is None else group["lr"] * self.gamma**times

    def _get_closed_form_lr(self) -> list[Any]:
        times = bisect_right(sorted(Counter(self.milestones).elements()), self.last_epoch)
        return [base * self.gamma**times for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """Multiplies the rate by factor until total_iters epochs have passed."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if factor > 1.0 or factor < 0:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: Any) -> Any:
        if self.last_epoch == 0:
            return group["lr"] * self.factor
        over = self.last_epoch == self.total_iters
        return group["lr"] * (1.0 / self.factor) if over else group["lr"]

    def _get_closed_form_lr(self) -> list[Any]:
        rest = (self.last_epoch >= self.total_iters) * (1 - self.factor)
        return [base * (self.factor + rest) for base in self.base_lrs]


class LinearLR(LRScheduler):
    """Moves the rate's factor in a straight line, from start_factor to end_factor."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if start_factor > 1.0 or start_factor <= 0:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal "
                "to 1."
            )
        if end_factor > 1.0 or end_factor < 0:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: Any) -> Any:
        if self.last_epoch == 0:
            return group["lr"] * self.start_factor
        if self._is_initial or self.last_epoch > self.total_iters:
            return group["lr"]
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return group["lr"] * (1.0 + rise / before)

    def _get_closed_form_lr(self) -> list[Any]:
        rise = self.end_factor - self.start_factor
        past = min(self.total_iters, self.last_epoch)
        return [
            base * (self.start_factor + rise * past / self.total_iters) for base in self.base_lrs
        ]


class ExponentialLR(LRScheduler):
    """Multiplies the rate by gamma every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: Any) -> Any:
        return group["lr"] if self._is_initial else group["lr"] * self.gamma

    def _get_closed_form_lr(self) -> list[Any]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """Moves the rate to zero as (1 - epoch / total_iters) ** power."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ):
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: Any) -> Any:
        if self._is_initial or self.last_epoch > self.total_iters:
            return group["lr"]
        rest = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return group["lr"] * (rest / before) ** self.power

    def _get_closed_form_lr(self) -> list[Any]:
        rest = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * rest**self.power for base in self.base_lrs]


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

    def rate(self, group: Group, base_lr: Any) -> Any:
        epoch, rate = self.last_epoch, group["lr"]
        if self._is_initial:
            return rate
        if self._step_count == 1 and epoch > 0:  # there is no rate before
            return self._closed(base_lr)
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # the valley: the quotient is 0 / 0
            return rate + (base_lr - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2
        height = rate - self.eta_min
        return (1 + self._cos(epoch)) / (1 + self._cos(epoch - 1)) * height + self.eta_min

    def _cos(self, epoch: int) -> float:
        return math.cos(math.pi * epoch / self.T_max)

    def _closed(self, base_lr: Any) -> Any:
        return self.eta_min + (base_lr - self.eta_min) * (1 + self._cos(self.last_epoch)) / 2

    def _get_closed_form_lr(self) -> list[Any]:
        return [self._closed(base) for base in self.base_lrs]


class _Composed(LRScheduler):
    """What the schedules share that are made of others."""

    _schedulers: Sequence[LRScheduler]

    def _check(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> None:
        name = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires "
                    "additional kwargs to be specified when calling `step`, but got one at index "
                    f"{i} in the given schedulers sequence."
                )
            if optimizer != scheduler.optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got "
                    f"scheduler {type(scheduler).__name__} at index {i} has "
                    f"{scheduler.optimizer}, which is different from {type(optimizer).__name__}."
                )

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer, with the state_dicts of the schedules."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        state = dict(state_dict)
        for scheduler, saved in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(saved)
        super().load_state_dict(state)


class SequentialLR(_Composed):
    """One schedule after another: the next takes over at each of the milestones."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ):
        if not schedulers:
            raise ValueError(
                f"{type(self).__name__} expects at least one scheduler, but got no scheduler."
            )
        self._check(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than "
                "the number of milestone points, but got number of schedulers "
                f"{len(schedulers)} and the number of milestones to be equal to {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        for group in optimizer.param_groups:  # as before the schedules, which have all begun
            set_setting(group, "lr", group["initial_lr"])
        self.recursive_undo()
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched: Any = None) -> None:
        """Take back the first step of all schedules."""
        sched = self if sched is None else sched
        if isinstance(sched, _Composed):
            for each in sched._schedulers:
                self.recursive_undo(each)
        else:
            sched.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """Set the next learning rate of every group."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Composed):
    """Several schedules at once: each changes the rate that the one before has set."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        if not schedulers:
            raise ValueError(
                f"{type(self).__name__} expects at least one scheduler to be chained, but got no "
                "scheduler."
            )
        optimizer = optimizer or schedulers[0].optimizer
        self._check(optimizer, schedulers)
        self._schedulers = schedulers
        self.optimizer = optimizer
        self._last_lr = settings_of(optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Set the next learning rate of every group."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = settings_of(self.optimizer, "lr")


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by factor when a metric has not become better for `patience` epochs.

    Better is lower (`mode` "min") or higher ("max"), by more than `threshold`, which is relative
    ("rel") or absolute ("abs"). After a change `cooldown` epochs do not count.
    """

    mode: str
    threshold: float
    threshold_mode: str

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ):
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        self.factor = factor
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.default_min_lr, self.min_lrs = _lowest(min_lr, len(optimizer.param_groups))
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = settings_of(optimizer, "lr")
        self._init_is_better(mode, threshold, threshold_mode)
        self._reset()

    def _init_is_better(self, mode: str, threshold: float, threshold_mode: str) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown!")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown!")
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode

    def _reset(self) -> None:
        """Forget the metrics."""
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take note of the metric of an epoch, and lower the rates when it stays bad."""
        current = float(metrics)
        if epoch is not None:
            warnings.warn(EPOCH_IS_OLD, UserWarning, stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = settings_of(self.optimizer, "lr")

    @property
    def in_cooldown(self) -> bool:
        """Whether bad epochs do not count at present."""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "abs":
            return sign * a > sign * (best + sign * self.threshold)
        return sign * a > sign * (best * (1.0 + sign * self.threshold))

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(_NEW_GROUPS.format(len(groups), len(self.min_lrs)))
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, lowest in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, lowest)
            if old - new > self.eps:
                set_setting(group, "lr", new)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        super().load_state_dict(state_dict)
        self._init_is_better(self.mode, self.threshold, self.threshold_mode)


def _lowest(min_lr: Any, count: int) -> tuple[Any, list[float]]:
    if not isinstance(min_lr, (list, tuple)):
        return min_lr, [min_lr] * count
    if len(min_lr) != count:
        raise ValueError(f"expected {count} min_lrs, got {len(min_lr)}")
    return None, list(min_lr)


_NEW_GROUPS = (
    "The number of param groups in the `optimizer` ({}) differs from when `ReduceLROnPlateau` was "
    "initialized ({}), usually due to a new param group being added to the optimizer. Please "
    "modify the `min_lrs` field to match the length of the `optimizer` param groups."
)
