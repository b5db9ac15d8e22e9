"""The lines of evidence: what they say, how they are made, and how they are read. See `audit`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from elastic.phases import Phases

__all__ = [
    "MODULUS",
    "Announcement",
    "InStream",
    "Leaf",
    "Torn",
    "Wrong",
    "chain",
    "line",
    "multiset",
    "opening",
    "parsed",
    "sum_of",
]

MODULUS = 1 << 128
ONE = Phases()


class Leaf(NamedTuple):
    """What one micro-batch has to show: its place in the step, who computed it, which samples."""

    leaf: int
    rank: int
    indices: tuple[int, ...]


class Announcement(NamedTuple):
    """What an epoch is going to train on: how many samples, and `multiset` of their indices."""

    samples: int
    multiset: str


class InStream(NamedTuple):
    """Where in a stream of unknown length a step stands, and whether the epoch ends with it."""

    position: int
    last: bool


def chain(lineage: str, step: int, leaves: Iterable[Leaf]) -> str:
    """Return the running hash after `step`, hex; ranks are not in it, so any worker may compute."""
    story = [lineage, step, [[leaf.leaf, list(leaf.indices)] for leaf in leaves]]
    return blake2b(json.dumps(story, separators=(",", ":")).encode(), digest_size=32).hexdigest()


def multiset(indices: Iterable[int]) -> str:
    """Return the digest of a multiset of sample indices, hex: their hashes added modulo 2^128."""
    return f"{sum_of(indices):032x}"


def sum_of(indices: Iterable[int]) -> int:
    """Return the hashes of indices, added modulo 2^128."""
    hashes = (blake2b(int(i).to_bytes(8, "little"), digest_size=16).digest() for i in indices)
    return sum(int.from_bytes(digest, "little") for digest in hashes) % MODULUS


def line(
    step: int,
    epoch: int,
    generation: int,
    lineage: str,
    leaves: Sequence[Leaf],
    told: Announcement | InStream | None = None,
    phases: Phases = ONE,
) -> dict[str, Any]:
    """Return the line of a committed step; `told` is the Announcement in an epoch's first one.

    In each line of a stream it is the place in it.
    `step` is the cores' number: a line says the step and the phase (see `Phases`).
    """
    said: dict[str, Any] = {"step": phases.step(step), **_phase(phases, phases.phase(step))}
    said |= {"epoch": epoch, "generation": generation, "lineage": lineage}
    if isinstance(told, Announcement):
        said |= {"epoch_count": told.samples, "epoch_multiset": told.multiset}
    elif told is not None:
        said |= told._asdict()
    return said | {"leaves": [[leaf, rank, list(indices)] for leaf, rank, indices in leaves]}


def opening(kind: str, step: int, lineage: str, phases: Phases = ONE) -> dict[str, Any]:
    """Return the line that opens or resumes (`kind`) after the cores' number `step`."""
    within = _phase(phases, step % phases.count)
    return {kind: phases.whole_steps(step), **within, "lineage": lineage}


def _phase(phases: Phases, phase: int) -> dict[str, list[int]]:
    return {"phase": [phase, phases.count]} if phases.count > 1 else {}


class Wrong(Exception):
    """The lines contradict themselves; the sentence says how."""


class Torn(Wrong):
    """A line that is no JSON: the beginning of one, if a crash left it."""


# -- the form of a line --------------------------------------------------------------------------

_STEP = {"step": int, "epoch": int, "generation": int, "lineage": str, "leaves": list}
_FORMS: tuple[dict[str, type], ...] = (
    {"open": int, "lineage": str},
    {"resume": int, "lineage": str},
    _STEP,
    {**_STEP, "epoch_count": int, "epoch_multiset": str},
    {**_STEP, "position": int, "last": bool},
)


def parsed(text: str) -> dict[str, Any]:
    """Return what a line says, with the cores' numbers of steps, and `phases`.

    Raises:
        Torn, Wrong: it is no line of an audit file.
    """
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise Torn("not a line of an audit file: no JSON") from None
    phase = said.pop("phase", [0, 1]) if isinstance(said, dict) else None
    if phase is None or not any(_has(said, form) for form in _FORMS):
        raise Wrong("not a line of an audit file: it has neither a step's fields nor open, resume")
    if "leaves" in said:
        said["leaves"] = [_leaf(item) for item in said["leaves"]]
    return _numbered(said, phase)


def _numbered(said: dict[str, Any], phase: Any) -> dict[str, Any]:
    match phase:
        case [int(this), int(count)] if 0 <= this < count:
            phases = Phases(count)
        case _:
            raise Wrong("not a line of an audit file: a phase is [phase, how many a step has]")
    for key in said.keys() & {"open", "resume"}:
        said[key] = said[key] * count + this
    if "step" in said:
        said["step"] = phases.number(said["step"], this)
    return said | {"phases": phases}


def _has(said: dict[str, Any], form: dict[str, type]) -> bool:
    return said.keys() == form.keys() and all(type(said[key]) is form[key] for key in form)


def _leaf(item: Any) -> Leaf:
    match item:
        case [int(leaf), int(rank), [_, *_] as indices] if all(_is_index(i) for i in indices):
            return Leaf(leaf, rank, tuple(indices))
    raise Wrong("not a line of an audit file: a leaf is [leaf, rank, [index, …]]")


def _is_index(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63
