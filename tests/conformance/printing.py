"""How tensors print, on a random corpus: the same letters."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import torch

import elastic.tensor as ours
from tests.conformance.bridge import to_ours
from tests.conformance.verdict import Verdict

SETTINGS = [
    {},
    {"profile": "short"},
    {"profile": "full"},
    {"precision": 2},
    {"threshold": 5, "edgeitems": 1},
    {"linewidth": 40},
    {"sci_mode": True},
    {"sci_mode": False},
    {"precision": 6, "threshold": 20, "edgeitems": 2, "linewidth": 60},
]
SPECIAL = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-30, 1e30, 1.5, 123456.0]


def values(rng: random.Random, shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    """Numbers of some kind: small, large, whole, special or of all sizes."""
    kind = rng.choice(["normal", "whole", "wide", "special", "tiny", "huge"])
    t = torch.randn(shape, dtype=torch.float64)
    if kind == "whole":
        t = (t * 10 ** rng.randrange(7)).round()
    if kind == "wide":
        t = t * 10.0 ** torch.randint(-8, 9, shape)
    if kind in ("tiny", "huge"):
        t = t * (1e-5 if kind == "tiny" else 1e7)
    if kind == "special":
        for k in range(t.numel()):
            t.view(-1)[k] = rng.choice(SPECIAL)
    if dtype.is_complex:
        return torch.complex(t, t.flip(0) if t.ndim else -t).to(dtype)
    return t.nan_to_num(0, 100, -100).clamp(0, 100).to(dtype) if is_whole(dtype) else t.to(dtype)


def is_whole(dtype: torch.dtype) -> bool:
    """Whether a dtype has no infinities."""
    return not (dtype.is_floating_point or dtype.is_complex)


def some_tensor(seed: int) -> torch.Tensor:
    """A tensor of any shape and dtype."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    dtype = getattr(torch, rng.choice([d.name for d in ours.dtypes.ALL if hasattr(torch, d.name)]))
    shape = [rng.choice([0, 1, 2, 3, 4, 8, 20]) for _ in range(rng.randrange(5))]
    if rng.random() < 0.1:
        shape = rng.choice([[1001], [2000], [40, 40], [3, 30, 30], [2, 2, 500]])
    t = values(rng, shape, dtype)
    if rng.random() < 0.3 and not is_whole(dtype):
        t.requires_grad_()
    return t


def compare(seed: int, settings: dict[str, Any]) -> None:
    """Print one tensor, what is computed from it, and a parameter. Raises: AssertionError."""
    t = some_tensor(seed)
    mine = to_ours(t)
    pairs = [(mine, t)]
    if t.requires_grad:
        pairs += [(mine * 2, t * 2), (ours.nn.Parameter(mine), torch.nn.Parameter(t))]
    try:
        for library in (ours, torch):
            library.set_printoptions(**settings)
        for a, b in pairs:
            assert repr(a) == repr(b), f"{a!r} is not {b!r}"
            assert str(a) == str(b), f"{a} is not {b}"
            assert f"{[a]}" == f"{[b]}", f"{[a]} is not {[b]}"
    finally:
        for library in (ours, torch):
            library.set_printoptions(profile="default")
            library.set_printoptions(sci_mode=None)


def compare_default(dtype: str) -> None:
    """The default dtype is not told, any other is. Raises: AssertionError."""
    try:
        for library in (ours, torch):
            library.set_default_dtype(getattr(library, dtype))
        for name in ("float32", "float64", "bfloat16", "complex64", "complex128", "int64"):
            found = [repr(lib.ones(2, dtype=getattr(lib, name))) for lib in (ours, torch)]
            assert found[0] == found[1], f"{found[0]} is not {found[1]}"
    finally:
        for library in (ours, torch):
            library.set_default_dtype(library.float32)


DEFAULTS = ("float64", "bfloat16")
PRINTED = {str(settings): settings for settings in SETTINGS}
EACH = 70
"""Tensors for each setting."""


def names() -> list[str]:
    """The settings of printing, and the default dtypes."""
    return [*PRINTED, *DEFAULTS]


def examine(name: str) -> Verdict:
    """Print on both libraries."""
    verdict = Verdict(name)
    if name in DEFAULTS:
        verdict.note(name, partial(compare_default, name))
        return verdict
    for seed in range(EACH):
        verdict.note(f"{name} seed {seed}", partial(compare, seed, PRINTED[name]))
    return verdict
