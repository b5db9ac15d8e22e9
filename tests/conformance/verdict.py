"""What a database says of one of its entries."""

from __future__ import annotations

import traceback
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
