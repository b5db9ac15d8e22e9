"""Samplers: the order in which a plain loader visits a dataset, with PyTorch's random streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

import elastic.tensor as torch

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

T = TypeVar("T", covariant=True)
_DRAWN_AT_ONCE = 32


class Sampler(Generic[T]):
    """Indices to visit: a subclass has `__iter__` and, to be trained on, `__len__`."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, …"""

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A new permutation each time, or draws with replacement.

    Without a `generator`, each pass draws a seed from the global one and permutes under that.

    Raises:
        TypeError, ValueError: `replacement` is no truth value, `num_samples` no positive integer.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ):
        self.data_source = data_source
        self.replacement = replacement
        self.generator = generator
        self._num_samples = num_samples
        if not isinstance(replacement, bool):
            raise TypeError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(_no_count("num_samples", self.num_samples))

    @property
    def num_samples(self) -> int:
        """How many indices a pass yields: as many as there are samples, unless given."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        """Draw as often as PyTorch does, down to a last permutation of which nothing is taken."""
        generator = self.generator or _seeded_from_global()
        n = len(self.data_source)
        block = _DRAWN_AT_ONCE if self.replacement else n
        blocks, rest = divmod(self.num_samples, block)
        for count in [block] * blocks + [rest]:
            if self.replacement:
                drawn = torch.randint(n, (count,), dtype=torch.int64, generator=generator)
            else:
                drawn = torch.randperm(n, generator=generator)
            yield from drawn.tolist()[:count]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices, each once, in a new random order each time."""

    def __init__(self, indices: Sequence[int], generator: Any = None):
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in torch.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, drawn with probabilities in proportion to `weights`.

    Raises:
        ValueError: weights that are no list, or another argument of the wrong kind.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ):
        _check_count("num_samples", num_samples)
        _check_truth("replacement", replacement)
        self.weights = torch.as_tensor(weights, dtype=torch.float64)
        if self.weights.dim() != 1:
            raise ValueError(
                "weights should be a 1d sequence but given "
                f"weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = torch.multinomial(
            self.weights, self.num_samples, self.replacement, generator=self.generator
        )
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler; the last may be shorter or dropped.

    Raises:
        ValueError: `batch_size` is no positive integer, or `drop_last` no truth value.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        _check_count("batch_size", batch_size)
        _check_truth("drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return full + (rest > 0 and not self.drop_last)


def _seeded_from_global() -> Any:
    generator = torch.Generator()
    generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_().item()))
    return generator


def _check_count(name: str, count: Any) -> None:
    if type(count) is not int or count < 1:
        raise ValueError(_no_count(name, count))


def _no_count(name: str, count: Any) -> str:
    return f"{name} should be a positive integer value, but got {name}={count}"


def _check_truth(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} should be a boolean value, but got {name}={value}")
