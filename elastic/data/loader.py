"""The loader: PyTorch's when iterated over, exactly-once when `elastic.train` consumes it.

Plain iteration knows batches. The elastic side is asked for a leaf (micro-batch) of a step of an
epoch, by any worker, in any order and as often as needed; only `advance` moves the cursor. Nothing
in it depends on how many workers there are (PROTOCOL D1, D2, S6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.data import sampling
from elastic.data.collate import default_collate
from elastic.data.dataset import IterableDataset, Subset, TensorDataset
from elastic.data.drawing import draw_under
from elastic.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from elastic.errors import DataError

__all__ = ["Cursor", "DataLoader"]


@dataclass(frozen=True)
class Cursor:
    """The next step to train: the epoch, and the step in it, both from 0."""

    epoch: int = 0
    step: int = 0


class DataLoader:
    """Batches of a dataset.

    Args:
        dataset: samples by index, with a length.
        batch_size: samples a step, over all workers together.
        shuffle: a new order each epoch.
        sampler: another order: an iterable of indices with a length.
        micro_batches: into how many equal parts training divides a batch; more workers than this
            have nothing to compute.
        seed: the order of an epoch is a function of (seed, epoch). Without it, the order is
            PyTorch's, from the global generator, and training draws a seed once.
        drop_last: leave out a last batch that is smaller.
        collate_fn: makes a batch of a list of samples.
        generator: draws the order instead of the global generator, without a seed.

    Raises:
        DataError: an IterableDataset, or arguments that contradict each other.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        *,
        micro_batches: int = 8,
        seed: int | None = None,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        generator: Any = None,
    ):
        _check_arguments(dataset, batch_size, shuffle, sampler)
        self.dataset = dataset
        self.batch_size = batch_size
        self.micro_batches = micro_batches
        self.seed = seed
        self.drop_last = drop_last
        self.collate_fn = collate_fn or default_collate
        self.generator = generator
        self._has_own_order = sampler is None
        self._shuffles = bool(shuffle)
        self.sampler = self._default_sampler() if sampler is None else sampler
        self.cursor = Cursor()
        self._passes = 0
        self._drawn: tuple[int | None, int, np.ndarray] | None = None

    def _default_sampler(self) -> Iterable[int]:
        if self._shuffles:
            return RandomSampler(self.dataset, generator=self.generator)
        return SequentialSampler(self.dataset)

    # -- plain iteration -----------------------------------------------------------------------

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[Any]:
        if self.seed is None:
            # PyTorch draws a seed for its worker processes first, also without any.
            torch.empty((), dtype=torch.int64).random_(generator=self.generator)
            order: Iterable[int] = self.sampler
        else:
            order = self.draw(self._passes).tolist()
            self._passes += 1
        return map(self.collate, BatchSampler(order, self.batch_size, self.drop_last))

    def collate(self, indices: Sequence[int]) -> Any:
        """Return the batch of the samples at `indices`."""
        return self.fetch(indices, seed_sample=None)[0]

    def batch_indices(self) -> list[tuple[int, ...]]:
        """Return the indices of each batch of one pass, equal on every worker: for evaluation.

        A shuffled loader is visited in the order of its dataset, since a mean has no order.
        """
        n = len(self.dataset)
        order = range(n) if self._has_own_order else self._draw_from_sampler(0).tolist()
        return [tuple(b) for b in BatchSampler(order, self.batch_size, self.drop_last)]

    # -- the plan of an epoch --------------------------------------------------------------------

    def check_elastic(self) -> None:
        """Raise DataError if this loader cannot be trained on exactly once, with the cure."""
        sampling.micro_batch_size(self.batch_size, self.micro_batches)
        if not hasattr(self.sampler, "__len__"):
            raise DataError(
                f"training expects a sampler with a length, got {type(self.sampler).__name__}; "
                "give it a __len__"
            )
        if self.steps_per_epoch < 1:
            raise DataError(
                f"training expects at least one step an epoch, got {self._samples} samples in "
                f"batches of {self.batch_size}, drop_last={self.drop_last}"
            )

    def begin(self) -> None:
        """Fix the seed: without one, a 63-bit seed is drawn from the generator now."""
        if self.seed is None:
            drawn = torch.empty((), dtype=torch.int64).random_(generator=self.generator)
            self.seed = int(drawn.item())

    @property
    def _samples(self) -> int:
        """How many indices an epoch draws."""
        return len(self.sampler)  # type: ignore[arg-type]

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches."""
        return sampling.steps_per_epoch(self._samples, self.batch_size, self.drop_last)

    def draw(self, epoch: int) -> np.ndarray:
        """Return the index list of an epoch, as int64; kept until another one is asked for.

        Raises:
            DataError: a sampler that yields something else than as many indices as it has promised.
        """
        if self._drawn is None or self._drawn[:2] != (self.seed, epoch):
            self._drawn = (self.seed, epoch, self._order(epoch))
        return self._drawn[2]

    def _order(self, epoch: int) -> np.ndarray:
        if not self._has_own_order:
            return self._draw_from_sampler(epoch)
        if self._shuffles:
            return sampling.epoch_order(self._fixed_seed, epoch, self._samples)
        return np.arange(self._samples)

    def _draw_from_sampler(self, epoch: int) -> np.ndarray:
        return draw_under(sampling.derived_seed(self.seed or 0, epoch), self.sampler)

    @property
    def _fixed_seed(self) -> int:
        if self.seed is None:
            raise DataError("the loader expects begin() before an order is drawn, got no seed")
        return self.seed

    def order_digest(self, epoch: int) -> str:
        """Return what workers compare to know that they drew one order (PROTOCOL D1)."""
        return sampling.order_digest(self.draw(epoch))

    def epoch_indices(self, epoch: int) -> list[int]:
        """Return what the epoch trains on, in order: with `drop_last`, without the tail."""
        return self.draw(epoch)[: self.steps_per_epoch * self.batch_size].tolist()

    # -- a leaf ----------------------------------------------------------------------------------

    def _slices(self, step_in_epoch: int) -> list[tuple[int, int]]:
        return sampling.leaf_slices(
            self._samples, self.batch_size, self.micro_batches, step_in_epoch, self.drop_last
        )

    def leaf_count(self, step_in_epoch: int) -> int:
        """Return how many leaves a step has: a ragged last batch has fewer."""
        return len(self._slices(step_in_epoch))

    def first_position(self, step_in_epoch: int, leaf: int) -> int:
        """Return the place of a leaf's first sample in the epoch."""
        return self._slices(step_in_epoch)[leaf][0]

    def leaves(self, epoch: int, step_in_epoch: int) -> tuple[tuple[int, ...], ...]:
        """Return the indices of each leaf of a step."""
        order = self.draw(epoch)
        return tuple(
            tuple(order[start:stop].tolist()) for start, stop in self._slices(step_in_epoch)
        )

    def fetch(
        self, indices: Sequence[int], seed_sample: Callable[[int], None] | None
    ) -> tuple[Any, tuple[int, ...]]:
        """Return the batch and, as evidence, the indices that were asked of the dataset (D2).

        `seed_sample(i)` is called before the i-th sample is fetched, so that random augmentation
        follows the sample and not the worker.
        """
        tensors = _rows(self.dataset, indices)
        if tensors is not None and self.collate_fn is default_collate:
            return tensors, tuple(indices)
        fetched, samples = [], []
        for offset, index in enumerate(indices):
            if seed_sample is not None:
                seed_sample(offset)
            samples.append(self.dataset[index])
            fetched.append(index)
        return self.collate_fn(samples), tuple(fetched)

    # -- the cursor ------------------------------------------------------------------------------

    def advance(self) -> None:
        """Move to the next step: called when one is committed, and by nobody else."""
        epoch, step = self.cursor.epoch, self.cursor.step + 1
        self.cursor = Cursor(epoch + 1) if step >= self.steps_per_epoch else Cursor(epoch, step)

    def state_dict(self) -> dict[str, Any]:
        """Return the seed and the cursor, and what must not change under them."""
        return {
            "seed": self.seed,
            "epoch": self.cursor.epoch,
            "step": self.cursor.step,
            **self._geometry(),
        }

    def _geometry(self) -> dict[str, int]:
        return {
            "samples": self._samples,
            "batch_size": self.batch_size,
            "micro_batches": self.micro_batches,
            "drop_last": int(self.drop_last),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the seed and the cursor.

        Raises:
            DataError: the state is of a loader that deals its samples otherwise.
        """
        expected = self._geometry()
        if state.keys() != {"seed", "epoch", "step", *expected}:
            raise DataError(f"a DataLoader expects its state_dict, got the keys {sorted(state)}")
        for name, value in expected.items():
            if state[name] != value:
                raise DataError(
                    f"this DataLoader has {name}={value}, its saved position is of {name}="
                    f"{state[name]}; restore that, or start with --fresh"
                )
        self.seed = state["seed"]
        self.cursor = Cursor(state["epoch"], state["step"])


def _check_arguments(dataset: Any, batch_size: Any, shuffle: Any, sampler: Any) -> None:
    if isinstance(dataset, IterableDataset):
        raise DataError(
            f"DataLoader expects samples by index, got the IterableDataset "
            f"{type(dataset).__name__}: whether each sample was trained on once could not be "
            "known; use a Dataset with __getitem__ and __len__"
        )
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DataError(
            "DataLoader expects a dataset with __getitem__ and __len__, got "
            f"{type(dataset).__name__}"
        )
    if type(batch_size) is not int or batch_size < 1:
        raise DataError(f"DataLoader expects a batch_size of at least 1, got {batch_size!r}")
    if sampler is not None and shuffle:
        raise DataError("sampler option is mutually exclusive with shuffle; leave one out")


def _rows(dataset: Any, indices: Sequence[int]) -> list[Any] | None:
    """Return the rows of a TensorDataset, or a part of one, in one call a tensor."""
    while type(dataset) is Subset:
        indices = [dataset.indices[i] for i in indices]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset:
        return None
    rows = torch.from_numpy(np.array(indices, np.int64))
    return [tensor[rows] for tensor in dataset.tensors]
