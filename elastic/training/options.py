"""What a user asks of `elastic.train`, checked before anything begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastic.data import DataLoader
from elastic.errors import ConfigError
from elastic.training.phases import make_pairs
from elastic.training.state import State
from elastic.training.steps import Pair

__all__ = ["Options", "make_options"]

_ENDLESS = 1 << 53


@dataclass(frozen=True)
class Options:
    """The arguments of `elastic.train`, complete and consistent."""

    state: State
    loader: DataLoader
    pairs: tuple[Pair, ...]
    """The phases of a step; most jobs have one."""
    sync: Callable[..., Any] | None
    on_step: Callable[..., Any] | None
    on_epoch: Callable[..., Any] | None
    total_steps: int
    """Of a stream that is trained on by epochs: more than there are; see `epochs`."""
    epochs: int | None
    """Set if only the data can tell when so many epochs are over."""
    steps_per_epoch: int | None
    """None: of a stream."""
    checkpoint_dir: Path | None
    checkpoint_every: int
    checkpoint_keep: int
    nonfinite: str
    drift_every: int
    on_drift: str


def make_options(
    state: State,
    train_step: Any,
    *,
    epochs: int | None,
    steps: int | None,
    update: Callable[[State], None] | None,
    scheduler_every: str | None,
    checkpoint_dir: str | Path | None,
    checkpoint_every: int | None,
    checkpoint_keep: int,
    nonfinite: str,
    drift_every: int,
    on_drift: str,
    **hooks: Callable[..., Any] | None,
) -> Options:
    """Return the options. Raises ConfigError for what does not fit together."""
    _check_callables({"update": update, **hooks})
    if not isinstance(state, State):
        raise ConfigError(f"train expects an elastic.State, got {type(state).__name__}")
    _check_untrained(state)
    _one_of("nonfinite", nonfinite, ("warn", "error"))
    _one_of("on_drift", on_drift, ("error", "heal"))
    _check_whole("drift_every", drift_every, least=0)
    loader = find_loader(state)
    loader.check_elastic()
    per_epoch = None if loader.stream is not None else loader.steps_per_epoch
    _check_whole("checkpoint_every", checkpoint_every)
    _check_whole("checkpoint_keep", checkpoint_keep)
    if per_epoch is None and checkpoint_dir is not None and checkpoint_every is None:
        raise ConfigError(
            "a stream has no known number of steps an epoch; say checkpoint_every= in steps"
        )
    return Options(
        state,
        loader,
        make_pairs(state, train_step, update, scheduler_every, per_epoch),
        hooks.get("sync"),
        hooks.get("on_step"),
        hooks.get("on_epoch"),
        _total_steps(epochs, steps, per_epoch),
        epochs if per_epoch is None else None,
        per_epoch,
        None if checkpoint_dir is None else Path(checkpoint_dir),
        checkpoint_every or per_epoch or 0,
        checkpoint_keep,
        nonfinite,
        drift_every,
        on_drift,
    )


def _check_callables(functions: dict[str, Any]) -> None:
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise ConfigError(f"{name} expects a function, got {type(function).__name__}")


def _check_untrained(state: State) -> None:
    if state.step:
        raise ConfigError(
            f"train expects a State that no training has begun with, got one of step {state.step}; "
            "make a new State of the same parts"
        )


def _check_whole(name: str, value: Any, least: int = 1) -> None:
    if value is not None and (type(value) is not int or value < least):
        raise ConfigError(f"{name} expects a whole number of at least {least}, got {value!r}")


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} expects one of {', '.join(map(repr, choices))}, got {value!r}")


def _total_steps(epochs: int | None, steps: int | None, per_epoch: int | None) -> int:
    if (epochs is None) == (steps is None):
        raise ConfigError("train expects either epochs= or steps=, so that all know the end")
    _check_whole("epochs", epochs)
    _check_whole("steps", steps)
    if steps is not None:
        return steps
    return _ENDLESS if per_epoch is None else (epochs or 0) * per_epoch


def find_loader(state: State) -> DataLoader:
    """Return the loader that training consumes: the only one in State, or that named `loader`."""
    loaders = {name: part for name, part in state.parts() if isinstance(part, DataLoader)}
    if len(loaders) == 1:
        return next(iter(loaders.values()))
    if "loader" in loaders:
        return loaders["loader"]
    found = ", ".join(loaders) or "none"
    raise ConfigError(
        f"State expects one DataLoader to train on, got {found}; name it: State(…, loader=…)"
    )
