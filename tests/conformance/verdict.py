"""What a database says of one of its entries."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


@dataclass
class Verdict:
    """What became of one entry: an operator, a module, an optimizer."""

    name: str
    samples: int = 0
    missing: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        """right, wrong or missing."""
        return "missing" if self.missing else "wrong" if self.faults else "right"

    @property
    def family(self) -> str:
        """The module that the entry belongs to."""
        return self.name.rpartition(".")[0] or "torch"


def told(error: Exception) -> str:
    """The error with the innermost lines of its traceback."""
    lines = traceback.format_exception(error)
    return "".join(lines[-4:]).rstrip()[-1500:]


def verdict_of(name: str, tasks: Iterable[Callable[[], None]]) -> Verdict:
    """The verdict on an entry by what its tasks raise."""
    verdict = Verdict(name)
    for task in tasks:
        verdict.samples += 1
        try:
            task()
        except Exception as error:  # noqa: BLE001  # whatever it raises, it is not right
            verdict.faults.append(told(error))
    return verdict
