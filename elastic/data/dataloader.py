"""The loader: PyTorch's when iterated over, exactly-once when `elastic.train` consumes it.

This file is PyTorch's side: arguments, length and passes. `dealing` is the side that training sees.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

import elastic.tensor as torch
from elastic.data import sampling
from elastic.data.collate import default_collate, default_convert
from elastic.data.dataset import IterableDataset
from elastic.data.dealing import Cursor, Dealing
from elastic.data.fetching import Fetching
from elastic.data.iterating import ParallelPass, Pass, SerialPass
from elastic.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from elastic.data.streaming import Streaming
from elastic.data.workers import get_worker_info
from elastic.errors import DataError

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

T = TypeVar("T", covariant=True)
_FIXED = {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}


class _Anything(Sampler[None]):
    """What a stream is asked for: there is no choice."""

    def __iter__(self) -> Iterator[None]:
        return repeat(None)


class DataLoader(Dealing, Generic[T]):
    """Batches of a dataset.

    Args:
        dataset: samples by index, with a length; or a stream of samples (IterableDataset).
        batch_size: samples a batch; in training, over all workers of the job together. None gives
            the samples one by one, not collated.
        shuffle: a new order each epoch.
        sampler: another order: an iterable of indices with a length.
        batch_sampler: batches of indices, instead of `batch_size`, `shuffle`, `sampler` and
            `drop_last`.
        num_workers: processes that fetch batches ahead; 0 fetches in this one.
        collate_fn: makes a batch of a list of samples.
        pin_memory: accepted; batches lie in plain memory.
        drop_last: leave out a last batch that is smaller.
        timeout: seconds to wait for a batch of a worker process; 0 waits for ever.
        worker_init_fn: called in each worker process with its number.
        multiprocessing_context: how worker processes are started: a context or its name.
        generator: draws the order and the workers' seeds instead of the global generator.
        prefetch_factor: batches that each worker process fetches ahead (2).
        persistent_workers: keep the worker processes from one pass to the next.
        pin_memory_device: accepted and not used.
        in_order: give batches in the order of the sampler, not as they come from the workers.
        micro_batches: into how many equal parts training divides a batch; more workers of the job
            than this have nothing to compute.
        seed: the order of an epoch is a function of (seed, epoch). Without it, the order is
            PyTorch's, from the global generator, and training draws a seed once.

    Raises:
        ValueError, TypeError: arguments out of range, or that contradict each other.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        micro_batches: int = 8,
        seed: int | None = None,
    ):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self.generator = generator
        self.micro_batches = micro_batches
        self.seed = seed
        self._set_order(shuffle, sampler, batch_sampler, batch_size, drop_last)
        self.collate_fn = collate_fn or (
            default_convert if self.batch_sampler is None else default_collate
        )
        self.persistent_workers = persistent_workers
        self.cursor = Cursor()
        self._passes = 0
        self._drawn = None
        self._ahead = None
        self.stream = None
        if isinstance(dataset, IterableDataset):
            self.stream = Streaming(dataset, self.batch_size or 1, self.drop_last)
        self._iterator: ParallelPass | None = None
        self.promised_samples: int | None = None
        """What `len` has said of a stream."""
        self._initialized = True
        self._warn_of_too_many_workers()

    def _set_order(
        self, shuffle: Any, sampler: Any, batch_sampler: Any, batch_size: Any, drop_last: Any
    ) -> None:
        """Which samples come when, and in which batches."""
        stream = isinstance(self.dataset, IterableDataset)
        if stream:
            _check_stream(shuffle, sampler, batch_sampler)
        _check_batches(batch_size, shuffle, sampler, batch_sampler, drop_last)
        self._batches_are_given = batch_sampler is not None
        self._has_own_order = sampler is None
        self._shuffles = bool(shuffle)
        self._check_seed(stream)
        if self._batches_are_given:
            batch_size, drop_last = None, False
        self.sampler = self._default_sampler(stream) if sampler is None else sampler
        if batch_size is not None:
            batch_sampler = BatchSampler(self.sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.batch_sampler = batch_sampler

    def _check_seed(self, stream: bool) -> None:
        if self.seed is not None and (stream or self._batches_are_given):
            raise DataError(
                "DataLoader expects a seed for an order of its own making, got one with "
                f"{'an IterableDataset' if stream else 'a batch_sampler'}; leave it out"
            )

    def _default_sampler(self, stream: bool) -> Sampler[Any]:
        if stream:
            return _Anything()
        if self._shuffles:
            return RandomSampler(self.dataset, generator=self.generator)
        return SequentialSampler(self.dataset)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and self.__dict__.get("_initialized"):
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        super().__setattr__(name, value)

    # -- worker processes --------------------------------------------------------------------------

    @property
    def multiprocessing_context(self) -> BaseContext | None:
        """How worker processes are started, if it was said.

        Raises:
            ValueError, TypeError: it is set to no such context, or there are no worker processes.
        """
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: str | BaseContext | None) -> None:
        self._context = None if context is None else _context(context, self.num_workers)

    def worker_context(self) -> Any:
        """Return how worker processes are started: as was said, or as Python does by default.

        A process that has started gRPC is not forked: the copy's locks might be held for ever.
        """
        if self._context is not None:
            return self._context
        return multiprocessing.get_context("forkserver" if "grpc" in sys.modules else None)

    def _warn_of_too_many_workers(self) -> None:
        cores = len(os.sched_getaffinity(0))
        if self.num_workers > cores:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. "
                f"Our suggested max number of worker in current system is {cores}, which is "
                "smaller than what this DataLoader is going to create. Please be aware that "
                "excessive worker creation might get DataLoader running slow or even freeze, "
                "lower the worker number to avoid potential slowness/freeze if necessary.",
                stacklevel=3,
            )

    # -- passes ------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if not self.fetching.is_stream:
            return len(self._index_sampler)  # type: ignore[arg-type]
        samples = self.promised_samples = len(self.dataset)
        if self.batch_size is None:
            return samples
        return sampling.steps_per_epoch(samples, self.batch_size, self.drop_last)

    def __iter__(self) -> Pass:
        if not self.num_workers:
            return SerialPass(self)
        if self._iterator is not None and self._iterator.can_restart:
            self._iterator.restart(self)
            return self._iterator
        self._warn_of_too_many_workers()
        began = ParallelPass(self)
        if self.persistent_workers:
            self._iterator = began
        return began

    @property
    def fetching(self) -> Fetching:
        """How a batch comes out of the dataset."""
        batched = self.batch_sampler is not None
        return Fetching(self.dataset, batched, self.collate_fn, self.drop_last)

    @property
    def _index_sampler(self) -> Iterable[Any]:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def order_of_pass(self) -> Any:
        """Return what the next pass asks of the dataset: batches of indices, or indices."""
        if self.seed is None:
            return self._index_sampler
        order = self.draw(self._passes).tolist()
        self._passes += 1
        if self.batch_size is None:
            return order
        return BatchSampler(order, self.batch_size, self.drop_last)

    def draw_base_seed(self) -> int:
        """Return the seed of worker 0, drawn from the generator, or of (seed, pass)."""
        if self.seed is not None:
            return sampling.derived_seed(self.seed, -self._passes) >> 1
        return int(torch.empty((), dtype=torch.int64).random_(generator=self.generator).item())


