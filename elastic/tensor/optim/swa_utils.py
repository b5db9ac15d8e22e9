"""Averages of models over a training: stochastic weight averaging and moving averages."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor, nn
from elastic.tensor.optim._cycles import check_strategy
from elastic.tensor.optim._schedule import LRScheduler, per_group
from elastic.tensor.optim.optimizer import Group, Optimizer

__all__ = [
    "AveragedModel",
    "SWALR",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Tensors = Sequence[Tensor]


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """Return f(averages, tensors, count) that moves each average towards its tensor, in place.

    Raises: ValueError for a decay outside [0, 1].
    """
    average = get_ema_avg_fn(decay)

    @torch.no_grad()
    def ema_update(ema_param_list: Tensors, current_param_list: Tensors, _: Any) -> None:
        for mean, now in zip(ema_param_list, current_param_list, strict=True):
            if mean.is_floating_point() or mean.is_complex():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(average(mean, now, _))

    return ema_update


def get_swa_multi_avg_fn() -> Callable:
    """Return f(averages, tensors, count) that takes each tensor into its mean, in place."""

    @torch.no_grad()
    def swa_update(
        averaged_param_list: Tensors, current_param_list: Tensors, num_averaged: Tensor | int
    ) -> None:
        share = 1 / (int(num_averaged) + 1)
        for mean, now in zip(averaged_param_list, current_param_list, strict=True):
            if mean.is_floating_point() or mean.is_complex():
                mean.lerp_(now, share)
            else:
                mean.copy_(mean + (now - mean) * share)

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """Return f(average, tensor, count) that gives the average moved towards the tensor.

    Raises: ValueError for a decay outside [0, 1].
    """
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )

    @torch.no_grad()
    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return ema_param * decay + current_param * (1 - decay)

    return ema_update


def get_swa_avg_fn() -> Callable:
    """Return f(average, tensor, count) that gives the mean with one more tensor in it."""

    @torch.no_grad()
    def swa_update(
        averaged_param: Tensor, current_param: Tensor, num_averaged: Tensor | int
    ) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(nn.Module):
    """A model whose parameters are the average of another's at each `update_parameters`.

    `avg_fn(average, parameter, count)` says which, `multi_avg_fn` says it of all parameters at
    once, in place; by default it is their mean. Buffers are averaged with `use_buffers`, else
    they are copied.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: nn.Module,
        device: Any = None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        count = torch.tensor(0, dtype=torch.long, device=device)
        self.register_buffer("n_averaged", count)
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the averaged model gives."""
        return self.module(*args, **kwargs)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take the parameters of `model` into the average; the first time they are copied."""
        pairs = [
            (mean.detach(), now.detach().to(mean.device))
            for mean, now in zip(self._tensors(self.module), self._tensors(model), strict=False)
        ]
        if self.n_averaged == 0:
            for mean, now in pairs:
                mean.copy_(now)
        elif pairs:
            self._average(pairs)
        if not self.use_buffers:
            for ours, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                ours.copy_(theirs.detach().to(ours.device))
        self.n_averaged += 1

    def _tensors(self, model: nn.Module) -> Iterable[Tensor]:
        buffers = model.buffers() if self.use_buffers else ()
        return itertools.chain(model.parameters(), buffers)

    def _average(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        if self.avg_fn is not None:
            for mean, now in pairs:
                mean.copy_(self.avg_fn(mean, now, self.n_averaged.to(mean.device)))
            return
        average = self.multi_avg_fn or get_swa_multi_avg_fn()
        alike: dict[Any, list[tuple[Tensor, Tensor]]] = {}
        for mean, now in pairs:
            alike.setdefault((mean.device, mean.dtype), []).append((mean, now))
        for (device, _), each in alike.items():
            means, nows = map(list, zip(*each, strict=True))
            average(means, nows, self.n_averaged.to(device))


@torch.no_grad()
def update_bn(loader: Iterable[Any], model: nn.Module, device: Any = None) -> None:
    """Compute the statistics of all batch norms of a model anew, from one pass over `loader`.

    Of a batch that is a list or tuple the first entry is given to the model.
    """
    momenta: dict[Any, Any] = {}
    for module in model.modules():
        if hasattr(module, "reset_running_stats") and hasattr(module, "momentum"):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None  # the plain mean over all batches
    for batch in loader:
        batch = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(batch if device is None else batch.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Moves the rate to swa_lr in anneal_epochs, along a cosine or a line, and keeps it there."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ):
        rates = per_group("swa_lr", optimizer, swa_lr)
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        check_strategy(anneal_strategy)
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base_lr: Any) -> Any:
        step = self._step_count - 1
        step = max(1, step) if self.anneal_epochs == 0 else step
        lr, end, before = group["lr"], group["swa_lr"], self._share(step - 1)
        start = end if before == 1 else (lr - before * end) / (1 - before)
        share = self._share(step)
        return end * share + start * (1 - share)

    def _share(self, step: int) -> float:
        """Return how much of the way to swa_lr is past."""
        past = max(0, min(1, step / max(1, self.anneal_epochs)))
        return past if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * past)) / 2
