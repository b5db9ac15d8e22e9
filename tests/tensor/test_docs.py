"""Every public name says what it is."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from elastic.tensor import Tensor
from elastic.tensor._docs import meanings
from elastic.tensor._publish import FUNCTIONS
from elastic.tensor._registry import REGISTRY

PLACES = (
    *("elastic.data", "elastic.tensor", "elastic.tensor.amp", "elastic.tensor.autograd"),
    *("elastic.tensor.fft", "elastic.tensor.func", "elastic.tensor.linalg", "elastic.tensor.nn"),
    *("elastic.tensor.nn.functional", "elastic.tensor.nn.init", "elastic.tensor.nn.utils"),
    *("elastic.tensor.optim", "elastic.tensor.optim.lr_scheduler", "elastic.tensor.serialization"),
    *("elastic.tensor.special", "elastic.tensor.utils.checkpoint"),
)


def members(owner: Any) -> Iterator[tuple[str, Any]]:
    names = getattr(owner, "__all__", None) or [n for n in vars(owner) if not n.startswith("_")]
    for name in names:
        value = getattr(owner, name)
        if inspect.isroutine(value) or inspect.isclass(value):
            yield name, value


@pytest.mark.parametrize("place", PLACES)
def test_every_public_name_has_a_docstring(place: str) -> None:
    silent = []
    for name, value in members(importlib.import_module(place)):
        silent += [] if inspect.getdoc(value) else [name]
        if inspect.isclass(value) and value.__module__.startswith("elastic"):
            methods = [each for each, method in members(value) if not inspect.getdoc(method)]
            silent += [f"{name}.{each}" for each in methods]
    assert silent == []


def test_every_method_of_a_tensor_has_a_docstring() -> None:
    assert [name for name, method in members(Tensor) if not inspect.getdoc(method)] == []


def test_every_op_has_a_meaning_and_every_meaning_an_op() -> None:
    public = {name for name in REGISTRY if not name.startswith("_")}
    assert public - set(meanings()) - set(FUNCTIONS) == set(), "each needs a line in _docs.py"
    assert set(meanings()) - public == set(), "a line of _docs.py without an op"
