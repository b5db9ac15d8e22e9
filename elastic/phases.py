"""How steps of several phases are numbered: (k, phase) for people, one counter for the protocol.

A step of P phases is P updates on one batch (PROTOCOL U2). The cores count updates: number n of
theirs is phase (n - 1) % P of step (n - 1) // P + 1, both phases and numbers in the order of time.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Phases"]


@dataclass(frozen=True)
class Phases:
    """The numbering of a job whose steps have so many phases.

    Example:
        >>> two = Phases(2)
        >>> [two.name(n) for n in (1, 2, 3)]
        ['step 1 phase 0', 'step 1 phase 1', 'step 2 phase 0']
        >>> two.whole_steps(3)
        1
    """

    count: int = 1

    def step(self, number: int) -> int:
        """Return the step, from 1, of which this is a phase."""
        return (number - 1) // self.count + 1

    def phase(self, number: int) -> int:
        """Return the phase, from 0."""
        return (number - 1) % self.count

    def ends_step(self, number: int) -> bool:
        """Whether this is the last phase of its step; 0 is before all, and between two steps."""
        return number % self.count == 0

    def whole_steps(self, number: int) -> int:
        """Return how many steps are complete after this number."""
        return number // self.count

    def number(self, step: int, phase: int) -> int:
        """Return the cores' number of a phase of a step."""
        return (step - 1) * self.count + phase + 1

    def name(self, number: int) -> str:
        """Return what a person calls it."""
        step = f"step {self.step(number)}"
        return step if self.count == 1 else f"{step} phase {self.phase(number)}"
