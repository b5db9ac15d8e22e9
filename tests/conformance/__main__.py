"""How near we are to PyTorch, by its own databases.

    python -m tests.conformance [DATABASE …] [--only NAME …] [--verbose]

A database is a module beside this one with `names()` and `examine(name) -> Verdict`.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import multiprocessing
import os
import sys
import tomllib
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KNOWN = HERE / "known_misses.toml"
NO_DATABASES = {"__main__", "bridge", "compatibility", "verdict"}


def databases() -> list[str]:
    """All databases that there are, `operators` first."""
    found = {path.stem for path in HERE.glob("*.py")} - NO_DATABASES
    return sorted(found, key=lambda name: (name != "operators", name))


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("databases", nargs="*", help=f"of {', '.join(databases())} (all)")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these entries (with * and ?)")
    parser.add_argument("--verbose", action="store_true", help="every fault, not the first alone")
    parser.add_argument("--list", action="store_true", help="only name what is wrong or missing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (all cores)")
    asked = parser.parse_args()
    unknown = set(asked.databases) - set(databases())
    if unknown:
        parser.error(f"no such database: {', '.join(sorted(unknown))}")
    return asked


def module_of(database: str) -> Any:
    """The module that knows a database."""
    return importlib.import_module(f"tests.conformance.{database}")


def begin() -> None:
    """A process of the pool: one thread, no warnings of either library."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)


def examine(database: str, name: str) -> Any:
    """The verdict on one entry, from a process of the pool."""
    return module_of(database).examine(name)


def main() -> int:
    """Run, print the tables, and say whether the known misses are still the only ones."""
    asked = arguments()
    known = tomllib.loads(KNOWN.read_text())
    code = 0
    with multiprocessing.Pool(asked.jobs, begin) as pool:
        for database in asked.databases or databases():
            verdicts = verdicts_on(database, asked, pool)
            report(database, verdicts, asked)
            code |= compared_with_known(verdicts, known.get(database, {}))
    return code


def verdicts_on(database: str, asked: argparse.Namespace, pool: Any) -> list:
    """What becomes of the entries that are asked for, with progress on a terminal."""
    from rich.progress import track

    names = [
        name
        for name in module_of(database).names()
        if not asked.only or any(fnmatch.fnmatch(name, each) for each in asked.only)
    ]
    found = pool.imap(partial(examine, database), names)
    return list(track(found, database, len(names), disable=not sys.stderr.isatty()))


def report(database: str, verdicts: list, asked: argparse.Namespace) -> None:
    """The table of right, wrong and missing by family, and what is behind it."""
    from rich.console import Console
    from rich.table import Table

    table = Table("family", "right", "wrong", "missing", "samples", title=database)
    families: dict[str, Counter] = {}
    for v in verdicts:
        row = families.setdefault(v.family, Counter())
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
            for fault in () if asked.list else v.faults if asked.verbose else v.faults[:1]:
                print("   ", fault.replace("\n", "\n    "))


def compared_with_known(verdicts: list, known: dict[str, str]) -> int:
    """0 when what is not right is just what `known_misses.toml` says, else 1."""
    code = 0
    for v in verdicts:
        if v.word != "right" and reason(v.name, known) is None:
            print(f"{v.name} is {v.word}, and no known miss")
            code = 1
        if v.word == "right" and v.name in known:
            print(f"{v.name} is right now: take it off {KNOWN.name}")
            code = 1
    return code


def reason(name: str, known: dict[str, str]) -> str | None:
    """Why an entry is not right: by its name, or by a pattern with * that it fits."""
    return next((why for each, why in known.items() if fnmatch.fnmatchcase(name, each)), None)


if __name__ == "__main__":
    sys.exit(main())
