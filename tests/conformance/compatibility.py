"""Writes docs/compatibility.md: what of PyTorch is there, what is not and why, what differs.

python -m tests.conformance.compatibility [--check]
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

from tests.conformance import surface
from tests.conformance.__main__ import KNOWN, reason

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
DIFFERENCES = Path(__file__).with_name("differences.toml")
HEAD = """\
# What of PyTorch is there

`import elastic.tensor as torch`, and `elastic.data` for `torch.utils.data`. This page is generated
by `make compatibility` from PyTorch {version}'s own lists of its public names;
`make conformance` fails when it is out of date, and runs PyTorch's operator database, training
curves and documented programs against ours.
"""


def page() -> str:
    """The whole page."""
    import torch

    known = tomllib.loads(KNOWN.read_text())
    return "\n".join([
        HEAD.format(version=torch.__version__.partition("+")[0]),
        *counts(),
        *differences(),
        *missing(known.get("surface", {})),
        *wrong(known),
        "",
    ])  # fmt: skip


def counts() -> list[str]:
    """How many names of each module are there."""
    rows: dict[str, list[bool]] = defaultdict(list)
    for name in surface.names():
        rows[surface.surface()[name]].append(not surface.examine(name).missing)
    lines = ["## Names", "", "| module | there | of |", "|---|---:|---:|"]
    lines += [f"| `{place}` | {sum(row)} | {len(row)} |" for place, row in sorted(rows.items())]
    total = [each for row in rows.values() for each in row]
    return [*lines, f"| all | {sum(total)} | {len(total)} |", ""]


def differences() -> list[str]:
    """What behaves otherwise, and why."""
    rows = tomllib.loads(DIFFERENCES.read_text())
    lines = ["## What differs", "", "| what | how, and why |", "|---|---|"]
    return [*lines, *[f"| {what} | {how} |" for what, how in rows.items()], ""]


def missing(known: dict[str, str]) -> list[str]:
    """What is not there, by reason."""
    found = defaultdict(list)
    for name in surface.names():
        if surface.examine(name).missing:
            found[reason(name, known) or "not there yet"].append(name.removeprefix("torch."))
    lines = ["## What is not there", "", "| why | names |", "|---|---|"]
    rows = [f"| {why} | {', '.join(f'`{n}`' for n in names)} |" for why, names in found.items()]
    return [*lines, *rows, ""]


def wrong(known: dict[str, dict[str, str]]) -> list[str]:
    """What is there and not right yet, by database."""
    lines = ["## What is not right yet", "", "| database | entry | why |", "|---|---|---|"]
    return lines + [
        f"| {database} | `{name}` | {why} |"
        for database, misses in known.items()
        if database != "surface"
        for name, why in misses.items()
    ]


def main() -> int:
    """Write the page, or say whether it is what would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it is stale")
    asked = parser.parse_args()
    if asked.check:
        if PAGE.exists() and PAGE.read_text() == page():
            return 0
        print(f"{PAGE.name} is out of date: run `make compatibility`")
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
