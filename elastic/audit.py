"""Evidence of what was trained, a line a committed step; the verifier sees only the lines.

A file holds one JSON object a line (PROTOCOL D2, S3). A *step's number* is the count of committed
steps with it: the first is 1. Three kinds of line:

    {"step": 7, "epoch": 0, "generation": 3, "lineage": "9f…", "leaves": [[0, 1, [12, 5]], …]}
        Step 7 is committed. A leaf is [leaf, rank that computed it, indices of its samples]; leaves
        stand in the order 0, 1, … n - 1. `lineage` is the running hash after this step. The first
        line of an epoch also has "epoch_count" and "epoch_multiset": how many samples the epoch is
        going to train on, and the digest of which, in any order and with repetitions.
    {"open": 6, "lineage": "41…"}
        The file, or a new job in it, begins after step 6. A file without it begins with an epoch.
    {"resume": 4, "lineage": "c0…"}
        The job begins again after step 4: earlier lines of later steps are void.

Of a stream of unknown length each line has "position", that of the step's first sample in the
epoch, and "last", whether the epoch ends with it; the samples of the leaves, in order, are the
positions from there on, without a gap.

A step of several phases (PROTOCOL U2) has a line for each, with "phase": [phase, phases a step] in
it. All show the same samples, which count once. Opened or resumed after step 4 and the first phase
of the next one, a file says [1, 2].

A line may be repeated (what leaves the process is at-least-once): it supersedes the earlier one if
both agree in step, leaves and indices; who computed a leaf may differ. A line that a crash tore is
tolerated where only a crash can leave it: at the end without a newline, or before a resume line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from elastic.audit_lines import (
    MODULUS,
    Announcement,
    InStream,
    Leaf,
    Torn,
    Wrong,
    chain,
    line,
    multiset,
    opening,
    parsed,
    sum_of,
)

__all__ = [
    "Announcement",
    "InStream",
    "Leaf",
    "Report",
    "Verifier",
    "chain",
    "line",
    "multiset",
    "opening",
    "verify",
]

REMEMBERED_STEPS = 100_000
"""How many steps back a resume or repeated line may reach, beyond the current epoch."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where the story stands after one step."""

    step: int = 0
    lineage: str | None = None
    epoch: int = -1
    announced: Announcement | None = None
    """None before any epoch, and in one that began before the file."""
    count: int = 0
    """Samples of this epoch so far, and the sum of their hashes."""
    seen: int = 0
    steps: int = 0
    epochs: int = 0
    samples: int = 0
    over: bool = False
    """Whether the epoch of a stream has ended."""
    batch: str = ""
    """Digest of what the last step has shown, if it has further phases."""

    @property
    def epoch_is_over(self) -> bool:
        return self.announced is not None and self.count == self.announced.samples


_BEFORE = _Mark()


