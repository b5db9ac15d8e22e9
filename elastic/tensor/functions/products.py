"""Products of several matrices."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor


@public(method=False)
def einsum(equation: str, *operands: Any) -> Tensor:
    """The sum of products that `equation` writes in Einstein's notation."""
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    return F.einsum(list(operands), _explicit(equation.replace(" ", ""), operands))


def _explicit(equation: str, operands: tuple) -> str:
    """`equation` with its output written out and `...` replaced by letters."""
    inputs, arrow, output = equation.partition("->")
    letters = {c for c in equation if c.isalpha()}
    if "..." in equation:
        terms = inputs.split(",")
        ranks = [
            t._array.ndim - len(e.replace("...", "")) for t, e in zip(operands, terms, strict=True)
        ]
        most = int(np.max([r for r, e in zip(ranks, terms, strict=True) if "..." in e]))
        free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in letters][:most]
        parts = [
            e.replace("...", "".join(free[most - r :]) if r else "")
            for e, r in zip(terms, ranks, strict=True)
        ]
        inputs, output = ",".join(parts), output.replace("...", "".join(free))
        if not arrow:
            output = "".join(free)
    if not arrow:
        once = [c for c in builtins.sorted(letters) if inputs.count(c) == 1]
        output += "".join(once)
    return f"{inputs}->{output}"


@public(inplace=True, out=True)
def addmm(input: Any, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2)."""
    product = F.mm(mat1, mat2)
    return (input if beta == 1 else input * beta) + (product if alpha == 1 else product * alpha)


@public(inplace=True, out=True)
def baddbmm(
    input: Any, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2), for each matrix of the batch."""
    product = F.bmm(batch1, batch2)
    return (input if beta == 1 else input * beta) + (product if alpha == 1 else product * alpha)
