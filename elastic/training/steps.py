"""One step's work in this process: leaves, their reduction, the update.

Nothing here decides who does what (`core.py`) or waits for anybody but inside the group's
`reduce_tree`. A step's partial sums are kept by (step, lineage), so that after a loss only missing
leaves are computed again; its result is kept until the next one is applied, for whoever is behind.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from elastic import audit
from elastic.audit import Announcement, Leaf
from elastic.clock import monotonic
from elastic.collectives.partial import Forest, Partial
from elastic.data import DataLoader
from elastic.errors import ConfigError, DataError, ProtocolError
from elastic.training import randomness
from elastic.training.agreement import Flags, combine
from elastic.training.events import Computed
from elastic.training.gradients import Bridge
from elastic.training.metrics import as_float, tree_sum, weighted_mean
from elastic.training.state import State
from elastic.wire import from_json, to_json

__all__ = ["LeafRecord", "StepResult", "Steps"]


@dataclass(frozen=True)
class LeafRecord:
    """What a leaf tells besides its gradient: small, and known to all members."""

    leaf: int
    rank: int
    indices: tuple[int, ...]
    weight: float
    metrics: dict[str, float] = field(default_factory=dict)
    buffers: dict[str, Any] = field(default_factory=dict)
    """Integer buffers' changes and digests of the others (gradients.Bridge)."""


@dataclass(frozen=True)
class Header:
    """What a member says to all in a step's reduction."""

    step: int
    lineage: str
    order: str
    flags: Flags
    leaves: tuple[LeafRecord, ...]
    leaves_s: float = 0.0
    """How long it has computed them: by this the others tell a straggler."""


@dataclass(frozen=True)
class StepResult:
    """A reduced step: all that `update` and the audit need (S3)."""

    step: int
    leaves: tuple[LeafRecord, ...]
    total: Partial | None


