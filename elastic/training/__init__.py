"""Training: State, the loop, its hooks. Here the rooms below are introduced to each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from elastic.control import ENV_BIND, ENV_JOB, ENV_TLS, ENV_TOKEN
from elastic.training.evaluation import evaluate
from elastic.training.identity import identity
from elastic.training.link import AloneLink, link_to_agent
from elastic.training.loop import Loop
from elastic.training.options import Options, make_options
from elastic.training.result import Result
from elastic.training.solo import SoloGroup
from elastic.training.state import State
from elastic.training.steps import Steps

__all__ = ["Result", "State", "evaluate", "train"]

Phase = tuple[Callable[[State, Any], Any], Callable[[State], None]]
"""A (train_step, update) pair."""


def train(
    state: State,
    train_step: Callable[[State, Any], Any] | Sequence[Phase],
    *,
    epochs: int | None = None,
    steps: int | None = None,
    sync: Callable[..., Any] | None = None,
    update: Callable[[State], None] | None = None,
    on_step: Callable[..., Any] | None = None,
    on_epoch: Callable[..., Any] | None = None,
    scheduler_every: str | None = None,
    checkpoint_dir: str | Path | None = None,
    checkpoint_every: int | None = None,
    checkpoint_keep: int = 3,
    nonfinite: str = "warn",
    drift_every: int = 100,
    on_drift: str = "error",
) -> Result:
    """Return when all steps are committed, whoever died, left or joined on the way.

    The weights are the same bits for any number of workers and any history of failures.

    Args:
        state: all that must survive: modules, optimizers, one DataLoader, plain values.
        train_step: `train_step(state, batch)` for one micro-batch; returns its loss (a scalar
            tensor), or a dict of `loss`, `weight` (default: the number of samples), `metrics`, and
            `carry`: a tree of tensors, arrays and plain values that is `state.carry` for the same
            micro-batch in the next step. State is read-only in it, but for module buffers and
            gradients. Raising StopIteration ends training before this step's update. A list of
            (train_step, update) pairs makes steps of several phases: each pair is run on the same
            batch, in order, and metrics of a later phase replace those of the same name.
        epochs, steps: how long; one of them.
        sync: `sync(state, world)` after every change of membership.
        update: `update(state)` on the reduced gradients; by default every optimizer steps.
        on_step: `on_step(state, metrics)` after each step.
        on_epoch: `on_epoch(state, world)` after each epoch.
        scheduler_every: 'step' or 'epoch', if State has a learning-rate scheduler.
        checkpoint_dir: where checkpoints are; the newest whole one is resumed.
        checkpoint_every: in steps; by default once an epoch.
        checkpoint_keep: how many of the newest checkpoints stay.
        nonfinite: 'warn' or 'error' when a loss is nan or inf.
        drift_every: in how many steps the workers' parameters are compared once; 0: never.
        on_drift: 'error', or 'heal': workers that differ from the majority come back with its
            State.

    Raises:
        ConfigError, DataError, StateError, CheckpointError: bad input, before anything is lost.
        DriftError: workers' parameters are no longer equal.
        NonFiniteError: a loss is nan or inf, and `nonfinite='error'`.
        RefusedError: the group runs another script, model or version.
    """
    options = make_options(
        state,
        train_step,
        epochs=epochs,
        steps=steps,
        update=update,
        scheduler_every=scheduler_every,
        checkpoint_dir=checkpoint_dir,
        checkpoint_every=checkpoint_every,
        checkpoint_keep=checkpoint_keep,
        nonfinite=nonfinite,
        drift_every=drift_every,
        on_drift=on_drift,
        sync=sync,
        on_step=on_step,
        on_epoch=on_epoch,
    )
    return _run(options)


def _run(options: Options) -> Result:
    loader = options.loader
    loader.begin()
    who = identity(_model(options), _schedule(options))
    link = link_to_agent()
    group = SoloGroup() if isinstance(link, AloneLink) else _listen(link)
    steps = Steps(options.state, loader, options.pairs, options.drift_every)
    try:
        return Loop(options, steps, link, group, who).run()
    finally:
        group.close()


def _model(options: Options) -> str:
    """What a checkpoint must be of: other phases would count its steps otherwise."""
    phases = len(options.pairs)
    return options.state.fingerprint() + (f" of {phases} phases a step" if phases > 1 else "")


def _schedule(options: Options) -> str:
    loader = options.loader
    batch = f"{loader.batch_size} samples in {loader.micro_batches} micro-batches"
    if options.epochs is not None:
        return f"{options.epochs} epochs of a stream, {batch}"
    epoch = options.steps_per_epoch or "any number of"
    return f"{options.total_steps} steps of {batch}, {epoch} steps an epoch"


def _tls() -> Any:
    from elastic.tls import TLSFiles

    paths = {name: os.environ.get(variable, "") for name, variable in ENV_TLS.items()}
    return TLSFiles(**paths) if paths["ca"] else None


def _listen(link: Any) -> Any:
    from elastic.clock import monotonic
    from elastic.collectives.group import Group
    from elastic.control import Suspect
    from elastic.telemetry.refusals import Refusals

    def suspect(generation: int, id: str, reason: str) -> None:
        link.send(Suspect(generation, id, reason, monotonic()))

    return Group(
        os.environ.get(ENV_JOB, "job"),
        token=os.environ.get(ENV_TOKEN) or None,
        bind=os.environ.get(ENV_BIND, "127.0.0.1"),
        on_suspect=suspect,
        refusals=Refusals("collectives", link.send),
        tls=_tls(),
    )
