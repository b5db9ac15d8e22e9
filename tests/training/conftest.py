"""Crews are ended with their test, and leave the global streams as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from elastic.training import groups, randomness
from tests.training.crew import Crew, Worker, job
from tests.training.helpers import digests


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


@pytest.fixture(scope="module")
def alone() -> tuple[int, str, str]:
    """The digests of an undisturbed run of one worker."""
    crew = Crew()
    (worker,) = crew.train(job())
    return digests(worker)


@pytest.fixture
def apart(crew: Crew) -> tuple[Worker, Worker, Worker]:
    """One member has applied step 2, the other waits for what the third sent to the first only."""
    ahead, behind, doomed = crew.start(job(), job(), job())

    def stop_sending(tag: str) -> None:
        if tag == "step 2":
            doomed.group.cut_off.add(behind.address)

    doomed.group.trap = stop_sending
    crew.go_on()
    assert [w.standing.applied for w in (ahead, behind, doomed)] == [2, 1, 2]
    return ahead, behind, doomed
