"""The names: what PyTorch's users can call, and whether we have it.

PyTorch itself says what is public: `torch.overrides` lists every function and method that can be
overridden, and those that cannot; classes are those of the modules that users import.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import warnings
from functools import cache
from typing import Any

import torch

from tests.conformance.verdict import Verdict

OURS = {"torch.utils.data": "elastic.data"}
"""Where a module of PyTorch has another place than its name says."""

FUNCTIONS = (
    *("torch", "torch.Tensor", "torch.nn.functional", "torch.nn.init"),
    *("torch.linalg", "torch.fft", "torch.special"),
)
CLASSES = (
    *("torch.nn", "torch.optim", "torch.optim.lr_scheduler", "torch.optim.swa_utils"),
    *("torch.utils.data", "torch.nn.parameter"),
)
LISTED = (
    *(
        "torch.autograd",
        "torch.autograd.functional",
        "torch.autograd.graph",
        "torch.autograd.forward_ad",
    ),
    *("torch.func", "torch.random", "torch.amp", "torch.nn.utils", "torch.nn.utils.rnn"),
    *("torch.nn.utils.parametrize", "torch.nn.utils.parametrizations", "torch.nn.utils.stateless"),
    *(
        "torch.distributions",
        "torch.utils.checkpoint",
        "torch.signal.windows",
        "torch.serialization",
        "torch.nn.attention",
    ),
)


@cache
def surface() -> dict[str, str]:
    """Every public name, with the module that it is found in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {f"{place}.{name}": place for place in FUNCTIONS for name in functions_of(place)}
        for place in CLASSES:
            names = [
                n for n, v in vars(importlib.import_module(place)).items() if inspect.isclass(v)
            ]
            found |= {f"{place}.{name}": place for name in names if name[0].isupper()}
        for place in LISTED:
            listed = getattr(importlib.import_module(place), "__all__", ())
            found |= {f"{place}.{name}": place for name in listed}
    return {name: place for name, place in found.items() if not is_private(name)}


def is_private(name: str) -> bool:
    """Whether a name is Python's or PyTorch's own affair."""
    last = name.rpartition(".")[2]
    return last.startswith("_") and not last.startswith("__")


def functions_of(place: str) -> set[str]:
    """The functions (or methods) of one place."""
    owner = resolve_torch(place)
    names = set(overridable_names(owner))
    if owner is torch:
        names |= {each.__name__ for each in torch.overrides.get_overridable_functions()[torch]}
    ignored = {getattr(each, "__name__", "") for each in torch.overrides.get_ignored_functions()}
    both = names | {name for name in ignored if name in vars(owner)}
    return {name for name in both if name and hasattr(owner, name)}


def overridable_names(owner: Any) -> list[str]:
    """Public functions that are written in Python, or are properties of a tensor."""
    if owner is torch.Tensor:
        return [n for n in dir(owner) if not n.startswith("_")]
    homes = (owner.__name__, "torch._C")
    return [
        n
        for n, v in vars(owner).items()
        if inspect.isroutine(v)
        and not n.startswith("_")
        and (v.__module__ or homes[0]).startswith(homes)
    ]


def resolve_torch(place: str) -> Any:
    """The module or class of PyTorch."""
    if place == "torch.Tensor":
        return torch.Tensor
    return importlib.import_module(place)


def names() -> list[str]:
    """Every public name."""
    return sorted(surface())


def examine(name: str) -> Verdict:
    """Whether we have it."""
    place = surface()[name]
    home = OURS.get(place, place.replace("torch", "elastic.tensor", 1))
    last = name.removeprefix(place + ".")
    verdict = Verdict(name, samples=1, missing=True)
    with contextlib.suppress(ImportError, AttributeError):
        getattr(imported(home), last)
        verdict.missing = False
    return verdict


def imported(path: str) -> Any:
    """The module or class of that dotted path."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        parent, _, last = path.rpartition(".")
        return getattr(imported(parent), last)
