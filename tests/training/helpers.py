"""What tests of a crew ask: where its members stand, and whether they ended as one alone."""

from __future__ import annotations

from elastic.training.standing import Phase
from tests.training.crew import Crew, Worker

STEPS = 5
"""So many does `job()` train."""


def digests(worker: Worker) -> tuple[int, str, str]:
    return worker.result.steps, worker.result.digest, worker.result.state_digest


def all_ended_as(reference, workers: list[Worker]) -> None:
    for worker in workers:
        assert worker.actor.over, worker.standing.story
        assert digests(worker) == reference


def first_in(crew: Crew, phase: Phase, applied: int) -> Worker:
    """Let all go on until one stands still in this phase, with so many steps applied; return it."""

    def there() -> list[Worker]:
        places = [(w.standing.phase, w.standing.applied) for w in crew.members]
        return [
            w for w, place in zip(crew.members, places, strict=True) if place == (phase, applied)
        ]

    crew.go_on(there)
    return there()[0]


def all_but(worker: Worker) -> list[Worker]:
    return [each for each in worker.crew.workers if each is not worker]
