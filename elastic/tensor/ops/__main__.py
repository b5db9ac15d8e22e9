"""The table of all ops: `python -m elastic.tensor.ops [PATTERN …]`, as in `'log*'`."""

from __future__ import annotations

import argparse
import fnmatch

from rich.console import Console
from rich.table import Table

import elastic.tensor  # noqa: F401  # fills the registry
from elastic.tensor._registry import REGISTRY, Op, is_public


def kind(op: Op) -> str:
    """How it is called, beside the function."""
    words = ["internal" if not is_public(op.name) else ""]
    words += ["in place"] if op.traits.inplace else []
    words += ["view"] if op.view else []
    return ", ".join(word for word in words if word)


def differentiable(op: Op) -> str:
    """The parameters that gradients flow to."""
    if op.joint:
        return "by a joint rule"
    return ", ".join(name for name, rule in zip(op.names, op.vjps, strict=False) if rule)


def main(argv: list[str] | None = None) -> None:
    """Print the ops whose names fit. Exits with 1 when none does."""
    parser = argparse.ArgumentParser(prog="python -m elastic.tensor.ops", description=__doc__)
    parser.add_argument(
        "patterns", nargs="*", default=["*"], metavar="PATTERN", help="names, with wildcards"
    )
    patterns = parser.parse_args(argv).patterns
    table = Table("op", "parameters", "gradients", "kind", "file")
    for name, op in sorted(REGISTRY.items()):
        if any(fnmatch.fnmatch(name, each) for each in patterns):
            file = op.plain.__module__.removeprefix("elastic.tensor.")
            table.add_row(name, ", ".join(op.names), differentiable(op), kind(op), file)
    if not table.rows:
        raise SystemExit(f"no op fits {' '.join(patterns)}; without a pattern all are listed")
    Console().print(table)


if __name__ == "__main__":
    main()