# -- what is refused, in PyTorch's words -----------------------------------------------------------


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; "
            "use num_workers=0 to disable multiprocessing."
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_stream(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    refused = {
        "shuffle": shuffle or None,
        "sampler": sampler,
        "batch_sampler": batch_sampler,
    }
    for name, value in refused.items():
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, "
                f"but got {name}={value}"
            )


def _check_batches(
    batch_size: Any, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: Any
) -> None:
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ValueError(
                "batch_sampler option is mutually exclusive "
                "with batch_size, shuffle, sampler, and drop_last"
            )
    elif batch_size is None and drop_last:
        raise ValueError(
            "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
        )


def _context(context: str | BaseContext, num_workers: int) -> BaseContext:
    if num_workers == 0:
        raise ValueError(
            "multiprocessing_context can only be used with "
            f"multi-process loading (num_workers > 0), but got num_workers={num_workers}"
        )
    if isinstance(context, str):
        methods = multiprocessing.get_all_start_methods()
        if context not in methods:
            raise ValueError(
                "multiprocessing_context option "
                f"should specify a valid start method in {methods!r}, but got "
                f"multiprocessing_context={context!r}"
            )
        return multiprocessing.get_context(context)
    if not isinstance(context, BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context "
            "object or a string specifying the start method, but got "
            f"multiprocessing_context={context}"
        )
    return context
