"""Which checkpoints to keep, which one wins, and which one fits. Pure: no IO, no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Name", "expired", "misfit", "winner"]

_NAME = re.compile(r"step-(\d{8,18})-g(0|[1-9]\d{0,17})", re.ASCII)


@dataclass(frozen=True, order=True)
class Name:
    """A checkpoint's name, `step-00000012-g3`: newer ones are greater."""

    step: int
    generation: int

    def __str__(self) -> str:
        return f"step-{self.step:08d}-g{self.generation}"

    @classmethod
    def parse(cls, text: str) -> Name | None:
        """Return the name that `text` is, or None if it is not exactly one."""
        found = _NAME.fullmatch(text)
        name = cls(int(found[1]), int(found[2])) if found else None
        return name if str(name) == text else None


def expired(names: Iterable[Name], written: Name, keep: int) -> list[Name]:
    """Return those to delete after `written`, so that `keep` steps remain up to it.

    Only older steps are ever deleted: newer ones may be another host's, or a later job's.
    """
    names = sorted(names)
    older = sorted({name.step for name in names if name.step < written.step}, reverse=True)
    doomed = older[keep - 1 :]
    return [name for name in names if name.step in doomed]


def winner(offers: Mapping[int, Name | None]) -> int | None:
    """Return the rank whose offer all take: newest step, then generation, then lowest rank."""
    ranked = [(name, -rank) for rank, name in offers.items() if name is not None]
    return -max(ranked)[1] if ranked else None


def misfit(found: str, expected: str) -> str | None:
    """Return why a checkpoint with fingerprint `found` is not this model's, or None if it is."""
    if found == expected:
        return None
    return f"it was written by another model (fingerprint {found!r}, this one has {expected!r})"
