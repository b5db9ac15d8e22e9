"""The guard around `train_step`: State is read-only there (PROTOCOL U1).

What `train_step` writes would be lost when the step is computed again elsewhere, so it is an error
at once. Arrays in host memory are locked while the guard is up: a write fails at its own line.
Everything else is compared afterwards: which arrays and values there are, and tensors' versions.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from elastic.errors import StateError
from elastic.tensor import Tensor, nn
from elastic.tensor.optim import Optimizer

if TYPE_CHECKING:
    from elastic.training.state import State

__all__ = ["MOVE", "Guard", "refused_by_lock", "set_writeable"]

MOVE = "move it to update: train(…, update=…) or a hook"


_REFUSALS = (
    "destination is read-only",
    "output array is read-only",
    "more than one element of the written-to tensor",
)
_SCALARS = frozenset({int, float, str, bool, bytes, type(None)})


class Guard:
    """A context in which State must not change, module buffers and gradients excepted.

    Micro-batches follow each other without a write between them, so what State was before is read
    once: the arrays stay locked, and the marks count, until `release`.
    """

    def __init__(self, state: State):
        self._state = state
        self._before: dict[str, Any] = {}
        self._arrays: dict[int, tuple[str, np.ndarray]] = {}
        """Every array of State with its part, by id: kept alive, so that ids stay unique."""
        self._locked: list[np.ndarray] = []

    def __enter__(self) -> None:
        if not self._before:
            self._before = {name: self._marks(name, part) for name, part in self._state.parts()}
            self._locked = [array for _, array in self._arrays.values() if _is_writeable(array)]
            set_writeable(self._locked, False)
        self._state.__dict__["_guard"] = self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._state.__dict__["_guard"] = None
        if error is None:
            for name, part in self._state.parts():
                if self._marks(name, part) != self._before[name]:
                    self.release()
                    raise _refused(name)
            return
        try:
            if isinstance(error, ValueError | RuntimeError):
                self._explain(error, trace)
        finally:
            self.release()

    def release(self) -> None:
        """State may be written again."""
        set_writeable(self._locked, True)
        self._locked = []
        self._before.clear()
        self._arrays.clear()

    def _marks(self, name: str, part: Any) -> list[Any]:
        """Return what changes when a part is written to, as one flat list."""
        marks: list[Any] = []
        if isinstance(part, nn.Module):
            modules = [part]
            while modules:  # `parameters()` would take five times as long, once a micro-batch
                module = modules.pop()
                for key, param in module._parameters.items():
                    marks.append(key)
                    if param is not None:
                        self._mark_array(name, param, marks)
                modules += [each for each in module._modules.values() if each is not None]
        elif isinstance(part, Optimizer):
            for group in part.param_groups:
                for key, value in group.items():
                    marks.append(key)
                    if key == "params":
                        marks += map(id, value)
                    else:
                        self._mark(name, value, marks)
            self._mark(name, list(part.state.values()), marks)
        else:
            self._mark(name, part.state_dict() if hasattr(part, "state_dict") else part, marks)
        return marks

    def _mark_array(self, name: str, tensor: Tensor, marks: list[Any]) -> None:
        array = tensor._array
        key = id(array)
        if key not in self._arrays:
            self._arrays[key] = name, array
        marks.append(key)
        marks.append(tensor._cell[0])

    def _mark(self, name: str, value: Any, marks: list[Any]) -> None:
        kind = type(value)
        if kind in _SCALARS:
            marks.append(value)
        elif isinstance(value, Tensor):
            self._mark_array(name, value, marks)
        elif kind is np.ndarray:
            self._arrays[id(value)] = name, value
            marks.append(id(value))
        elif isinstance(value, dict):
            marks += value
            for item in value.values():
                self._mark(name, item, marks)
        elif isinstance(value, list | tuple):
            marks.append(len(value))
            for item in value:
                self._mark(name, item, marks)
        else:
            marks.append(value)

    def _explain(self, error: Exception, trace: TracebackType | None) -> None:
        """Raise a lock's error as what it is: numpy and tensors call it other names."""
        part = self._part_in_hand(trace)
        if refused_by_lock(error) and (part or "read-only" in str(error)):
            raise _refused(part or "?") from error

    def _part_in_hand(self, trace: TracebackType | None) -> str | None:
        """Return the part of a locked array among the locals where it failed, innermost first."""
        frames = []
        while trace is not None:
            frames.append(trace.tb_frame)
            trace = trace.tb_next
        for frame in reversed(frames):
            for value in frame.f_locals.values():
                owner = self._arrays.get(id(getattr(value, "_array", value)))
                if owner:
                    return owner[0]
        return None


def _refused(part: str) -> StateError:
    return StateError(f"State is read-only in train_step, got a write to part {part!r}; {MOVE}")


def refused_by_lock(error: Exception) -> bool:
    """Whether this is what numpy, or a tensor, says of a write to a read-only array."""
    return any(words in str(error) for words in _REFUSALS)


def _is_writeable(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.flags.writeable


def set_writeable(arrays: list[np.ndarray], writeable: bool) -> None:
    """Lock arrays, or unlock them."""
    for array in arrays:
        array.flags.writeable = writeable
