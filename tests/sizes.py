"""`make sizes`: functions and files that outgrow a screen, longest first. Taste decides."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("elastic", "tests", "examples", "benchmarks")
FUNCTION_LINES, FILE_LINES = 30, 400


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (ROOT / folder).rglob("*.py")


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function, without its docstring and decorators."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def long_functions(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = code_lines(node)
            if lines > FUNCTION_LINES:
                yield lines, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def table(title: str, found: list[tuple[int, str]]) -> None:
    print(f"{title}: {len(found)}")
    for lines, what in sorted(found, key=lambda each: (-each[0], each[1])):
        print(f"{lines:6}  {what}")


def main() -> None:
    paths = list(sources())
    lengths = [(len(path.read_text("utf-8").splitlines()), path) for path in paths]
    table(
        f"functions of more than {FUNCTION_LINES} lines",
        [each for path in paths for each in long_functions(path)],
    )
    table(
        f"files of more than {FILE_LINES} lines",
        [(lines, str(path.relative_to(ROOT))) for lines, path in lengths if lines > FILE_LINES],
    )


if __name__ == "__main__":
    main()
