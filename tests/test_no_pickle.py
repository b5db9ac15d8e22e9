"""What reads the network or a checkpoint builds only what it knows. PROTOCOL P4."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "elastic"
READERS = ["agent", "checkpoint", "collectives", "rendezvous", "telemetry", "training"]
"""And the files beside them. Of the other rooms, `data` unpickles what the loader's own worker
processes say over a socketpair, and `tensor.load` what its user names."""

RUNS_THE_USERS_SCRIPT = "agent/bootstrap.py"
FORBIDDEN_MODULES = {
    "pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml",
    "multiprocessing", "xmlrpc", "code", "codeop",
}  # fmt: skip
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "fromfile", "memmap"}
FORBIDDEN_KEYWORDS = {"allow_pickle", "weights_only"}
NUMPY_LOAD = {("np", "load"), ("numpy", "load"), ("torch", "load")}


def readers() -> list[str]:
    """All files that this rule is for."""
    paths = [path for room in READERS for path in (PACKAGE / room).rglob("*.py")]
    paths += PACKAGE.glob("*.py")
    return sorted(str(path.relative_to(PACKAGE)) for path in paths)


def offences(tree: ast.AST) -> Iterator[str]:
    """Everything that builds what the bytes say."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (n.name for n in names if n.name.split(".")[0] in FORBIDDEN_MODULES)
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in FORBIDDEN_MODULES:
                yield module
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield f"{name}()"
            case ast.Call(func=ast.Attribute(value=ast.Name(id=of), attr=attr)):
                if (of, attr) in NUMPY_LOAD or (of != "re" and attr in FORBIDDEN_CALLS):
                    yield f"{of}.{attr}()"
            case ast.keyword(arg=str(arg)) if arg in FORBIDDEN_KEYWORDS:
                yield f"{arg}="


@pytest.mark.parametrize("path", readers())
def test_nothing_that_reads_a_stranger_s_bytes_unpickles_or_runs_them(path):
    """P4, promise 7"""
    found = list(offences(ast.parse((PACKAGE / path).read_text())))
    allowed = ["compile()", "exec()"] if path == RUNS_THE_USERS_SCRIPT else []
    assert sorted(found) == allowed


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from multiprocessing.connection import Client",
        "eval(x)",
        "np.load(f)",
        "load(f, allow_pickle=True)",
        "numpy.fromfile(f)",
    ],
)
def test_the_rule_sees_what_it_forbids(code):
    assert list(offences(ast.parse(code)))
