"""PyTorch's documented programs: each file of examples/pytorch prints the same on both libraries.

Only the import line differs. Numbers may be apart by the order in which sums are made.
"""

from __future__ import annotations

import contextlib
import io
import re
from functools import partial
from pathlib import Path

from tests.conformance.verdict import Verdict

FOLDER = Path(__file__).parents[2] / "examples" / "pytorch"
OURS = "import elastic.tensor as torch"
NUMBER = re.compile(r"-?\d+\.?\d*(?:[eE][-+]?\d+)?")
RELATIVE, ABSOLUTE = 1e-3, 1e-4  # long runs end near zero, where rounding weighs more


def names() -> list[str]:
    """All programs."""
    return sorted(path.name for path in FOLDER.glob("*.py"))


def examine(name: str) -> Verdict:
    """Run one program on both libraries and compare what it prints."""
    verdict = Verdict(name)
    verdict.note(name, partial(run_both, (FOLDER / name).read_text()))
    return verdict


def run_both(source: str) -> None:
    """Raises: AssertionError when the libraries print different things."""
    compare(printed(source), printed(source.replace(OURS, "import torch")))


def printed(source: str) -> str:
    """What the program prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(source, "program", "exec"), {"__name__": "__main__"})
    return out.getvalue()


def compare(mine: str, theirs: str) -> None:
    """Raises: AssertionError when words differ, or numbers by more than rounding."""
    assert NUMBER.sub("#", mine) == NUMBER.sub("#", theirs), f"{mine!r} is not {theirs!r}"
    for a, b in zip(NUMBER.findall(mine), NUMBER.findall(theirs), strict=True):
        near = abs(float(a) - float(b)) <= RELATIVE * abs(float(b)) + ABSOLUTE
        assert near, f"{a} is not {b}:\n{mine}\n{theirs}"
