"""The reading of an IterableDataset in training: every worker reads all, and keeps its leaves (D1).

A sample is known by its position in the stream. The stream is opened again where State says: a
dataset with `state_dict` and `load_state_dict` goes on from what it has saved, any other is read
from its beginning and skipped. The batch after the current one is read ahead, since only that shows
whether an epoch has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from elastic.errors import DataError
from elastic.tensor import Tensor

__all__ = ["Streaming", "digest_of"]


@dataclass
class Batch:
    """The samples of a step, and where they stand."""

    position: int
    samples: list[Any]
    saved: Any = None
    """What the dataset's `state_dict` said before they were read."""


def _no_seed(epoch: int, position: int) -> None:
    """Nothing to seed: until training says how."""


@dataclass
class Streaming:
    """Where the reading of a stream stands, and the batches that are read but not done."""

    dataset: Any
    batch_size: int
    drop_last: bool
    epoch: int = 0
    position: int = 0
    """How many samples of this epoch the committed steps have taken."""
    saved: Any = None
    """What the dataset had saved there; None: it does not, or nothing is read yet."""
    seed_sample: Callable[[int, int], None] = _no_seed
    """Called with the epoch and the position before a sample is read."""
    keeping: Callable[[], AbstractContextManager[None]] = nullcontext
    """A context that puts the random streams back to what they were."""
    _batches: list[Batch] = field(default_factory=list)
    """The current one, and the next if it was read; an empty one stands for the end."""
    _iterator: Iterator[Any] | None = None

    @property
    def is_resumable(self) -> bool:
        """Whether the dataset saves where it is."""
        return hasattr(self.dataset, "state_dict") and hasattr(self.dataset, "load_state_dict")

    def go_to(self, epoch: int, position: int, saved: Any) -> None:
        """Stand elsewhere; the stream is opened there when a batch is asked for."""
        self.epoch, self.position, self.saved = epoch, position, saved
        self._batches, self._iterator = [], None

    def batch(self) -> Batch:
        """Return the batch of the next step, reading it if need be.

        Raises:
            DataError: there is none where there must be one.
        """
        if not self._batches:
            with self.keeping():
                self._open()
            self._read(self.position)
        if not self._batches[0].samples:
            raise DataError(self._nothing())
        return self._batches[0]

    def _nothing(self) -> str:
        name = type(self.dataset).__name__
        if self.position:
            return (
                f"training expects the stream {name} to be the same on every worker and each time "
                f"it is opened, got an end after {self.position} samples of epoch {self.epoch} "
                "here; draw from the generators that training seeds"
            )
        again = "; __iter__ must begin anew each time" if self.epoch else ""
        least = f"a batch of {self.batch_size}" if self.drop_last else "at least one sample"
        return f"training expects {least} of the stream {name} in an epoch, got none{again}"

    def ends_epoch(self) -> bool:
        """Whether the current batch is the last of its epoch: the next one is read to know."""
        current = self.batch()
        if len(self._batches) == 1:
            self._read(current.position + len(current.samples))
        return not self._batches[1].samples

    def advance(self) -> bool:
        """Move past the current batch; return whether a new epoch begins."""
        if self.ends_epoch():
            self.go_to(self.epoch + 1, 0, None)
            return True
        del self._batches[0]
        self.position, self.saved = self._batches[0].position, self._batches[0].saved
        return False

    # -- reading ---------------------------------------------------------------------------------

    def _open(self) -> None:
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(self.epoch)
        self.seed_sample(self.epoch, 0)
        if self.saved is not None:
            self.dataset.load_state_dict(self.saved)
        self._iterator = iter(self.dataset)
        if self.saved is None:
            for skipped in range(self.position):
                self._next(skipped)

    def _next(self, position: int) -> tuple[Any, ...]:
        """Return the next sample as a tuple of one; an empty one at the end of the stream."""
        assert self._iterator is not None
        self.seed_sample(self.epoch, position)
        try:
            return (next(self._iterator),)
        except StopIteration:
            return ()

    def _read(self, position: int) -> None:
        samples: list[Any] = []
        with self.keeping():
            saved = self.dataset.state_dict() if self.is_resumable else None
            while len(samples) < self.batch_size:
                sample = self._next(position + len(samples))
                if not sample:
                    break
                samples += sample
        if self.drop_last and len(samples) < self.batch_size:
            samples = []
        self._batches.append(Batch(position, samples, saved))


def digest_of(samples: Any) -> str:
    """Return a digest of what samples hold: arrays, tensors and plain values, at any depth."""
    digest = blake2b(digest_size=12)
    _feed(digest.update, samples)
    return digest.hexdigest()


def _feed(update: Callable[[bytes], None], value: Any) -> None:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        update(f"{value.dtype.name}{value.shape}".encode())
        update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        for key, item in value.items():
            update(repr(key).encode())
            _feed(update, item)
    elif isinstance(value, list | tuple):
        update(f"{len(value)} of".encode())
        for item in value:
            _feed(update, item)
    elif isinstance(value, int | float | complex | str | bytes | np.generic | None):
        update(repr(value).encode())
    else:
        update(type(value).__name__.encode())
