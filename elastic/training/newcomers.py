"""How newcomers get State while the group trains on (docs/protocol.md, S9). Pure.

A candidate that has no State is first *warmed*: all members agree in a step's flags to copy State
after it, and send the copy in the background, each its share; from then on one member, the
*feeder*, sends every later step's result, which the candidate replays. Once it is level it joins as
ever, and the feed brings it the last steps while the others go on. A warm-up belongs to one
generation. Candidates are warmed in batches, because whoever joins ends the generation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from elastic.control import Candidate

__all__ = ["CANNOT", "Copy", "Pace", "Warming", "pace"]

WARM_FROM_BYTES = 512 << 10
"""Below this much in a step's result, State is sent at a step boundary: that takes no time."""
LEVEL_BYTES = 4 << 20
PATIENCE_BYTES = 1 << 30
"""Results that a newcomer may be behind when it joins, and when it is no longer waited for."""
PATIENCE_STEPS = (8, 64)
"""It is waited for at least and at most so long: what it was told may have been lost."""

CANNOT = -1
"""What a candidate says instead of its step if it cannot take State before it joins."""
VOIDS = 2
"""After so many warm-ups that came to nothing, a candidate gets State at a step boundary."""


@dataclass(frozen=True)
class Pace:
    """How far a candidate may be behind, in steps; equal on all members."""

    level: int = 0
    """So near it is level: it joins. A step more after every `patience` steps of waiting."""
    patience: int = 8
    """So far it is not waited for any longer: it joins and gets State at the boundary."""


def pace(result_bytes: int) -> Pace | None:
    """Return how far newcomers may be behind in a job with results of this size."""
    if result_bytes < WARM_FROM_BYTES:
        return None
    least, most = PATIENCE_STEPS
    patience = min(most, max(least, PATIENCE_BYTES // result_bytes))
    return Pace(LEVEL_BYTES // result_bytes, patience)


@dataclass(frozen=True)
class Copy:
    """The copy of State that a newcomer holds: of which generation, and who feeds it."""

    generation: int
    feeder: str

    def leads_to(self, generation: int, ids: tuple[str, ...]) -> bool:
        """Whether the feed brings it level in a group that it joins now."""
        return generation == self.generation + 1 and self.feeder in ids


@dataclass(frozen=True)
class Warming:
    """The candidates that a generation warms, as one of its members knows them."""

    batch: tuple[Candidate, ...] = ()
    since: int = 0
    """The step after which State was copied for them."""
    said: dict[str, int] = field(default_factory=dict)
    """The step at which each said last that it stands."""
    gone: tuple[str, ...] = ()
    """Of the batch, but no candidates any more: what was sent to them can be dropped."""
    room: bool = False
    """Whether memory for a copy of State is made ready."""
    voided: tuple[str, ...] = ()
    """Who has lost a warm-up to a change of the group, once for each."""

    def begin(self, batch: tuple[Candidate, ...], step: int) -> Warming:
        """State is copied for these after this step."""
        return replace(self, batch=batch, since=step, said={}, room=False)

    def heard(self, id: str, step: int) -> Warming:
        """A candidate says that it has applied this step, or that it CANNOT."""
        known = any(each.id == id for each in self.batch)
        return replace(self, said=self.said | {id: step}) if known else self

    def forget(self, ids: set[str]) -> Warming:
        """These are candidates no more."""
        gone = tuple(each.id for each in self.batch if each.id in ids)
        batch = tuple(each for each in self.batch if each.id not in ids)
        return replace(self, batch=batch, gone=self.gone + gone)

    def spoil(self) -> Warming:
        """All of the batch have been warmed in vain, and would be again."""
        ids = tuple(each.id for each in self.batch)
        return replace(self.forget(set(ids)), voided=self.voided + ids * VOIDS)

    def after(self, ids: tuple[str, ...]) -> Warming:
        """The generation is over: whoever is not in the next one has been warmed in vain."""
        in_vain = tuple(each.id for each in self.batch if each.id not in ids)
        return Warming(voided=tuple(id for id in self.voided if id not in ids) + in_vain)

    def wishes(
        self, newcomers: tuple[Candidate, ...], applied: int, pace: Pace | None
    ) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
        """Return who should join after the step in flight, and who should be warmed.

        `pace` is None in a job that warms nobody.
        """
        batch = tuple(each for each in newcomers if each in self.batch)
        if pace is not None and batch:
            ready = all(self._is_ready(each.id, applied, pace) for each in batch)
            return (batch if ready else ()), ()
        cold = tuple(c for c in newcomers if pace is None or self.voided.count(c.id) >= VOIDS)
        return (cold, ()) if cold else ((), newcomers)

    def _is_ready(self, id: str, applied: int, pace: Pace) -> bool:
        """Whether it is level, or will not be."""
        step = self.said.get(id)
        if step == CANNOT:
            return True
        if step is None:
            return applied - self.since > pace.patience
        level = pace.level + (applied - self.since) // pace.patience  # it may never come nearer
        return not level < applied - step <= pace.patience
