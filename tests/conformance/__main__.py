"""`make conformance`: how near we are to PyTorch, by its own databases."""

from __future__ import annotations

import argparse
import fnmatch
import multiprocessing
import os
import sys
import tomllib
import warnings
from collections import Counter
from pathlib import Path

KNOWN = Path(__file__).with_name("known_misses.toml")


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these operators (with * and ?)")
    parser.add_argument("--verbose", action="store_true", help="every fault, not the first alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (all cores)")
    parser.add_argument("--list", action="store_true", help="only name what is wrong or missing")
    return parser.parse_args()


def begin() -> None:
    """A process of the pool: one thread, no warnings of either library."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)


def examine(name: str):
    """The verdict on one operator, from a process of the pool."""
    from tests.conformance import operators

    return operators.examine(name, operators.comparable()[name])


def main() -> int:
    """Run, print the table, and say whether the known misses are still the only ones."""
    wanted = arguments()
    from rich.progress import track

    from tests.conformance.operators import comparable

    names = [
        name
        for name in sorted(comparable())
        if not wanted.only or any(fnmatch.fnmatch(name, each) for each in wanted.only)
    ]
    with multiprocessing.Pool(wanted.jobs, begin) as pool:
        found = pool.imap(examine, names)
        verdicts = list(track(found, "operators", len(names), disable=not sys.stderr.isatty()))
    report(verdicts, wanted)
    return compared_with_known(verdicts)


def report(verdicts: list, wanted: argparse.Namespace) -> None:
    """The table of right, wrong and missing by family, and what is behind it."""
    from rich.console import Console
    from rich.table import Table

    table = Table("family", "right", "wrong", "missing", "samples", title="operators of PyTorch")
    families: dict[str, Counter] = {}
    for v in verdicts:
        row = families.setdefault(v.name.rpartition(".")[0] or "torch", Counter())
        row.update({v.word: 1, "samples": v.samples})
    total: Counter = sum(families.values(), Counter())
    for family, row in [*sorted(families.items()), ("all", total)]:
        table.add_row(family, *[str(row[c]) for c in ("right", "wrong", "missing", "samples")])
    Console().print(table)
    missing = [v.name for v in verdicts if v.missing]
    if missing:
        print("missing:", " ".join(missing))
    for v in verdicts:
        if v.faults:
            print(f"wrong: {v.name}: {len(v.faults)} of {v.samples} samples")
            for fault in () if wanted.list else v.faults if wanted.verbose else v.faults[:1]:
                print("   ", fault.replace("\n", "\n    "))


def compared_with_known(verdicts: list) -> int:
    """0 when what is not right is just what `known_misses.toml` says."""
    known = tomllib.loads(KNOWN.read_text())["operators"]
    code = 0
    for v in verdicts:
        if v.word != "right" and v.name not in known:
            print(f"{v.name} is {v.word}, and no known miss")
            code = 1
        if v.word == "right" and v.name in known:
            print(f"{v.name} is right now: take it off {KNOWN.name}")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
