"""Crews are ended with their test, and leave the global streams as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from elastic.training import groups, randomness
from tests.training.crew import Crew


@pytest.fixture
def crew() -> Iterator[Crew]:
    yield from _closed(Crew())


@pytest.fixture
def crew_of() -> Iterator[Callable[..., Crew]]:
    """A maker of crews, by seed and minimum."""
    made: list[Crew] = []

    def make(seed: int = 0, min_workers: int = 1) -> Crew:
        made.append(Crew(seed, min_workers))
        return made[-1]

    with randomness.restored():
        yield make
    for each in made:
        each.close()
    assert groups.current_group() is None


def _closed(crew: Crew) -> Iterator[Crew]:
    with randomness.restored():
        yield crew
    crew.close()
    assert groups.current_group() is None
