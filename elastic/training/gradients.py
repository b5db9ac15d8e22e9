"""The bridge between tensors and the arrays that travel: gradients and buffers of a leaf.

A leaf is one micro-batch's contribution to a step. `begin` remembers the committed buffers, `take`
turns gradients and buffer changes into a partial sum and undoes them, `put` hands the reduced step
back. Segments are the trainable parameters, then the buffers whose changes are averaged, then those
whose changes are added (PROTOCOL B4).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.collectives.partial import Partial, Pieces, SegmentMap
from elastic.errors import ProtocolError, StateError
from elastic.tensor import Tensor, nn
from elastic.training.merging import Merge, rule_of
from elastic.training.state import State

__all__ = ["Bridge", "Taken"]


@dataclass(frozen=True)
class Taken:
    """What a leaf gives: `pieces` are to be added up, `buffers` (small, JSON) go to everybody.

    `buffers` has only what the leaf changed: the increase of an integer buffer (for the largest) as
    nested lists, the new bytes of any other as base64.
    """

    pieces: Pieces
    buffers: dict[str, Any]


class Bridge:
    """Takes leaves from, and puts reduced steps into, the modules of a State.

    Attributes:
        map: where each segment lies in the flat vectors; half precision is added up in float32.
        names: of the segments.
    """

    def __init__(self, state: State):
        everything = state.named_parameters()
        params = {name: p for name, p in everything.items() if p.requires_grad}
        self._frozen = {name: p for name, p in everything.items() if not p.requires_grad}
        buffers = _buffers(state)
        self._params = list(params.values())
        of = {rule: [buffer for buffer in buffers if buffer.rule is rule] for rule in Merge}
        self._means, self._sums = of[Merge.MEAN], of[Merge.SUM]
        self._integers = of[Merge.LARGEST]
        self._others = [*of[Merge.LAST], *of[Merge.EQUAL]]
        self.names = (*params, *(buffer.path for buffer in self._added))
        tensors = [*self._params, *(buffer.tensor for buffer in self._added)]
        self._dtypes = [_sum_dtype(tensor) for tensor in tensors]
        lengths = [tensor.numel() for tensor in tensors]
        self.map = SegmentMap.of(zip(self._dtypes, lengths, strict=True))
        self._began = False

    @property
    def _added(self) -> list[_Buffer]:
        """Those whose changes are segments."""
        return [*self._means, *self._sums]

    @property
    def _buffers(self) -> list[_Buffer]:
        return [*self._added, *self._integers, *self._others]

    def begin(self) -> None:
        """Remember the committed buffers, and start from gradients that are None (B2).

        Raises: StateError if a parameter was frozen when training began and no longer is.
        """
        for name, param in self._frozen.items():
            if param.requires_grad:
                raise StateError(
                    f"parameter {name!r} was frozen when training began, got requires_grad=True: "
                    "its gradient would not be reduced; set requires_grad before elastic.train, "
                    "and zero its learning rate until it is to move"
                )
        for param in self._params:
            param.grad = None
        for buffer in self._buffers:
            buffer.remember()
        self._began = True

    def discard(self) -> None:
        """Undo a leaf: gradients None, buffers as committed."""
        for param in self._params:
            param.grad = None
        for buffer in self._buffers:
            buffer.undo()
        self._began = False

    def take(self, weight: float) -> Taken:
        """Return weight × gradients and the changes of buffers; then undo the leaf.

        A full micro-batch weighs 1 and others relative to it: most gradients are added as they are.
        """
        if not self._began:
            raise ProtocolError("Bridge.take expects a begin before the micro-batch, got none")
        pieces: list[np.ndarray | None] = []
        for param, dtype in zip(self._params, self._dtypes, strict=False):
            grad = param.grad
            pieces.append(None if grad is None else _scaled(grad.cpu().numpy(), dtype, weight))
        for buffer, dtype in zip(self._added, self._dtypes[len(self._params) :], strict=True):
            times = weight if buffer.rule is Merge.MEAN else 1.0
            pieces.append(_scaled(buffer.change(), dtype, times) if buffer.changed() else None)
        integers = {b.path: b.change().tolist() for b in self._integers if b.changed()}
        others = {b.path: b.text() for b in self._others if b.changed()}
        self.discard()
        return Taken(Pieces(self.map, pieces), {**integers, **others})

    def put(
        self, total: Partial | None, weight: float, changes: Sequence[Mapping[str, Any]]
    ) -> None:
        """Give the parameters the mean gradient, and the buffers what the leaves made of them.

        `weight` is the sum over all leaves, `changes` has every leaf's `Taken.buffers`.
        Raises: StateError if leaves disagree on a buffer that has no rule, naming it.
        """
        means = None if total is None else total.divided(weight)
        for segment, param in enumerate(self._params):
            values = None if means is None else means[segment]
            param.grad = None if values is None else _like(param, values)
        for segment, buffer in enumerate(self._added, len(self._params)):
            values = None if total is None else total[segment]
            if values is not None:
                buffer.add(values / weight if buffer.rule is Merge.MEAN else values)
        for buffer in self._integers:
            found = [change[buffer.path] for change in changes if buffer.path in change]
            if found:
                buffer.add(np.max([np.array(each) for each in found], axis=0))
        for buffer in self._others:
            texts = [change.get(buffer.path) for change in changes]
            buffer.take(_last(texts) if buffer.rule is Merge.LAST else buffer.agreed(texts))


class _Buffer:
    """A buffer of a module, and the value it had when the step began."""

    def __init__(self, path: str, module: nn.Module, name: str, asked: str | None):
        self.path, self._module, self._name = path, module, name
        self.tensor: Tensor = module._buffers[name]
        self._committed = b""
        self.rule = rule_of(module, self.tensor, asked)

    @property
    def _current(self) -> Tensor:
        return self._module._buffers[self._name]

    def _now(self) -> np.ndarray:
        return self._current.detach().cpu().numpy()

    def remember(self) -> None:
        self.tensor = self._current
        self._committed = self._now().tobytes()

    def changed(self) -> bool:
        # By bytes, not by version: a write through `.data` is a write too.
        return self._now().tobytes() != self._committed

    def _before(self) -> np.ndarray:
        now = self._now()
        return np.frombuffer(self._committed, now.dtype).reshape(now.shape)

    def change(self) -> np.ndarray:
        wide = _wide(self._now().dtype)
        return self._now().astype(wide) - self._before().astype(wide)

    def undo(self) -> None:
        if self._current is not self.tensor:  # the module has put a new tensor there
            setattr(self._module, self._name, self.tensor)
        if self._committed and self.changed():
            self._write(self._before())

    def add(self, change: np.ndarray) -> None:
        now = self._now()
        self._write(now + change.reshape(now.shape))

    def text(self) -> str:
        return base64.b64encode(self._now().tobytes()).decode()

    def agreed(self, texts: list[str | None]) -> str | None:
        if len(set(texts)) > 1:
            raise StateError(
                f"buffer {self.path!r} expects the same value after every micro-batch of a step, "
                f"got different ones; say before training what is to become of them: "
                f"state.merge({self.path!r}, 'mean'), 'sum' or 'last'; or write to it in update"
            )
        return texts[0] if texts else None

    def take(self, text: str | None) -> None:
        if text is not None:
            now = self._now()
            values = np.frombuffer(base64.b64decode(text), now.dtype)
            self._write(values.reshape(now.shape))

    def _write(self, values: np.ndarray) -> None:
        with torch.no_grad():
            self._current.copy_(torch.from_numpy(np.array(values)))


def _last(texts: list[str | None]) -> str | None:
    """Return what the last leaf that changed it has made of it."""
    return next((text for text in reversed(texts) if text is not None), None)


_HALVES = (torch.float16, torch.bfloat16)


def _buffers(state: State) -> list[_Buffer]:
    asked = state.take_merges()
    return [
        _Buffer(f"{path}.{name}", module, name, asked.get(f"{path}.{name}"))
        for path, module in state.named_modules().items()
        for name, tensor in module._buffers.items()
        if tensor is not None
    ]


def _sum_dtype(tensor: Tensor) -> np.dtype:
    """Return the dtype in which a tensor's gradients or changes are added up."""
    if tensor.dtype in _HALVES:
        return np.dtype(np.float32)
    return _wide(tensor.detach().cpu().numpy().dtype)


def _wide(dtype: np.dtype) -> np.dtype:
    """Return the dtype of a buffer's changes: integers must not overflow."""
    return np.dtype(np.int64) if dtype.kind in "iu" else dtype


def _scaled(values: np.ndarray, dtype: np.dtype, weight: float) -> np.ndarray:
    """Return weight × values; a weight of 1, that of a full micro-batch, takes them as they are."""
    wide = values.astype(dtype, copy=False)
    return wide if weight == 1 else wide * weight


def _like(param: Tensor, values: np.ndarray) -> Tensor:
    """Return flat values as a gradient of a parameter."""
    grad = torch.from_numpy(values.reshape(param.shape))
    is_like = grad.dtype == param.dtype and not param.is_cuda
    return grad if is_like else grad.to(param.device, param.dtype)
