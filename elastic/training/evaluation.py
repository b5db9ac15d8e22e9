"""Evaluation, shared by the members of the group."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from elastic.collectives.plan import deal
from elastic.data import DataLoader
from elastic.errors import ConfigError
from elastic.tensor import no_grad
from elastic.training import randomness
from elastic.training.groups import current_group
from elastic.training.metrics import as_float, weighted_mean
from elastic.training.state import State

__all__ = ["evaluate"]


def evaluate(
    state: State,
    fn: Callable[[State, Any], Mapping[str, Any]],
    loader: DataLoader,
) -> dict[str, float]:
    """Return the means of the metrics that `fn(state, batch)` returns, over all batches.

    Inside `sync`, `on_step` and `on_epoch` the members share the batches, and all get the result;
    elsewhere each evaluates alone. A batch counts by its number of samples, the means are added in
    canonical order, and random numbers depend on the step and the batch alone: the same bits for
    any number of members. Modules are in evaluation mode meanwhile, and no gradient is recorded.

    Raises:
        ConfigError: `fn` returned something other than a dict of numbers.
    """
    group = current_group()
    batches = loader.batch_indices()
    size, rank = (group.size, group.rank) if group is not None else (1, 0)
    with no_grad(), _evaluation_mode(state), randomness.restored():
        mine = [_one(state, fn, loader, i, batches[i]) for i in deal(len(batches), size)[rank]]
    if group is None:
        gathered = [mine]
    else:
        gathered = [json.loads(blob) for blob in group.gather(json.dumps(mine).encode())]
    parts = sorted((part for parts in gathered for part in parts), key=lambda part: part[0])
    return weighted_mean([(weight, metrics) for _, weight, metrics in parts])


@contextmanager
def _evaluation_mode(state: State) -> Iterator[None]:
    modules = state.named_modules().values()
    were_training = [module for module in modules if module.training]
    try:
        for module in were_training:
            module.training = False
        yield
    finally:
        for module in were_training:
            module.training = True


def _one(
    state: State,
    fn: Callable[[State, Any], Mapping[str, Any]],
    loader: DataLoader,
    position: int,
    indices: tuple[int, ...],
) -> tuple[int, float, dict[str, float]]:
    randomness.seed_sample(loader.seed or 0, state.step, position)
    metrics = fn(state, loader.collate(indices))
    if not isinstance(metrics, Mapping):
        raise ConfigError(
            f"elastic.evaluate expects a dict of numbers from its function, got "
            f"{type(metrics).__name__}; return for example {{'accuracy': …}}"
        )
    return position, float(len(indices)), {k: as_float(k, v) for k, v in metrics.items()}
