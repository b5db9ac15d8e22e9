"""PyTorch's lists of what autocast casts on the CPU, against ours: dtypes and values.

Right is an operation whose result under autocast has PyTorch's dtype and, up to what one rounding
to half precision makes of it, PyTorch's value, called as a function and as a method.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.testing._internal.autocast_test_lists import AutocastCPUTestLists

import elastic.tensor as ours
from tests.conformance.bridge import tensors_in, to_ours, to_torch
from tests.conformance.verdict import Verdict

LISTS = (
    *("torch_16", "torch_fp32", "nn_16", "nn_fp32", "torch_expect_builtin_promote"),
    *("methods_expect_builtin_promote", "torch_need_autocast_promote"),
)
# Functions of PyTorch's inner module, by the public names, and what is no public function at all
PUBLIC = {"nll_loss2d": "nll_loss"}
LEFT_OUT = {"_addmm_activation", "_native_multi_head_attention", "__div__", "reflection_pad1d"}


def cases() -> dict[str, list[tuple[tuple, dict]]]:
    """The arguments of each operation in PyTorch's lists."""
    torch.manual_seed(0)
    lists = AutocastCPUTestLists(torch.device("cpu"))
    found: dict[str, list[tuple[tuple, dict]]] = {}
    for listed in LISTS:
        for name, *rest in getattr(lists, listed):
            if name not in LEFT_OUT:
                named = [each for each in rest if isinstance(each, dict)]
                given = [each for each in rest if isinstance(each, tuple)]
                calls = found.setdefault(PUBLIC.get(name, name), [])
                calls += [(args, named[0] if named else {}) for args in given]
    return found


def names() -> list[str]:
    """The operations."""
    return sorted(cases())


def examine(name: str) -> Verdict:
    """Compare one operation on all arguments in the lists."""
    verdict = Verdict(name)
    for args, named in cases()[name]:
        for theirs, mine in forms(name, args):
            verdict.note(name, partial(compare, theirs, mine, args, named))
    return verdict


def forms(name: str, args: tuple) -> Iterator[tuple[Callable, Callable | None]]:
    """The operation in both libraries: as a function, and as a method where there is one."""
    for place, own in ((torch.nn.functional, ours.nn.functional), (torch, ours)):
        if hasattr(place, name):
            yield getattr(place, name), getattr(own, name, None)
            break
    if isinstance(args[0], torch.Tensor) and hasattr(torch.Tensor, name):
        yield getattr(torch.Tensor, name), getattr(ours.Tensor, name, None)


def compare(theirs: Callable, mine: Callable | None, args: tuple, named: dict[str, Any]) -> None:
    """Raises: AssertionError where ours is missing, or gives another dtype or value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.autocast("cpu"):
                expected = theirs(*args, **named)
        except (RuntimeError, TypeError):
            return  # arguments of the inner function, which the public one does not take
        assert mine is not None, "missing"
        with ours.autocast("cpu"):
            got = to_torch(mine(*to_ours(args), **to_ours(named)))
    if not tensors_in(expected):
        assert got == expected, f"{got}, not {expected}"
    for a, b in zip(tensors_in(got), tensors_in(expected), strict=True):
        assert a.dtype == b.dtype, f"dtype {a.dtype}, not {b.dtype}"
        torch.testing.assert_close(
            a, b, rtol=1e-2 if b.dtype == torch.bfloat16 else 1e-4, atol=1e-4
        )
