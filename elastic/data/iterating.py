"""One pass over a loader: in its own process, or with workers that fetch ahead."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from itertools import cycle
from typing import TYPE_CHECKING, Any

import elastic.tensor as torch
from elastic.data.workers import Crew, Ended, Failure, Worker, receive

if TYPE_CHECKING:
    from elastic.data.dataloader import DataLoader

__all__ = ["ParallelPass", "Pass", "SerialPass"]


class Pass(Iterator[Any]):
    """The batches of one pass. It draws a seed for worker processes first, also without any."""

    def __init__(self, loader: DataLoader):
        _warn_of_memory_that_is_not_pinned(loader)
        self._fetching = loader.fetching
        self._num_workers = loader.num_workers
        self._timeout_s = loader.timeout
        self._take_order(loader)
        self._base_seed = loader.draw_base_seed()

    def _take_order(self, loader: DataLoader) -> None:
        self._order = loader.order_of_pass()
        self._asked = iter(self._order)
        self._promised = loader.promised_samples
        self._yielded = 0

    def __len__(self) -> int:
        return len(self._order)

    def __next__(self) -> Any:
        batch = self._next()
        self._yielded += 1
        if self._promised is not None and self._yielded > self._promised:
            self._warn_of_more_than_promised(self._promised)
        return batch

    def _next(self) -> Any:
        raise NotImplementedError

    def _warn_of_more_than_promised(self, promised: int) -> None:
        text = (
            f"Length of IterableDataset {self._fetching.dataset} was reported to be {promised}"
            f"(when accessing len(dataloader)), but {self._yielded} samples have been fetched. "
        )
        if self._num_workers:
            text += (
                "For multiprocessing data-loading, this could be caused by not properly "
                "configuring the IterableDataset replica at each worker. Please see "
                "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset "
                "for examples."
            )
        warnings.warn(text, stacklevel=3)

    def __getstate__(self) -> Any:
        raise NotImplementedError("{} cannot be pickled", type(self).__name__)


def _warn_of_memory_that_is_not_pinned(loader: DataLoader) -> None:
    if loader.pin_memory and loader.pin_memory_device:
        warnings.warn(
            "pin_memory_device is deprecated, the current accelerator will be used as the device,"
            f"ignore pin_memory_device='{loader.pin_memory_device}'.",
            stacklevel=5,
        )
    if loader.pin_memory and not torch.cuda.is_available():
        warnings.warn(
            "'pin_memory' argument is set as true but no accelerator is found, "
            "then device pinned memory won't be used.",
            stacklevel=5,
        )


class SerialPass(Pass):
    """Each batch is fetched when it is asked for."""

    def __init__(self, loader: DataLoader):
        super().__init__(loader)
        if self._timeout_s != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        self._fetch = self._fetching.begin()

    def _next(self) -> Any:
        return self._fetch(next(self._asked))


class ParallelPass(Pass):
    """Of n workers, the i-th fetches the batches i, i + n, i + 2n, …, some of them ahead.

    As each worker answers in order, the next batch is always the next answer of the worker whose
    turn it is. A worker whose stream has ended loses its turns. With `in_order=False` a task goes
    to the worker that has the fewest, and the next batch is whichever is there first.
    """

    def __init__(self, loader: DataLoader):
        super().__init__(loader)
        if not loader.prefetch_factor:
            raise AssertionError(
                "prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter"
            )
        self._ahead = loader.prefetch_factor
        self._in_order = loader.in_order
        self._persistent = loader.persistent_workers
        self._crew = Crew(loader, self._fetching, self._base_seed)
        self._workers = self._crew.workers
        self._asked = iter(self._order)  # PyTorch asks twice, and a sampler may draw here
        self._begin()

    def restart(self, loader: DataLoader) -> None:
        """Begin another pass with the same workers."""
        self._take_order(loader)
        for worker in self._workers:
            worker.restart()
        for worker in self._workers:
            worker.await_restart()
        self._begin()

    @property
    def can_restart(self) -> bool:
        """Whether all workers are there: none has died."""
        return self._broken is None

    def _begin(self) -> None:
        self._broken: RuntimeError | None = None
        self._turns: deque[Worker] = deque()  # who will give the batches to come, in order
        self._cycle = cycle(self._workers)
        self._ask_ahead()

    def _ask_ahead(self) -> None:
        active = sum(worker.active for worker in self._workers)
        while len(self._turns) < self._ahead * active:
            try:
                asked = next(self._asked)
            except StopIteration:
                return
            worker = self._next_to_ask()
            worker.ask(asked)
            self._turns.append(worker)

    def _next_to_ask(self) -> Worker:
        if self._in_order:
            return next(worker for worker in self._cycle if worker.active)
        return min((w for w in self._workers if w.active), key=lambda worker: worker.owes)

    def _next(self) -> Any:
        if self._broken is not None:
            raise self._broken
        while self._turns:
            worker, answer = self._receive()
            if isinstance(answer, Ended):
                worker.active = False
                self._turns = deque(w for w in self._turns if w is not worker)
            else:
                self._turns.remove(worker)
            self._ask_ahead()
            if isinstance(answer, Failure):
                answer.throw()
            if not isinstance(answer, Ended):
                return answer
        if not self._persistent:
            self.close()
        raise StopIteration

    def _receive(self) -> tuple[Worker, Any]:
        expected = [self._turns[0]] if self._in_order else list(dict.fromkeys(self._turns))
        try:
            return receive(expected, self._timeout_s or None)
        except TimeoutError:
            raise RuntimeError(f"DataLoader timed out after {self._timeout_s} seconds") from None
        except RuntimeError as error:
            self._broken = error
            self.close()
            raise

    def close(self) -> None:
        """End the worker processes."""
        self._crew.close()
