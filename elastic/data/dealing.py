"""What `elastic.train` asks of a loader: which samples make a micro-batch of a step of an epoch.

Any worker may ask for any leaf (micro-batch), in any order and as often as needed; only `advance`
moves the cursor. Nothing here depends on how many workers there are (PROTOCOL D1, D2, S6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.data import sampling
from elastic.data.ahead import Ahead, Place
from elastic.data.dataset import IterableDataset
from elastic.data.distributed import DistributedSampler
from elastic.data.drawing import draw_under
from elastic.data.fetching import fetch_leaf
from elastic.data.sampler import BatchSampler
from elastic.data.streaming import Streaming, digest_of
from elastic.errors import DataError

__all__ = ["Cursor", "Dealing"]


@dataclass(frozen=True)
class Cursor:
    """The next step to train: the epoch, and the step in it, both from 0."""

    epoch: int = 0
    step: int = 0


class Dealing:
    """The side of a DataLoader that training and evaluation see."""

    dataset: Any
    sampler: Iterable[Any]
    batch_size: Any
    drop_last: bool
    collate_fn: Callable[[Any], Any]
    generator: Any
    num_workers: int
    prefetch_factor: int | None
    worker_init_fn: Callable[[int], Any] | None
    micro_batches: int
    seed: int | None
    cursor: Cursor
    _batches_are_given: bool
    _has_own_order: bool
    _shuffles: bool
    _ahead: Ahead | None
    _drawn: tuple[int | None, int, np.ndarray, str] | None
    stream: Streaming | None
    """How training reads an IterableDataset; None: samples are asked for by index."""

    def worker_context(self) -> Any:
        """Return how worker processes are started."""
        raise NotImplementedError

    def draw_base_seed(self) -> int:
        """Return the seed of the first worker process."""
        raise NotImplementedError

    def collate(self, indices: Sequence[int]) -> Any:
        """Return the batch of the samples at `indices`."""
        return self.fetch(indices, seed_sample=None)[0]

    def batch_indices(self) -> list[tuple[int, ...]]:
        """Return the indices of each batch of one pass, equal on every worker: for evaluation.

        A shuffled loader is visited in the order of its dataset, since a mean has no order.
        """
        self._check_indexed("evaluate")
        n = len(self.dataset)
        order = range(n) if self._has_own_order else self._draw_from_sampler(0).tolist()
        return [tuple(b) for b in BatchSampler(order, self.batch_size, self.drop_last)]

    def _check_indexed(self, who: str) -> None:
        name = type(self.dataset).__name__
        if isinstance(self.dataset, IterableDataset):
            raise DataError(
                f"{who} expects samples by index, got the IterableDataset {name}: whether each "
                "sample was seen once could not be known; use a Dataset with __getitem__ and "
                "__len__"
            )
        if not hasattr(self.dataset, "__getitem__") or not hasattr(self.dataset, "__len__"):
            raise DataError(f"{who} expects a dataset with __getitem__ and __len__, got {name}")
        if self._batches_are_given or self.batch_size is None:
            raise DataError(
                f"{who} makes the batches itself, got a loader with "
                f"{'a batch_sampler' if self._batches_are_given else 'batch_size=None'}; "
                "give batch_size, and a sampler for another order"
            )
        if isinstance(self.sampler, DistributedSampler):
            raise DataError(
                f"{who} deals each batch to all workers itself, got a DistributedSampler, with "
                "which each would see a part of a part; leave it out"
            )

    # -- the plan of an epoch --------------------------------------------------------------------

    def check_elastic(self) -> None:
        """Raise DataError if this loader cannot be trained on exactly once, with the cure."""
        if self.stream is not None:
            self._check_stream()
            return
        self._check_indexed("training")
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

    def _check_stream(self) -> None:
        name = type(self.dataset).__name__
        if self.batch_size is None:
            raise DataError(
                f"training makes the batches itself, got the stream {name} with batch_size=None; "
                "give batch_size, and let the stream yield samples"
            )
        if self.num_workers:
            raise DataError(
                f"training reads the stream {name} in its own process, got num_workers="
                f"{self.num_workers}: which process reads which sample would change the order; "
                "leave it out, or use a Dataset with __getitem__ and __len__"
            )
        sampling.micro_batch_size(self.batch_size, self.micro_batches)

    def begin(self) -> None:
        """Fix the seed: without one, a 63-bit seed is drawn from the generator now."""
        if self.seed is None:
            drawn = torch.empty((), dtype=torch.int64).random_(generator=self.generator)
            self.seed = int(drawn.item())

    @property
    def micro_batch_size(self) -> int:
        """How many samples a full leaf has."""
        return sampling.micro_batch_size(self.batch_size, self.micro_batches)

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
        return self._draw(epoch)[0]

    def _draw(self, epoch: int) -> tuple[np.ndarray, str]:
        """Return the list and its digest, which every step's header says: made once an epoch."""
        if self._drawn is None or self._drawn[:2] != (self.seed, epoch):
            order = self._order(epoch)
            self._drawn = (self.seed, epoch, order, sampling.order_digest(order))
        return self._drawn[2:]

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
        return self._draw(epoch)[1]

    def read_digest(self) -> str:
        """Return what workers compare to know that they have read one stream (PROTOCOL D1)."""
        assert self.stream is not None
        batch = self.stream.batch()
        return f"{batch.position} {digest_of(batch.samples)}"

    def epoch_indices(self, epoch: int) -> list[int]:
        """Return what the epoch trains on, in order: with `drop_last`, without the tail."""
        return self.draw(epoch)[: self.steps_per_epoch * self.batch_size].tolist()

    # -- a leaf ----------------------------------------------------------------------------------

    def _slices(self, step_in_epoch: int) -> Sequence[tuple[int, int]]:
        """Of a step's samples in the epoch; of a stream's next step, whatever it is."""
        if self.stream is not None:
            batch = self.stream.batch()
            begin, n = batch.position, len(batch.samples)
            each = sampling.micro_batch_size(self.batch_size, self.micro_batches)
            return [(begin + i, begin + min(i + each, n)) for i in range(0, n, each)]
        return sampling.leaf_slices(
            self._samples, self.batch_size, self.micro_batches, step_in_epoch, self.drop_last
        )

    def leaf_count(self, step_in_epoch: int) -> int:
        """Return how many leaves a step has: a ragged last batch has fewer."""
        return len(self._slices(step_in_epoch))

    def leaf(self, epoch: int, step_in_epoch: int, leaf: int) -> tuple[int, tuple[int, ...]]:
        """Return the place of a leaf's first sample in the epoch, and the indices of all."""
        start, stop = self._slices(step_in_epoch)[leaf]
        return start, tuple(self.draw(epoch)[start:stop].tolist())

    def fetch(
        self, indices: Sequence[int], seed_sample: Callable[[int], None] | None
    ) -> tuple[Any, tuple[int, ...]]:
        """Return the batch of the samples at `indices`, and the evidence: see `fetch_leaf`."""
        return fetch_leaf(self.dataset, self.collate_fn, indices, seed_sample)

    def fetch_leaf(
        self, epoch: int, step_in_epoch: int, leaf: int, seed_sample: Callable[[int, int], None]
    ) -> tuple[Any, tuple[int, ...]]:
        """Return the batch of a leaf, and the evidence; worker processes fetch ahead, if any.

        `seed_sample(epoch, position)` is called before each sample is fetched.
        """
        if self.stream is not None:
            return self._leaf_of_stream(*self._slices(step_in_epoch)[leaf])
        if self.num_workers:
            self._ahead = self._ahead or Ahead(self, seed_sample)
            return self._ahead.fetch(self, Place(epoch, step_in_epoch, leaf))
        first, indices = self.leaf(epoch, step_in_epoch, leaf)
        return self.fetch(indices, lambda offset: seed_sample(epoch, first + offset))

    def _leaf_of_stream(self, start: int, stop: int) -> tuple[Any, tuple[int, ...]]:
        assert self.stream is not None
        batch = self.stream.batch()
        samples = batch.samples[start - batch.position : stop - batch.position]
        return self.collate_fn(samples), tuple(range(start, stop))

    # -- the cursor ------------------------------------------------------------------------------

    def advance(self) -> None:
        """Move to the next step: called when one is committed, and by nobody else."""
        epoch, step = self.cursor.epoch, self.cursor.step + 1
        if self.stream is not None:
            self.cursor = Cursor(epoch + 1) if self.stream.advance() else Cursor(epoch, step)
            return
        self.cursor = Cursor(epoch + 1) if step >= self.steps_per_epoch else Cursor(epoch, step)

    def state_dict(self) -> dict[str, Any]:
        """Return the seed and the cursor, and what must not change under them."""
        return {
            "seed": self.seed,
            "epoch": self.cursor.epoch,
            "step": self.cursor.step,
            **self._place_in_stream(),
            **self._geometry(),
        }

    def _place_in_stream(self) -> dict[str, Any]:
        if self.stream is None:
            return {}
        return {"position": self.stream.position, "stream": self.stream.saved}

    def _geometry(self) -> dict[str, int]:
        samples = {} if self.stream is not None else {"samples": self._samples}
        return {
            **samples,
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
        if state.keys() != {"seed", "epoch", "step", *self._place_in_stream(), *expected}:
            raise DataError(f"a DataLoader expects its state_dict, got the keys {sorted(state)}")
        for name, value in expected.items():
            if state[name] != value:
                raise DataError(
                    f"this DataLoader has {name}={value}, its saved position is of {name}="
                    f"{state[name]}; restore that, or start with --fresh"
                )
        self._ahead = None  # its worker processes know the old seed
        self._load_stream(state)
        self.seed = state["seed"]
        self.cursor = Cursor(state["epoch"], state["step"])

    def _load_stream(self, state: dict[str, Any]) -> None:
        """Have the stream opened there; where it stands already, what is read stays read."""
        if self.stream is None:
            return
        here = self.seed, self.stream.epoch, self.stream.position
        if here != (state["seed"], state["epoch"], state["position"]):
            self.stream.go_to(state["epoch"], state["position"], state["stream"])