class Steps:
    """The work of this process on a job's steps."""

    def __init__(
        self,
        state: State,
        loader: DataLoader,
        train_step: Callable[[State, Any], Any],
        update: Callable[[State], None],
    ):
        self.state, self.loader = state, loader
        self._train_step, self._update = train_step, update
        self.bridge = Bridge(state)
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

    # -- where a step lies ---------------------------------------------------------------------

    def place(self, step: int) -> tuple[int, int]:
        """Return the epoch of a step (numbered from 1), and its position in the epoch."""
        return divmod(step - 1, self.loader.steps_per_epoch)

    def leaf_count(self, step: int) -> int:
        """Return how many leaves a step has: a ragged last batch has fewer."""
        return self.loader.leaf_count(self.place(step)[1])

    # -- a leaf --------------------------------------------------------------------------------

    def compute(self, step: int, leaf: int, lineage: str) -> Computed:
        """Run `train_step` and backward on one leaf and keep what it gives."""
        began = monotonic()
        self._begin(step, lineage)
        epoch, position = self.place(step)
        indices = self.loader.leaves(epoch, position)[leaf]
        seed_sample = partial(randomness.seed_sample, self._seed)
        batch, evidence = self.loader.fetch_leaf(epoch, position, leaf, seed_sample)
        randomness.seed_leaf(self._seed, step, leaf)
        self.bridge.begin()
        try:
            with self.state.guard():
                loss, weight, metrics = self._loss(self._train_step(self.state, batch), indices)
                loss.backward()
        except StopIteration:
            self.bridge.discard()
            return Computed(leaf, stop=True)
        taken = self.bridge.take(weight)
        self._forest.put(leaf, taken.partial)
        self._records[leaf] = LeafRecord(leaf, -1, evidence, weight, metrics, taken.buffers)
        self._leaves_s += monotonic() - began
        finite = math.isfinite(metrics["loss"])
        return Computed(leaf, nonfinite="" if finite else f"step {step} micro-batch {leaf}")

    def _begin(self, step: int, lineage: str) -> None:
        if self._key != (step, lineage):
            self._key = (step, lineage)
            self._forest = Forest(self.leaf_count(step), self.bridge.map)
            self._records = {}
            self._leaves_s = 0.0

    @property
    def _seed(self) -> int:
        assert self.loader.seed is not None
        return self.loader.seed

    def _loss(self, returned: Any, indices: tuple[int, ...]) -> tuple[Any, float, dict[str, float]]:
        """Read what `train_step` returned: a loss, or a dict of loss, weight and metrics (U1)."""
        parts = dict(returned) if isinstance(returned, Mapping) else {"loss": returned}
        unknown = parts.keys() - {"loss", "weight", "metrics"}
        loss = parts.get("loss")
        if unknown or not hasattr(loss, "backward"):
            raise ConfigError(
                "train_step expects to return a loss, or a dict of loss, weight and metrics; got "
                + (f"the key {sorted(unknown)[0]!r}" if unknown else type(loss).__name__)
                + ("; return the tensor, without .item()" if isinstance(loss, float) else "")
            )
        assert loss is not None
        weight = as_float("weight", parts.get("weight", len(indices)))
        if not weight > 0 or not math.isfinite(weight):
            raise ConfigError(f"train_step expects a positive weight, got {weight}")
        given = {k: as_float(k, v) for k, v in parts.get("metrics", {}).items()}
        return loss, weight, {"loss": as_float("loss", loss), **given}

    # -- the reduction -------------------------------------------------------------------------

    def reduce(self, group: Any, step: int, lineage: str, flags: Flags) -> Flags:
        """Add the step up over all members; return what they all ask for. May raise Aborted."""
        self._begin(step, lineage)
        order = self.loader.order_digest(self.place(step)[0])
        records = tuple(self._records[leaf] for leaf in sorted(self._records))
        header = Header(step, lineage, order, flags, records, self._leaves_s)
        began = monotonic()
        blob = json.dumps(to_json(header), separators=(",", ":")).encode()
        blobs, total = group.reduce_tree(f"step {step}", self._forest, blob)
        headers = [from_json(Header, json.loads(blob)) for blob in blobs]
        self._check(headers, header)
        leaves_s = {rank: (len(h.leaves), h.leaves_s) for rank, h in enumerate(headers)}
        group.account.reduced(monotonic() - began, self._leaves_s, leaves_s)
        leaves = sorted(
            (_of_rank(record, rank) for rank, h in enumerate(headers) for record in h.leaves),
            key=lambda record: record.leaf,
        )
        combined = combine(h.flags for h in headers)
        self._check_complete(step, leaves, combined)
        self.reduced = StepResult(step, tuple(leaves), total)
        return combined

    def _check(self, headers: list[Header], mine: Header) -> None:
        for rank, header in enumerate(headers):
            if (header.step, header.lineage) != (mine.step, mine.lineage):
                raise ProtocolError(
                    f"rank {rank} reduces step {header.step} of {header.lineage}, "
                    f"this one step {mine.step} of {mine.lineage}"
                )
            if header.order != mine.order:
                raise DataError(
                    f"all members expect one order of the data, rank {rank} has drawn another in "
                    f"step {mine.step}; make the sampler draw from the generators that training "
                    "seeds, or a function of the epoch"
                )

    def _check_complete(self, step: int, leaves: list[LeafRecord], flags: Flags) -> None:
        found = [record.leaf for record in leaves]
        if not flags.stop and found != list(range(self.leaf_count(step))):
            raise ProtocolError(f"step {step} was reduced with the leaves {found}")

    # -- the update ----------------------------------------------------------------------------

    def apply(self, result: StepResult, generation: int, lineage: str) -> str:
        """Run `update` on a reduced step and advance the data; return the new lineage."""
        self._give_gradients(result)
        epoch, position = self.place(result.step)
        self.state.metrics = weighted_mean([(r.weight, r.metrics) for r in result.leaves])
        randomness.seed_update(self._seed, result.step)
        self._update(self.state)
        self.loader.advance()
        self.state.step = result.step
        self.state.epoch = epoch + (position + 1 == self.loader.steps_per_epoch)
        leaves = [Leaf(r.leaf, r.rank, r.indices) for r in result.leaves]
        after = audit.chain(lineage, result.step, leaves)
        announcement = self._announcement(epoch) if position == 0 else None
        self.last_line = audit.line(result.step, epoch, generation, after, leaves, announcement)
        self.last, self.reduced = result, None
        self._drop_leaves()
        return after

    def _give_gradients(self, result: StepResult) -> None:
        weight = tree_sum([record.weight for record in result.leaves])
        self.bridge.put(result.total, weight or 0.0, [r.buffers for r in result.leaves])

    def _announcement(self, epoch: int) -> Announcement:
        indices = self.loader.epoch_indices(epoch)
        return Announcement(len(indices), audit.multiset(indices))

    # -- results for whoever is behind ---------------------------------------------------------

    def pack_last(self) -> list[bytes | np.ndarray]:
        """Return the last result as buffers, for a member one step behind (S3)."""
        result = self.last
        assert result is not None
        head = {"step": result.step, "leaves": to_json(result.leaves), "total": False}
        if result.total is None:
            return [json.dumps(head).encode()]
        head["total"] = True
        return [json.dumps(head).encode(), result.total.present, *result.total.vectors]

    def unpack(self, buffers: list[Any]) -> StepResult:
        """Return the result that a member sent."""
        head = json.loads(bytes(buffers[0]))
        leaves = from_json(tuple[LeafRecord, ...], head["leaves"])
        if not head["total"]:
            return StepResult(head["step"], leaves, None)
        present = np.frombuffer(buffers[1], bool).copy()
        dtypes = self.bridge.map.dtypes
        vectors = [
            np.frombuffer(buffer, dtype).copy()
            for buffer, dtype in zip(buffers[2:], dtypes, strict=True)
        ]
        total = Partial(self.bridge.map, vectors, present)
        return StepResult(head["step"], leaves, total)


def _of_rank(record: LeafRecord, rank: int) -> LeafRecord:
    return LeafRecord(
        record.leaf, rank, record.indices, record.weight, record.metrics, record.buffers
    )
