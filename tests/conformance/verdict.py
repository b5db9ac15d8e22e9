"""What a database says of one of its entries."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Verdict:
    """What became of one entry: an operator, a module, an optimizer."""

    name: str
    samples: int = 0
    missing: bool = False
    faults: list[str] = field(default_factory=list)

    def note(self, what: str, check: Callable[[], None]) -> None:
        """Run one check of the entry, and note what it raises."""
        self.samples += 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check()
        except Exception as error:  # noqa: BLE001  # whatever it raises, it is not right
            self.faults.append(f"{what}: {told(error)}")

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
