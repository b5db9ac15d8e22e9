"""What must hold in every simulation, however it goes: checked when it could first be wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from elastic.audit import Verifier
from elastic.rendezvous.record import RUNNING, Keys, Record
from elastic.rendezvous.store import Changed, Relisted
from elastic.testing.surroundings import Surroundings

if TYPE_CHECKING:
    from elastic.testing.worker import SimulatedWorker

__all__ = ["SETTLED_S", "Judge", "Unjust"]

SETTLED_S = 30.0
"""So long after the last fault every live worker must have its place."""
START_S = 5.0
"""But one that has just started may take so long to find it."""


class Unjust(AssertionError):
    """A promise was broken."""


class Judge:
    """Sees every record, leaf, applied step and audit line."""

    def __init__(self, around: Surroundings, keys: Keys):
        self.around, self._members = around, keys.members
        self.record: Record | None = None
        self.workers: list[SimulatedWorker] = []
        self._steps: dict[tuple[str, int], str] = {}
        self._states: dict[str, str] = {}
        self._holders: dict[tuple[int, str, int], tuple[SimulatedWorker, str]] = {}
        self.audits: dict[str, Verifier] = {}
        self.lines: dict[str, list[str]] = {}
        self._samples: dict[int, Any] = {}
        self._admitted: set[str] = set()
        self.doubted: set[str] = set()
        """Members that there was a reason to put out: they were silent, or broke a connection."""
        self._applied: set[tuple[str, str, int]] = set()
        self.recomputed = self.readmitted = self.aborted = self.struck = self.lent = 0
        around.memory.watch(keys.record, False, 1, self._on_record)

    def _on_record(self, news: Changed | Relisted) -> None:
        """One generation at a time, it only grows, and no id is used again."""
        assert isinstance(news, Changed)
        if not news.puts:
            raise Unjust("the record was deleted")
        record, before = Record.decode(news.puts[0].value), self.record
        expected = before.generation + 1 if before else 1
        if record.generation != expected:
            raise Unjust(f"generation {record.generation} follows {expected - 1}")
        joined = set(record.ids) - set(before.ids if before else ())
        if joined & self._admitted:
            raise Unjust(f"admitted a second time: {sorted(joined & self._admitted)}")
        self._admitted |= joined
        self._check_lost(record)
        if before and before.ids and record.planned and not set(record.ids) & set(before.ids):
            if record.ids:
                raise Unjust(f"whoever had State left as others joined: {record}")
        self.record = record
        ids = " ".join(record.ids)
        self.around.say("record", f"{record.generation} {record.status} [{ids}] {record.cause}")

    def _check_lost(self, record: Record) -> None:
        """Whoever lives and can be heard keeps its place (M6), but if nobody of a group is left."""
        lost = set(record.lost) - self.doubted if not record.joined else set()
        for agent in [a for a in self.around.agents if a.alive and not a.leaving]:
            if living := sorted(
                seat.member for seat in agent.seats if seat.worker.alive and seat.member in lost
            ):
                raise Unjust(f"put out though they live and answer: {living}: {record.cause}")

    def computed(self, worker: SimulatedWorker, step: int, leaf: int) -> None:
        """A leaf is computed twice only if whoever held it is lost (S6)."""
        self.around.say(worker.address, f"computed leaf {leaf} of step {step}")
        key = (step, worker.training.lineage, leaf)
        holder, id = self._holders.get(key, (None, ""))
        if holder is not None:
            self.recomputed += 1
            if holder.alive and holder.id == id and self._are_members(id, worker.id):
                raise Unjust(f"{worker.address} computed again what {holder.address} holds: {key}")
        self._holders[key] = (worker, worker.id)

    def applied(self, worker: SimulatedWorker, step: int, lineage: str) -> None:
        """One result for a step, whoever applied it; nobody applies it twice or two ahead."""
        self.around.say(worker.address, f"applied step {step}: {worker.state}")
        once = (worker.address, worker.id, step)
        if once in self._applied:
            raise Unjust(f"{worker.address} applied step {step} a second time")
        self._applied.add(once)
        self._check_equal(self._steps, (worker.training.lineage, step), worker.state)
        self._check_equal(self._states, lineage, worker.state)
        for other in self._level() if self._are_members(worker.id) else ():
            if abs(other.training.applied - step) > 1 and other is not worker:
                raise Unjust(
                    f"{worker.address} applied step {step}, {other.address} stands at "
                    f"{other.training.applied}"
                )

    def lent_copy(self, worker: SimulatedWorker, step: int, lineage: str) -> None:
        """A newcomer has a copy of the State with which members begin the next step (S9)."""
        self.around.say(worker.address, f"is lent State after step {step}: {worker.state}")
        self._check_equal(self._states, lineage + " hooked", worker.state)

    def replayed(self, worker: SimulatedWorker, step: int, lineage: str) -> None:
        """A newcomer has the State that members have after this step (S9)."""
        self.around.say(worker.address, f"is lent step {step}: {worker.state}")
        self._check_equal(self._states, lineage, worker.state)
        self.lent += 1

    def level(self, worker: SimulatedWorker) -> None:
        """Whoever begins a generation has the job's State."""
        applied, lineage = worker.training.applied, worker.training.lineage
        text = f"level at step {applied} in generation {worker.training.generation}"
        self.around.say(worker.address, text)
        if worker.training.hooked == applied:
            self._check_equal(self._states, lineage + " hooked", worker.state)
        elif lineage in self._states:
            self._check_equal(self._states, lineage, worker.state)

    def line(self, worker: SimulatedWorker, line: dict[str, Any]) -> None:
        """Each agent's file verifies at any time (D2)."""
        text = json.dumps(line) + "\n"
        self.lines.setdefault(worker.host, []).append(text)
        verifier = self.audits.setdefault(worker.host, Verifier())
        verifier.feed(text)
        if verifier.verdict() != "ok":
            raise Unjust(f"{worker.host}'s audit: {verifier.verdict()}")
        if "step" in line:
            story = [(leaf, indices) for leaf, _, indices in line["leaves"]]
            self._check_equal(self._samples, line["step"], story)

    def ended(self, worker: SimulatedWorker, result: dict[str, Any]) -> None:
        """The record says what this worker has."""
        if result["digest"] != worker.state:
            raise Unjust(f"{worker.address} ends with {worker.state}, the record says {result}")

    def settled(self) -> None:
        """Every live worker is in the group, or waits where the group can see it."""
        without = self._without_place()
        self.around.clock.after(START_S, lambda: self._still_settled(without))

    def _still_settled(self, before: set[str]) -> None:
        if lost := sorted(before & self._without_place()):
            raise Unjust(f"neither in the group nor waiting, {SETTLED_S:g} s after all: {lost}")

    def _without_place(self) -> set[str]:
        if self.record is None or self.record.status != RUNNING:
            return set()
        prefix = self._members
        seen = {
            item.key.removeprefix(prefix) for item in self.around.memory.range(prefix, True).items
        }
        placed = {*seen, *self.record.ids}
        return {w.address for w in self.workers if w.alive and w.id not in placed}

    def over(self) -> None:
        """The job is done, as it would have been had nothing happened."""
        record, job = self.record, self.around.job
        if record is None or record.status != "done" or record.result is None:
            raise Unjust(f"the job is not done: {record}")
        expected = {"steps": job.end, "digest": job.undisturbed()}
        if record.result != expected:
            raise Unjust(f"the job ends with {record.result} instead of {expected}")
        if sorted(self._samples) != list(range(1, job.end + 1)):
            raise Unjust(f"the audit shows the steps {sorted(self._samples)}")

    def _level(self) -> list[SimulatedWorker]:
        workers = [w for w in self.workers if w.alive and w.training.lineage]
        workers = [w for w in workers if w.training.copy is None]
        return [w for w in workers if self._are_members(w.id)]

    def _are_members(self, *ids: str) -> bool:
        """Whoever was fenced goes on until it hears of it: it can only waste its own time."""
        record = self.record
        return record is not None and record.status == RUNNING and set(ids) <= set(record.ids)

    def _check_equal(self, known: dict[Any, Any], key: Any, value: Any) -> None:
        if known.setdefault(key, value) != value:
            raise Unjust(f"two results for {key}: {known[key]} and {value}")
