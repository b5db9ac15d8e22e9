"""The house's rules that a machine can check: layers, mirror, docstrings, names, what is loaded."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import elastic

ROOT = Path(__file__).parents[1]
PACKAGE, TESTS = ROOT / "elastic", ROOT / "tests"

# -- the mirror ----------------------------------------------------------------------------------

TESTED_ELSEWHERE = {
    # no behaviour of their own: values and words
    "agent/settings": "agent/test_cli.py",
    "checkpoint/files": "checkpoint/test_storage.py",
    "clock": "testing/test_clock.py",
    "collectives/settings": "collectives/test_group.py",
    "errors": "test_package.py",
    "rendezvous/commands": "testing/test_simulation.py",
    "rendezvous/events": "testing/test_simulation.py",
    "rendezvous/settings": "testing/test_simulation.py",
    "rendezvous/standing": "testing/test_simulation.py",
    "rendezvous/hellos": "rendezvous/test_core.py",
    "rendezvous/resets": "rendezvous/test_core.py",
    "rendezvous/verdicts": "rendezvous/test_core.py",
    "rendezvous/wish": "testing/test_simulation.py",
    "training/commands": "training/test_core.py",
    "training/events": "training/test_core.py",
    "training/standing": "training/test_core.py",
    "training/result": "training/test_loop.py",
    "world": "training/test_groups.py",
    # parts of what their neighbour's tests go through
    "audit_lines": "test_audit.py",
    "agent/answers": "agent/test_agent.py",
    "agent/loop": "agent/test_agent.py",
    "agent/members": "agent/test_agent.py",
    "agent/outcome": "agent/test_agent.py",
    "agent/respawn": "agent/test_agent.py",
    "collectives/connections": "collectives/test_grpc_transport.py",
    "collectives/reader": "collectives/test_grpc_transport.py",
    "collectives/service": "collectives/test_grpc_transport.py",
    "phases": "training/test_phases.py",
    "training/borrower": "training/test_lending.py",
    "training/context": "training/test_loop.py",
    "training/evidence": "training/test_loop.py",
    "training/lender": "training/test_lending.py",
    "training/records": "training/test_steps.py",
    "training/returned": "training/test_steps.py",
    "training/shares": "training/test_lending.py",
    "training/trees": "training/test_state.py",
    # a door into the room
    "agent/__main__": "e2e/job.py",
    # families that one table covers
    "tensor/ops/": "tensor/test_ops.py",
    "tensor/optim/": "tensor/optim/test_optimizer.py",
    "tensor/nn/": "tensor/nn/test_layers.py",
    # the machinery below the ops, and the surroundings of simulated jobs: seen through what they do
    "tensor/": "tensor/test_ops.py",
    "testing/": "simulation/test_seeds.py",
}
"""Modules (or the folder of several) without a test file of their own, and where they are tested.

A folder's entry is for those of its modules that have none."""


def modules() -> list[str]:
    """All modules of the package by path, without the `__init__` files."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(str(path) for path in paths if path.name != "__init__")


def its_test(module: str) -> Path:
    folder, _, name = module.rpartition("/")
    return TESTS / folder / f"test_{name.lstrip('_')}.py"


def exception_for(module: str) -> str | None:
    parts = module.split("/")
    folders = ("/".join(parts[:n]) + "/" for n in range(len(parts) - 1, 0, -1))
    return next((name for name in (module, *folders) if name in TESTED_ELSEWHERE), None)


@pytest.mark.parametrize("module", modules())
def test_each_module_has_its_test(module):
    """`elastic/a/b.py` and `tests/a/test_b.py`, or an entry in the list above."""
    where = exception_for(module)
    assert its_test(module).exists() or where, f"{its_test(module).relative_to(ROOT)} is missing"


@pytest.mark.parametrize(("module", "test"), TESTED_ELSEWHERE.items())
def test_no_exception_is_stale(module, test):
    assert (TESTS / test).exists()
    without = [each for each in modules() if not its_test(each).exists()]
    assert module in [exception_for(each) for each in without], "it has a test of its own by now"


# -- names and docstrings ------------------------------------------------------------------------


def imported() -> list[types.ModuleType]:
    found = pkgutil.walk_packages(elastic.__path__, "elastic.")
    names = [each.name for each in found if not each.name.endswith("__main__")]
    return [elastic, *map(importlib.import_module, names)]


def public(module: types.ModuleType) -> list[tuple[str, object]]:
    return [(name, getattr(module, name)) for name in getattr(module, "__all__", ())]


def test_what_is_public_says_what_it_is():
    """Modules, functions, classes and public methods; not what a table makes, of PyTorch's name."""
    silent = []
    for module in imported():
        silent += [] if module.__doc__ else [module.__name__]
        for name, value in public(module):
            where = f"{module.__name__}.{name}"
            if inspect.isclass(value) or is_written_out(value):
                silent += [] if value.__doc__ else [where]
            if inspect.isclass(value) and not value.__module__.startswith("elastic.tensor"):
                silent += [f"{where}.{method}" for method in silent_methods(value)]
    assert silent == []


def is_written_out(value: object) -> bool:
    return inspect.isfunction(value) and value.__code__.co_name == value.__name__


def silent_methods(kind: type) -> list[str]:
    said = vars(kind).items()
    made = ((name, value) for name, value in said if inspect.isfunction(value) and name[0] != "_")
    return [name for name, value in made if not inspect.getdoc(value)]


def test_no_file_bears_the_name_of_a_function_beside_it():
    """`elastic.tensor.tensor` is the function: a module of that name would hide it."""
    clashes = []
    for module in imported():
        if hasattr(module, "__path__"):
            beside = {each.name for each in pkgutil.iter_modules(module.__path__)}
            functions = {name for name, value in public(module) if inspect.isroutine(value)}
            clashes += [f"{module.__name__}.{name}" for name in beside & functions]
    assert clashes == []


# -- what is loaded ------------------------------------------------------------------------------

LIGHT = [
    (
        "elastic",
        ["numpy", "grpc", "cupy", "etcd3", "google.protobuf", "threading", "elastic.errors"],
    ),
    ("elastic.tensor", ["scipy", "grpc", "cupy", "torch", "etcd3", "elastic.training"]),
    ("elastic.agent.agent", ["numpy", "elastic.tensor", "elastic.training", "elastic.data"]),
    ("elastic.agent.cli", ["numpy", "grpc", "etcd3", "elastic.rendezvous"]),
    ("elastic.agent.bootstrap", ["numpy", "grpc", "etcd3", "elastic.rendezvous", "elastic.tensor"]),
]


@pytest.mark.parametrize(("module", "unwanted"), LIGHT)
def test_an_import_loads_no_more_than_it_needs(module, unwanted):
    code = f"import json, sys, {module}; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert module in loaded
    assert [name for name in unwanted if name in loaded] == []


# -- layers --------------------------------------------------------------------------------------


def test_rooms_import_as_the_contracts_say():
    """The contracts are in pyproject.toml; `docs/design.md` draws them."""
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
