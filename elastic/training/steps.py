"""One step's work in this process: leaves, their reduction, the update.

Nothing here decides who does what (`core.py`) or waits for anybody but inside the group's
`reduce_tree`. A step's partial sums are kept by (step, lineage), so that after a loss only missing
leaves are computed again; its result is kept until the next one is applied, for whoever is behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from elastic import audit
from elastic.audit import Announcement, InStream, Leaf
from elastic.clock import monotonic
from elastic.collectives.partial import Forest
from elastic.data import DataLoader
from elastic.errors import DataError, ProtocolError
from elastic.phases import Phases
from elastic.training import carry, randomness
from elastic.training.agreement import Flags, combine
from elastic.training.drift import checksums, find_drift
from elastic.training.events import Computed
from elastic.training.gradients import Bridge
from elastic.training.metrics import tree_sum, weighted_mean
from elastic.training.records import (
    Header,
    LeafRecord,
    StepResult,
    all_leaves,
    pack_header,
    pack_result,
    unpack_headers,
    unpack_result,
)
from elastic.training.returned import as_parts, read_loss
from elastic.training.state import State

__all__ = ["Pair", "Steps"]


class Pair(NamedTuple):
    """The two functions of a phase (U2)."""

    train_step: Callable[[State, Any], Any]
    update: Callable[[State], None]


class Steps:
    """The work of this process on a job's steps.

    A `step` here is the cores' number: of one update, a phase of a step of the user's (`Phases`).
    """

    def __init__(
        self, state: State, loader: DataLoader, pairs: Sequence[Pair], drift_every: int = 0
    ):
        self.state, self.loader = state, loader
        self._drift_every = drift_every
        self.compares_parameters = True
        """Whether they are expected to be equal: not where machines are mixed."""
        self._parameters = state.named_parameters()
        self._pairs = tuple(pairs)
        if loader.stream is not None:
            loader.stream.seed_sample = self._seed_sampler
            loader.stream.keeping = randomness.restored
        self.phases = Phases(len(self._pairs))
        self.bridge = Bridge(state)
        self._guard = state.guard()
        self.forget()

    def forget(self) -> None:
        """Drop all that was computed: State is another's from now on."""
        self._drop_leaves()
        self.reduced: StepResult | None = None
        """Reduced, not yet applied."""
        self.last: StepResult | None = None
        """The result of the last applied step, kept until all have applied it."""
        self.last_line: dict[str, Any] | None = None

    def _drop_leaves(self) -> None:
        self._key: tuple[int, str] | None = None
        self._forest = Forest(1, self.bridge.map)
        self._records: dict[int, LeafRecord] = {}
        self._leaves_s = 0.0
        self._carries: dict[int, bytes] = {}

    # -- where a step lies ---------------------------------------------------------------------

    def place(self, step: int) -> tuple[int, int]:
        """Return the epoch of a step (numbered from 1), and its position in the epoch."""
        if self.loader.stream is not None:  # of unknown length: only the next step has a place
            return self.loader.cursor.epoch, self.loader.cursor.step
        return divmod(self.phases.step(step) - 1, self.loader.steps_per_epoch)

    def leaf_count(self, step: int) -> int:
        """Return how many leaves a step has: a ragged last batch has fewer."""
        return self.loader.leaf_count(self.place(step)[1])

    # -- a leaf --------------------------------------------------------------------------------

    def compute(self, step: int, leaf: int, lineage: str) -> Computed:
        """Run `train_step` and backward on one leaf and keep what it gives."""
        began = monotonic()
        self._begin(step, lineage)
        epoch, position = self.place(step)
        batch, evidence = self.loader.fetch_leaf(epoch, position, leaf, self._seed_sampler)
        randomness.seed_leaf(self._seed, step, leaf)
        self.bridge.begin()
        try:
            weight, metrics, packed = self._run(self.phases.phase(step), leaf, batch, len(evidence))
        except StopIteration:
            self.bridge.discard()
            return Computed(leaf, stop=True)
        taken = self.bridge.take(weight / self.loader.micro_batch_size)
        self._forest.put(leaf, taken.pieces)
        self._carries[leaf] = packed
        self._records[leaf] = LeafRecord(
            leaf, -1, evidence, weight, metrics, taken.buffers, len(packed)
        )
        self._leaves_s += monotonic() - began
        finite = math.isfinite(metrics["loss"])
        return Computed(leaf, nonfinite="" if finite else self.leaf_name(step, leaf))

    def _run(
        self, phase: int, leaf: int, batch: Any, samples: int
    ) -> tuple[float, dict[str, float], bytes]:
        """Run `train_step` and backward; return the leaf's weight, metrics and packed carry."""
        with self.state.carrying(phase, leaf), self._guard:
            returned = as_parts(self._pairs[phase].train_step(self.state, batch))
            loss, weight, metrics = read_loss(returned, samples)
            loss.backward()
        given = returned.get("carry")
        return weight, metrics, b"" if given is None else carry.pack(given)

    def release(self) -> None:
        """No leaf follows the last one at once: State may be written (U1)."""
        self._guard.release()

    def leaf_name(self, step: int, leaf: int) -> str:
        """Return what a person calls a leaf of a step."""
        return f"{self.phases.name(step)} micro-batch {leaf}"

    def _begin(self, step: int, lineage: str) -> None:
        if self._key != (step, lineage):
            self._key = (step, lineage)
            self._forest = Forest(self.leaf_count(step), self.bridge.map)
            self._records, self._carries = {}, {}
            self._leaves_s = 0.0

    @property
    def _seed_sampler(self) -> Callable[[int, int], None]:
        """What seeds the fetch of a sample; it can be pickled."""
        return partial(randomness.seed_sample, self._seed)

    @property
    def _seed(self) -> int:
        assert self.loader.seed is not None
        return self.loader.seed

    # -- the reduction -------------------------------------------------------------------------

    def reduce(self, group: Any, step: int, lineage: str, flags: Flags) -> Flags:
        """Add the step up over all members; return what they all ask for. May raise Aborted."""
        self._begin(step, lineage)
        header = self._header(step, lineage, group.size, flags)
        began = monotonic()
        blob = pack_header(header, self._carries)
        blobs, total = group.reduce_tree(f"step {step}", self._forest, blob)
        headers, carries = unpack_headers(blobs, group.rank, header, self._carries)
        self._check(headers, header)
        leaves_s = {rank: (len(h.leaves), h.leaves_s) for rank, h in enumerate(headers)}
        group.account.reduced(monotonic() - began, self._leaves_s, leaves_s)
        drift = find_drift([h.checksums for h in headers], list(self._parameters))
        combined = replace(combine(h.flags for h in headers), drift=drift)
        leaves = all_leaves(headers)
        self._check_complete(step, leaves, combined)
        self.reduced = StepResult(step, leaves, total, carries)
        return combined

    def _header(self, step: int, lineage: str, members: int, flags: Flags) -> Header:
        records = tuple(self._records[leaf] for leaf in sorted(self._records))
        sums = self._checksums(step, members)
        return Header(step, lineage, self._order(step), flags, records, self._leaves_s, sums)

    def _order(self, step: int) -> str:
        """Return the digest of which samples come when, equal on all members (D1)."""
        if self.loader.stream is not None:
            return self.loader.read_digest()
        return self.loader.order_digest(self.place(step)[0])

    def _checksums(self, step: int, members: int) -> str:
        """Return this member's, if it is time to compare them and there is anybody to."""
        every = self._drift_every if self.compares_parameters and members > 1 else 0
        return checksums(self._parameters) if every and (step - 1) % every == 0 else ""

    def _check(self, headers: list[Header], mine: Header) -> None:
        for rank, header in enumerate(headers):
            if (header.step, header.lineage) != (mine.step, mine.lineage):
                raise ProtocolError(
                    f"rank {rank} reduces step {header.step} of {header.lineage}, "
                    f"this one step {mine.step} of {mine.lineage}"
                )
            if header.order != mine.order:
                raise DataError(self._other_order(rank, mine.step))

    def _other_order(self, rank: int, step: int) -> str:
        name = self.phases.name(step)
        if self.loader.stream is not None:
            return (
                f"all members expect one stream of data, rank {rank} has read other samples in "
                f"{name}; make the stream a function of its own state, the generators that "
                "training seeds, and set_epoch(epoch)"
            )
        return (
            f"all members expect one order of the data, rank {rank} has drawn another in {name}; "
            "make the sampler draw from the generators that training seeds, or a function of the "
            "epoch"
        )

    def _check_complete(self, step: int, leaves: tuple[LeafRecord, ...], flags: Flags) -> None:
        found = [record.leaf for record in leaves]
        if not flags.stop and found != list(range(self.leaf_count(step))):
            raise ProtocolError(f"step {step} was reduced with the leaves {found}")

    # -- the update ----------------------------------------------------------------------------

    def apply(self, result: StepResult, generation: int, lineage: str) -> str:
        """Run `update` on a reduced step and advance the data; return the new lineage."""
        self.release()
        phase = self.phases.phase(result.step)
        self._give_gradients(result)
        found = weighted_mean([(r.weight, r.metrics) for r in result.leaves])
        self.state.metrics = found if phase == 0 else self.state.metrics | found
        self.state.put_carries(phase, result.carries)
        randomness.seed_update(self._seed, result.step)
        self._pairs[phase].update(self.state)
        after = self._tell(result, generation, lineage)
        if self.phases.ends_step(result.step):
            self.loader.advance()
            self.state.step = self.phases.whole_steps(result.step)
            self.state.epoch = self.loader.cursor.epoch
        self.last, self.reduced = result, None
        self._drop_leaves()
        return after

    def _tell(self, result: StepResult, generation: int, lineage: str) -> str:
        """Set the line of evidence; return the new lineage."""
        epoch, position = self.place(result.step)
        phase = self.phases.phase(result.step)
        leaves = [Leaf(r.leaf, r.rank, r.indices) for r in result.leaves]
        after = audit.chain(lineage, result.step, leaves)
        told = self._announcement(epoch) if (position, phase) == (0, 0) else None
        if self.loader.stream is not None:
            told = InStream(self.loader.stream.position, self.loader.stream.ends_epoch())
        self.last_line = audit.line(
            result.step, epoch, generation, after, leaves, told, self.phases
        )
        return after

    def _give_gradients(self, result: StepResult) -> None:
        full = self.loader.micro_batch_size
        weight = tree_sum([record.weight / full for record in result.leaves])
        self.bridge.put(result.total, weight or 0.0, [r.buffers for r in result.leaves])

    def _announcement(self, epoch: int) -> Announcement | InStream | None:
        if self.loader.stream is not None:
            return None
        indices = self.loader.epoch_indices(epoch)
        return Announcement(len(indices), audit.multiset(indices))

    # -- results for whoever is behind ---------------------------------------------------------

    def pack_last(self) -> list[bytes | np.ndarray]:
        """Return the last result as buffers, for a member one step behind (S3)."""
        assert self.last is not None
        return pack_result(self.last)

    def pack_newest(self) -> list[bytes | np.ndarray]:
        """Return the result that is to be applied, or was just now, for newcomers (S9)."""
        newest = self.reduced or self.last
        assert newest is not None
        return pack_result(newest)

    def unpack(self, buffers: list[Any]) -> StepResult:
        """Return the result that a member sent."""
        return unpack_result(buffers, self.bridge.map)