@dataclass(frozen=True)
class Report:
    """What a file shows. `steps`, `epochs` (finished) and `samples` count what stands at the end;
    `leaves_by_rank` counts the work shown on every line, also on superseded and void ones."""

    verdict: str
    steps: int = 0
    epochs: int = 0
    samples: int = 0
    superseded: int = 0
    leaves_by_rank: dict[int, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no sample was lost or repeated, as far as the file goes."""
        return self.verdict == "ok"


class Verifier:
    """Reads lines one by one and keeps a small mark a step, never the samples.

    Example:
        >>> verifier = Verifier()
        >>> verifier.feed('{"open": 0, "lineage": "00"}')
        >>> verifier.verdict()
        'ok'
    """

    def __init__(self) -> None:
        self._marks: dict[int, _Mark] = {}
        self._last: _Mark | None = None
        self._error = ""
        self._torn = ""
        self._lines = 0
        self._superseded = 0
        self._leaves_by_rank: Counter[int] = Counter()
        self._notes: list[str] = []

    def feed(self, text: str) -> None:
        """Take the next line, with its newline if it has one. After the first error: nothing."""
        self._lines += 1
        if self._error or not text.strip():
            return
        try:
            self._take(text)
        except Wrong as wrong:
            self._error = f"line {self._lines}: {wrong}"

    def verdict(self) -> str:
        """Return 'ok', or a sentence that names the first error."""
        return self._error or self._torn or "ok"

    def report(self) -> Report:
        """Return the verdict with its counts."""
        last = self._last or _BEFORE
        return Report(
            verdict=self.verdict(),
            steps=last.steps,
            epochs=last.epochs,
            samples=last.samples,
            superseded=self._superseded,
            leaves_by_rank=dict(sorted(self._leaves_by_rank.items())),
            notes=tuple(self._notes),
        )

    def _take(self, text: str) -> None:
        try:
            said = parsed(text)
        except Torn as torn:
            self._take_torn(text, f"line {self._lines}: {torn}")
            return
        if self._torn and "step" in said:
            self._error = self._torn
            return
        self._note_torn()
        if "open" in said:
            self._open(said["open"], said["lineage"], self._last or _BEFORE)
        elif "resume" in said:
            self._resume(said["resume"], said["lineage"])
        else:
            self._step(said)

    def _take_torn(self, text: str, sentence: str) -> None:
        """Hold it against the file, unless it turns out to be what a crash left."""
        self._error = self._torn  # a second one in a row: no crash leaves that
        self._torn = sentence
        if not text.endswith("\n"):
            self._note_torn()

    def _note_torn(self) -> None:
        if not self._torn:
            return
        self._notes.append(f"{self._torn.partition(':')[0]} is torn: a crash while it was written")
        self._torn = ""

    def _open(self, step: int, lineage: str, counted: _Mark) -> None:
        self._marks.clear()
        begin = replace(counted, step=step, lineage=lineage, epoch=-1, announced=None, over=False)
        self._remember(replace(begin, count=0, seen=0))

    def _resume(self, step: int, lineage: str) -> None:
        mark = self._marks.get(step)
        if mark is None:
            self._resume_unseen(step, lineage)
            return
        _expect("lineage at the resumed step", mark.lineage, lineage)
        for later in [later for later in self._marks if later > step]:
            del self._marks[later]
        self._last = mark

    def _resume_unseen(self, step: int, lineage: str) -> None:
        """The job fell back to before this file began, or went on elsewhere meanwhile."""
        if self._last is None:
            self._open(step, lineage, _BEFORE)
            return
        self._notes.append(f"resumed after step {step}, which the file does not show")
        is_void = step < self._last.step
        oldest = next(iter(self._marks.values()))
        self._open(step, lineage, oldest if is_void else self._last)

    def _step(self, said: dict[str, Any]) -> None:
        _check_order(_name(said), said["leaves"])
        known = self._marks.get(said["step"])
        if known is not None:
            self._supersede(known, said)
        else:
            self._go_on(self._predecessor(said), said)
        self._leaves_by_rank.update(leaf.rank for leaf in said["leaves"])

    def _go_on(self, before: _Mark, said: dict[str, Any]) -> None:
        self._check_lineage(before, said)
        if said["phases"].phase(said["step"]) > 0:
            self._remember(_repeat(before, said))
            return
        enter = _enter_stream if "position" in said else _enter_epoch
        mark = enter(before, said)
        if before.epoch == -1 and mark.announced is None and said.get("position") != 0:
            self._notes.append(f"epoch {mark.epoch} began before the file: it cannot be whole")
        self._remember(_advance(mark, said))

    def _supersede(self, known: _Mark, said: dict[str, Any]) -> None:
        """Equal hashes mean equal (step, leaf, indices) of this step and of all before it."""
        self._check_lineage(self._marks.get(known.step - 1), said)
        if known.lineage != said["lineage"] or known.epoch not in (-1, said["epoch"]):
            raise Wrong(f"{_name(said)} is repeated with other samples than before")
        self._superseded += 1

    def _predecessor(self, said: dict[str, Any]) -> _Mark:
        if self._last is None:
            if said["epoch"] != 0 or not ("epoch_count" in said or said.get("position") == 0):
                raise Wrong("the file begins inside a run, without an opening line")
            self._remember(replace(_BEFORE, step=said["step"] - 1))
            return self._marks[said["step"] - 1]
        if said["step"] != self._last.step + 1:
            raise Wrong(f"{_name(said)} follows {said['phases'].name(self._last.step)}")
        return self._last

    def _check_lineage(self, before: _Mark | None, said: dict[str, Any]) -> None:
        if before is not None and before.lineage is not None:
            expected = chain(before.lineage, said["step"], said["leaves"])
            _expect(f"lineage of {_name(said)}", expected, said["lineage"])

    def _remember(self, mark: _Mark) -> None:
        self._marks[mark.step] = self._last = mark
        oldest = next(iter(self._marks))
        if len(self._marks) > REMEMBERED_STEPS and self._marks[oldest].epoch != mark.epoch:
            del self._marks[oldest]


def _enter_epoch(before: _Mark, said: dict[str, Any]) -> _Mark:
    """Return the mark to go on from: `before`, or the start of the epoch that the line opens."""
    epoch, step = said["epoch"], _name(said)
    announced = None
    if "epoch_count" in said:
        announced = Announcement(said["epoch_count"], said["epoch_multiset"])
    goes_on = epoch == before.epoch and not before.epoch_is_over
    if goes_on and announced in (None, before.announced):
        return before
    if announced is None and before.epoch == -1:
        return replace(before, epoch=epoch)  # the file opens inside this epoch
    _check_new_epoch(before, epoch, step, announced)
    return replace(before, epoch=epoch, announced=announced, count=0, seen=0)


def _enter_stream(before: _Mark, said: dict[str, Any]) -> _Mark:
    """Return the mark to go on from: the positions of a stream follow each other without a gap."""
    epoch, position = said["epoch"], said["position"]
    goes_on = epoch == before.epoch and not before.over
    begins = epoch == before.epoch + 1 and (before.over or before.epoch == -1)
    expected = before.count if goes_on else 0
    if before.epoch == -1:
        expected = position  # the file opens inside this epoch
    elif not (goes_on or begins):
        raise Wrong(f"{_name(said)} of epoch {epoch} follows epoch {before.epoch} of a stream")
    if position != expected:
        raise Wrong(f"{_name(said)} begins at sample {position} of the stream, not at {expected}")
    indices = [index for leaf in said["leaves"] for index in leaf.indices]
    if indices != list(range(position, position + len(indices))):
        raise Wrong(f"{_name(said)} does not train on the stream's samples from {position} on")
    return replace(before, epoch=epoch, announced=None, count=position, seen=0)


def _check_new_epoch(before: _Mark, epoch: int, step: str, announced: Announcement | None) -> None:
    if before.announced is not None and not before.epoch_is_over:
        raise Wrong(
            f"epoch {epoch} begins at {step}, "
            f"after {before.count} of {before.announced.samples} samples of epoch {before.epoch}"
        )
    if before.epoch not in (-1, epoch - 1):
        raise Wrong(f"{step} of epoch {epoch} follows the end of epoch {before.epoch}")
    if announced is None:
        raise Wrong(f"epoch {epoch} begins at {step} without its count and multiset")


def _advance(before: _Mark, said: dict[str, Any]) -> _Mark:
    """Return the mark after a step; the last of an epoch is held against what it announced."""
    indices = [index for leaf in said["leaves"] for index in leaf.indices]
    mark = replace(
        before,
        step=said["step"],
        lineage=said["lineage"],
        count=before.count + len(indices),
        seen=(before.seen + sum_of(indices)) % MODULUS,
        steps=before.steps + 1,
        samples=before.samples + len(indices),
        over=said.get("last", False),
        epochs=before.epochs + said.get("last", False),
        batch=_batch(said),
    )
    if mark.announced is not None and mark.count >= mark.announced.samples:
        _check_whole_epoch(mark, mark.announced, _name(said))
        return replace(mark, epochs=mark.epochs + 1)
    return mark


def _repeat(before: _Mark, said: dict[str, Any]) -> _Mark:
    """Return the mark after a further phase of a step, which shows the samples of the first."""
    if (before.batch and before.batch != _batch(said)) or before.epoch not in (-1, said["epoch"]):
        raise Wrong(f"{_name(said)} trains on other samples than the phase before it")
    return replace(before, step=said["step"], lineage=said["lineage"], epoch=said["epoch"])


def _name(said: dict[str, Any]) -> str:
    return said["phases"].name(said["step"])


def _batch(said: dict[str, Any]) -> str:
    return "" if said["phases"].count == 1 else chain("", 0, said["leaves"])


def _check_whole_epoch(mark: _Mark, announced: Announcement, step: str) -> None:
    if mark.count > announced.samples:
        raise Wrong(f"epoch {mark.epoch} has {mark.count} samples of {announced.samples}")
    if f"{mark.seen:032x}" != announced.multiset:
        raise Wrong(
            f"epoch {mark.epoch} ends at {step} with other samples than it announced: "
            "some were lost and some repeated"
        )


def _check_order(step: str, leaves: Sequence[Leaf]) -> None:
    numbers = [leaf.leaf for leaf in leaves]
    if numbers != list(range(len(leaves))) or not leaves:
        raise Wrong(f"{step} wants the leaves 0, 1, … in order, got {numbers}")


def _expect(what: str, wanted: str | None, got: str) -> None:
    if wanted is not None and wanted != got:
        raise Wrong(f"the {what} should be {wanted[:12]}…, got {got[:12]}…")


def verify(path: str | Path) -> Report:
    """Return what the audit file shows, with the verdict.

    Raises:
        OSError: the file cannot be read.
    """
    verifier = Verifier()
    with open(path, encoding="utf-8", errors="replace", newline="\n") as lines:
        for text in lines:
            verifier.feed(text)
    return verifier.report()
