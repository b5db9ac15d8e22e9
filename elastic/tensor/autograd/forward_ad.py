"""Forward mode: tensors that carry a tangent.

The tangent of a result is computed when it is unpacked, by running backward twice. So inside a
level dual tensors require a gradient, and a function is differentiable in forward mode when it is
so in backward mode.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.autograd.functional import pushed_forward

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level"]
__all__ += ["make_dual", "unpack_dual"]


class _Levels(threading.local):
    def __init__(self) -> None:
        self.open: list[list[tuple[Tensor, Tensor]]] = []  # the (dual, tangent) pairs of each level


_levels = _Levels()


class UnpackedDualTensor(NamedTuple):
    """A value and its tangent, None where there is none."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Opens a level; returns its number."""
    _levels.open.append([])
    return len(_levels.open) - 1


def exit_dual_level(*, level: int | None = None) -> None:
    """Closes the last level: its dual tensors have no tangents any more."""
    last = len(_levels.open) - 1
    if level is not None and level != last:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is "
            "not supported."
        )
    _levels.open.pop()


class dual_level:
    """A level, open inside a `with` block."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc: object) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A tensor on the memory of `tensor` whose tangent is `tangent`.

    Raises: RuntimeError outside a level, or when their forms differ.
    """
    if not _levels.open:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
            "enter_dual_level() first."
        )
    if not (tensor.is_floating_point() or tensor.is_complex()):
        raise ValueError(
            f"Expected primal to be floating point or complex, but got: {tensor.dtype}"
        )
    if not (tangent.is_floating_point() or tangent.is_complex()):
        raise ValueError(
            f"Expected tangent to be floating point or complex, but got: {tangent.dtype}"
        )
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            f"Expected tangent to have the same size as primal: {tensor.shape} and {tangent.shape}"
        )
    with torch.enable_grad():
        dual = tensor.view_as(tensor) if tensor.requires_grad else tensor.detach()
    _levels.open[-1].append((dual.requires_grad_(), tangent))
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value of `tensor` and its tangent in the level, None when it has none."""
    number = len(_levels.open) - 1 if level is None else level
    if number < 0:
        return UnpackedDualTensor(tensor, None)
    pairs = _levels.open[number]
    own = next((tangent for dual, tangent in pairs if dual is tensor), None)
    if own is None and pairs and tensor.requires_grad:
        with torch.enable_grad():
            duals, tangents = zip(*pairs, strict=True)
            own = pushed_forward((tensor,), duals, tangents, True)[0][0]
        if own is not None and not any(t.requires_grad for t in tangents):
            own = own.detach() if number == 0 else own
    return UnpackedDualTensor(tensor.detach(), own)
