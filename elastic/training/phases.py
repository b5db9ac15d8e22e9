"""The phases of a step as the user gives them: a train_step, or pairs with an update each (U2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from elastic.errors import ConfigError
from elastic.tensor.optim import Optimizer
from elastic.tensor.optim.lr_scheduler import LRScheduler
from elastic.training.state import State
from elastic.training.steps import Pair

__all__ = ["make_pairs"]


def make_pairs(
    state: State,
    train_step: Any,
    update: Callable[[State], None] | None,
    scheduler_every: str | None,
    steps_per_epoch: int | None,
) -> tuple[Pair, ...]:
    """Return the phases of a step. Raises ConfigError for what is none."""
    if isinstance(train_step, list | tuple):
        return _given(train_step, {"update": update, "scheduler_every": scheduler_every})
    if not callable(train_step):
        raise ConfigError(
            "train_step expects a function, or a list of (train_step, update) pairs; got "
            f"{type(train_step).__name__}"
        )
    if update is not None and scheduler_every is not None:
        raise ConfigError(
            "scheduler_every is for the default update, got an update= too: step the scheduler in "
            "it, and leave scheduler_every out"
        )
    return (Pair(train_step, update or default_update(state, scheduler_every, steps_per_epoch)),)


def _given(pairs: Any, others: dict[str, Any]) -> tuple[Pair, ...]:
    for name, value in others.items():
        if value is not None:
            raise ConfigError(
                f"a list of (train_step, update) pairs has its updates, got {name}= too; "
                "leave it out"
            )
    for number, pair in enumerate(pairs):
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(map(callable, pair))):
            raise ConfigError(
                f"train_step expects a list of (train_step, update) pairs of functions, phase "
                f"{number} is {_described(pair)}"
            )
    if not pairs:
        raise ConfigError("train_step expects at least one (train_step, update) pair, got none")
    return tuple(Pair(*pair) for pair in pairs)


def _described(pair: Any) -> str:
    if isinstance(pair, list | tuple):
        return f"({', '.join(type(each).__name__ for each in pair)})"
    return f"a {type(pair).__name__}"


def default_update(
    state: State, scheduler_every: str | None, steps_per_epoch: int | None
) -> Callable[[State], None]:
    """Return the default `update`: every optimizer steps and zeroes its gradients (U3)."""
    optimizers = [part for _, part in state.parts() if isinstance(part, Optimizer)]
    schedulers = [part for _, part in state.parts() if isinstance(part, LRScheduler)]
    if not optimizers:
        raise ConfigError("State expects an optimizer, or train an update= of your own")
    _check_schedule(bool(schedulers), scheduler_every, steps_per_epoch)
    period = (steps_per_epoch or 1) if scheduler_every == "epoch" else 1

    def update(state: State) -> None:
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if (state.step + 1) % period == 0:
            for scheduler in schedulers:
                scheduler.step()

    return update


def _check_schedule(
    has_schedulers: bool, scheduler_every: str | None, steps_per_epoch: int | None
) -> None:
    if has_schedulers and scheduler_every is None:
        raise ConfigError(
            "State has a scheduler: say scheduler_every='step' or 'epoch', or give an update="
        )
    if scheduler_every not in (None, "step", "epoch"):
        raise ConfigError(
            f"scheduler_every expects one of 'step', 'epoch', got {scheduler_every!r}"
        )
    if scheduler_every == "epoch" and steps_per_epoch is None:
        raise ConfigError(
            "scheduler_every='epoch' expects epochs of known length, got a stream; step the "
            "scheduler in on_epoch, with an update= that steps the optimizer"
        )
