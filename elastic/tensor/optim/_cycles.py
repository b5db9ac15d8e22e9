"""Schedules that go up and down, and take the momentum along: cycles, restarts, one cycle."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from elastic.tensor.optim._schedule import (
    LRScheduler,
    check_optimizer,
    object_vars,
    per_group,
    restore_vars,
    set_setting,
    warn_outside_step,
)
from elastic.tensor.optim.optimizer import Group, Optimizer

__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Moves the rate down half a cosine of T_0 epochs, then from the top again, T_mult as slowly.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2016.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(
                f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}"
            )
        self.T_0 = self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: Any) -> Any:
        share = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return self.eta_min + (base_lr - self.eta_min) * share / 2

    def step(self, epoch: float | None = None) -> None:
        """Set the rates of the next epoch, or of `epoch`, which may lie between two epochs."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        else:
            self._go_to(epoch)
        self._update_lr(math.floor(epoch))

    def _go_to(self, epoch: float) -> None:
        first, grows = self.T_0, self.T_mult
        if epoch < first:
            self.T_i, self.T_cur = first, epoch
        elif grows == 1:
            self.T_cur = epoch % first
        else:
            n = int(math.log((epoch / first * (grows - 1) + 1), grows))
            self.T_cur = epoch - first * (grows**n - 1) / (grows - 1)
            self.T_i = first * grows**n


class _CyclingLR(LRScheduler):
    """What the schedules share that move the momentum against the rate."""

    cycle_momentum: bool
    use_beta1: bool

    def _start_momenta(self, base: Any, largest: Any, last_epoch: int) -> tuple[list, list]:
        """Set the groups' first momenta; return the smallest and largest ones of each group.

        Raises: ValueError if the optimizer has none.
        """
        optimizer = self.optimizer
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        bases = per_group("base_momentum", optimizer, base)
        tops = per_group("max_momentum", optimizer, largest)
        if last_epoch == -1:
            for top, low, group in zip(tops, bases, optimizer.param_groups, strict=True):
                self._set_momentum(group, top)
                group["max_momentum"] = top
                group["base_momentum"] = low
        return bases, tops

    def _set_momentum(self, group: Group, value: Any) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class CyclicLR(_CyclingLR):
    """Moves the rate up from base_lr to max_lr and down again, over and over.

    `mode` says how high later cycles go: "triangular" as high, "triangular2" half as high as the
    one before, "exp_range" gamma ** step; or `scale_fn` says it, of the number of the cycle or
    of the step ("cycle" or "iterations" in `scale_mode`).
    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2015.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups, strict=True):
                set_setting(group, "lr", lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up) + float(down)
        self.step_ratio = float(step_size_up) / self.total_size
        if mode not in _SCALES and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn else _SCALES[mode]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            momenta = self._start_momenta(base_momentum, max_momentum, last_epoch)
            self.base_momentums, self.max_momentums = momenta
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Return how high the cycle, or the step, goes: 1 is up to max_lr."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "exp_range":
            return self.gamma**x
        return 1.0 if self.mode == "triangular" else 1 / 2.0 ** (x - 1)

    def get_lr(self) -> list[Any]:
        """Return the rates of all groups at `last_epoch`, and set their momenta."""
        warn_outside_step(self)
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        rising = x <= self.step_ratio
        share = x / self.step_ratio if rising else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, top) in zip(self.optimizer.param_groups, pairs, strict=True):
                self._set_momentum(group, top - (top - low) * share * scale)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (top - low) * share * scale for low, top in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer and plain functions; of callable objects, vars."""
        state = super().state_dict()
        return {**state, "_scale_fn_custom": object_vars(state["_scale_fn_custom"])}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; the function stays this schedule's."""
        state = dict(state_dict)
        restore_vars(self._scale_fn_custom, state.pop("_scale_fn_custom"))
        super().load_state_dict(state)


_SCALES = {"triangular": "cycle", "triangular2": "cycle", "exp_range": "iterations"}


class OneCycleLR(_CyclingLR):
    """Moves the rate from max_lr / div_factor up to max_lr, and far down: once, in total_steps.

    `pct_start` is the share of the steps that go up. With `three_phase` the way down ends at the
    first rate, and a third phase goes on to that / final_div_factor. The momentum goes the other
    way. It is stepped after each batch.
    Source: Smith and Topin, "Super-Convergence", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        check_strategy(anneal_strategy)
        self._anneal_func_type = anneal_strategy
        tops = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for top, group in zip(tops, optimizer.param_groups, strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momenta(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the rates of all groups at `last_epoch`, and set their momenta.

        Raises: ValueError after `total_steps`.
        """
        warn_outside_step(self)
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"Tried to step {self.last_epoch} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        phase, share = self._phase()
        for group in self.optimizer.param_groups if self.cycle_momentum else ():
            ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
            self._set_momentum(group, self._between(*ends, share))
        return [
            self._between(group[phase["start_lr"]], group[phase["end_lr"]], share)
            for group in self.optimizer.param_groups
        ]

    def _phase(self) -> tuple[dict[str, Any], float]:
        """Return the phase that `last_epoch` is in, and which share of it is past."""
        start = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if self.last_epoch <= end or phase is self._schedule_phases[-1]:
                break
            start = end
        return phase, (self.last_epoch - start) / (end - start)

    def _between(self, start: Any, end: Any, share: float) -> Any:
        if self._anneal_func_type == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


def check_strategy(strategy: str) -> None:
    """Raise a ValueError for what is no way from one rate to another."""
    if strategy not in ("cos", "linear"):
        raise ValueError(
            f"anneal_strategy must be one of 'cos' or 'linear', instead got {strategy}"
        )


def _total_steps(total: int | None, epochs: int | None, each: int | None) -> int:
    if total is not None:
        return _positive("total_steps", total)
    if epochs is None or each is None:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    return _positive("epochs", epochs) * _positive("steps_per_epoch", each)


def _positive(name: str, value: Any) -> int:
    if value <= 0 or not isinstance(value, int):
        raise ValueError(f"Expected positive integer {name}, but got {value}")
    return value


def _phases(total: int, start: float, three: bool) -> list[dict[str, Any]]:
    rates = ["initial_lr", "max_lr", *(["initial_lr"] if three else []), "min_lr"]
    momenta = ["max_momentum", "base_momentum", "max_momentum", *(["max_momentum"] * three)]
    ends = [float(start * total) - 1, *([float(2 * start * total) - 2] if three else []), total - 1]
    return [
        {
            "end_step": end,
            "start_lr": rates[k],
            "end_lr": rates[k + 1],
            "start_momentum": momenta[k],
            "end_momentum": momenta[k + 1],
        }
        for k, end in enumerate(ends)
    ]
