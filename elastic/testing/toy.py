"""A model of integers whose digest proves the order of every addition.

State is one number. A leaf's gradient is a hash of (state, step, leaf); an addition is a hash of
both sides and of its node in the canonical tree, so another order, a leaf twice or a leaf missing
gives another digest. Hooks write State too, as a user's may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from random import Random
from typing import Any

from elastic import audit
from elastic.collectives.plan import Node, additions, cover, root

__all__ = ["ToyJob", "digest"]

SAMPLES_A_LEAF = 2


def digest(*parts: Any) -> str:
    """Return the hash of anything that prints the same for the same."""
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class ToyJob:
    """What is trained: so many steps of so many leaves, and what happens beside them."""

    seed: int
    steps: int = 8
    leaves: int = 8
    steps_per_epoch: int = 3
    hooks: bool = False
    checkpoint_every: int = 0
    hooks_write: bool = True
    """Whether hooks write State: newcomers do not get it while the group trains (S9)."""
    warms: bool = False
    """Newcomers get State while the group trains (S9)."""
    stop_before: int = 0
    """In this step `train_step` raises StopIteration; 0: in none."""

    @property
    def begin(self) -> str:
        """The State that every process starts with."""
        return digest(self.seed)

    @property
    def end(self) -> int:
        """How many steps are applied in the end."""
        return min(self.steps, self.stop_before - 1) if self.stop_before else self.steps

    def leaf_count(self, step: int) -> int:
        """The last step of an epoch is ragged."""
        return max(1, self.leaves - 3) if step % self.steps_per_epoch == 0 else self.leaves

    def stops(self, step: int) -> bool:
        """Whether `train_step` raises StopIteration in this step."""
        return step == self.stop_before

    # -- what a worker computes ----------------------------------------------------------------

    def gradient(self, state: str, step: int, leaf: int) -> str:
        """Return what a leaf contributes."""
        return digest(self.seed, state, step, leaf)

    def partial(self, held: Mapping[int, str], step: int) -> dict[Node, str]:
        """Return the sums of the complete subtrees of what is held."""
        n = self.leaf_count(step)
        return {node: self._sum(held, node) for node in cover(held, n)}

    def _sum(self, held: Mapping[int, str], node: Node) -> str:
        leaves = {(leaf, leaf + 1): held[leaf] for leaf in range(*node)}
        return _add(leaves, self._within(node), node)

    def _within(self, node: Node) -> list[tuple[Node, Node, Node]]:
        start, stop = node
        leaves = [(i, i + 1) for i in range(stop - start)]
        return [
            (_shift(left, start), _shift(right, start), _shift(parent, start))
            for left, right, parent in additions(leaves, stop - start)
        ]

    def total(self, sums: Mapping[Node, str], step: int) -> str:
        """Return the reduced gradient of partial sums that cover the step's leaves once."""
        n = self.leaf_count(step)
        return _add(dict(sums), additions(sums, n), root(n))

    def apply(self, state: str, total: str, step: int) -> str:
        """Return the State after `update`."""
        return digest(state, total, step)

    def hook(self, state: str, step: int) -> str:
        """Return the State after the hooks of a step."""
        return digest(state, "hook", step) if self.hooks and self.hooks_write else state

    # -- data ----------------------------------------------------------------------------------

    def epoch(self, step: int) -> int:
        """Return the epoch of a step."""
        return (step - 1) // self.steps_per_epoch

    def indices(self, step: int, leaf: int) -> tuple[int, ...]:
        """Return the samples of a leaf."""
        order, first = self._order(self.epoch(step)), self.epoch(step) * self.steps_per_epoch + 1
        before = sum(self.leaf_count(s) for s in range(first, step)) + leaf
        return tuple(order[before * SAMPLES_A_LEAF : (before + 1) * SAMPLES_A_LEAF])

    @cache  # noqa: B019 - a frozen value
    def _order(self, epoch: int) -> list[int]:
        first = epoch * self.steps_per_epoch + 1
        steps = range(first, first + self.steps_per_epoch)
        order = list(range(SAMPLES_A_LEAF * sum(self.leaf_count(s) for s in steps)))
        Random(f"{self.seed} {epoch}").shuffle(order)
        return order

    def line(
        self, step: int, generation: int, lineage: str, leaves: Iterable[audit.Leaf]
    ) -> dict[str, Any]:
        """Return the audit line of a step."""
        first = (step - 1) % self.steps_per_epoch == 0
        order = self._order(self.epoch(step))
        announced = audit.Announcement(len(order), audit.multiset(order)) if first else None
        return audit.line(step, self.epoch(step), generation, lineage, list(leaves), announced)

    # -- the run that nothing disturbs ---------------------------------------------------------

    def undisturbed(self) -> str:
        """Return the State at the end of a run of one worker."""
        state = self.begin
        for step in range(1, self.end + 1):
            gradients = {i: self.gradient(state, step, i) for i in range(self.leaf_count(step))}
            state = self.apply(state, self.total(self.partial(gradients, step), step), step)
            state = self.hook(state, step)
        return state


def _shift(node: Node, by: int) -> Node:
    return (node[0] + by, node[1] + by)


def _add(sums: dict[Node, str], order: Iterable[tuple[Node, Node, Node]], top: Node) -> str:
    for left, right, parent in order:
        sums[parent] = digest(sums.pop(left), sums.pop(right), parent)
    if sums.keys() != {top}:
        raise ValueError(f"{sorted(sums)} do not cover the tree {top}")
    return sums[top]
