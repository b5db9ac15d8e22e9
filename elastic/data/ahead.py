"""Leaves (micro-batches) that worker processes fetch before training asks for them.

What a leaf holds is a function of its place alone, so it changes no bit who fetches it and when:
this is a cache. It guesses that training will ask for the leaves of the last step again; after a
change of membership some guesses are wrong, and what was fetched in vain is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elastic.data.fetching import fetch_leaf
from elastic.data.workers import Crew, Failure, Worker, receive

if TYPE_CHECKING:
    from elastic.data.dealing import Dealing

__all__ = ["Ahead", "Place"]


@dataclass(frozen=True, order=True)
class Place:
    """Where a leaf stands: all from 0."""

    epoch: int
    step: int
    leaf: int


@dataclass(frozen=True)
class _LeafFetching:
    """What worker processes of training have in place of `Fetching`."""

    dataset: Any
    collate_fn: Callable[[Any], Any]
    seed_sample: Callable[[int, int], None]
    is_stream = False

    def begin(self) -> Callable[[Any], Any]:
        return self._fetch

    def _fetch(self, task: tuple[int, int, Sequence[int]]) -> tuple[Any, tuple[int, ...]]:
        epoch, first, indices = task

        def seed(offset: int) -> None:
            self.seed_sample(epoch, first + offset)

        return fetch_leaf(self.dataset, self.collate_fn, indices, seed)


class Ahead:
    """The worker processes of a loader that is trained on.

    Args:
        loader: what is trained on.
        seed_sample: called in a worker process with the epoch and the position of a sample before
            it is fetched; it must be possible to pickle it.
    """

    def __init__(self, loader: Dealing, seed_sample: Callable[[int, int], None]):
        fetching = _LeafFetching(loader.dataset, loader.collate_fn, seed_sample)
        self._crew = Crew(loader, fetching, loader.draw_base_seed())
        self._room = (loader.prefetch_factor or 1) * loader.num_workers
        self._asked: dict[Place, Worker] = {}
        self._order = {worker.number: deque[Place]() for worker in self._crew.workers}
        self._ready: dict[Place, Any] = {}
        self._leaves: list[int] = []  # asked for in this step
        self._guess: list[int] = []  # asked for in the last one
        self._now = (0, 0)

    def fetch(self, loader: Dealing, place: Place) -> tuple[Any, tuple[int, ...]]:
        """Return the batch of a leaf and its evidence; have the next ones fetched meanwhile.

        Raises:
            RuntimeError: a worker process has died.
        """
        self._arrive_at(place)
        self._ask(loader, place)
        for guess in self._guesses(loader, place):
            if len(self._asked) + len(self._ready) >= self._room:
                break
            self._ask(loader, guess)
        while place not in self._ready:
            worker, answer = receive([self._asked[place]])
            arrived = self._order[worker.number].popleft()
            del self._asked[arrived]
            self._ready[arrived] = answer
        answer = self._ready.pop(place)
        if isinstance(answer, Failure):
            answer.throw()
        return answer

    def _arrive_at(self, place: Place) -> None:
        """In a new step, the leaves of the last one are the guess; what is older is dropped."""
        if self._now != (place.epoch, place.step):
            self._now = place.epoch, place.step
            self._guess, self._leaves = sorted(self._leaves), []
            self._ready = {p: a for p, a in self._ready.items() if (p.epoch, p.step) >= self._now}
        self._leaves.append(place.leaf)

    def _ask(self, loader: Dealing, place: Place) -> None:
        if place in self._asked or place in self._ready:
            return
        worker = min(self._crew.workers, key=lambda each: each.owes)
        worker.ask((place.epoch, *loader.leaf(place.epoch, place.step, place.leaf)))
        self._asked[place] = worker
        self._order[worker.number].append(place)

    def _guesses(self, loader: Dealing, place: Place) -> Iterator[Place]:
        """The rest of this step, and the steps to the end of the epoch."""
        for step in range(place.step, loader.steps_per_epoch):
            for leaf in self._guess:
                if (step, leaf) > (place.step, place.leaf) and leaf < loader.leaf_count(step):
                    yield Place(place.epoch, step, leaf)
