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

if TYPE_CHECKING:
    from elastic.training.state import State

__all__ = ["MOVE", "Guard"]

MOVE = "move it to update: train(…, update=…) or a hook"


class Guard:
    """A context in which State must not change, module buffers and gradients excepted."""

    def __init__(self, state: State):
        self._state = state
        self._before: dict[str, Any] = {}
        self._arrays: dict[int, tuple[str, np.ndarray]] = {}
        """Every array of State with its part, by id: kept alive, so that ids stay unique."""
        self._locked: list[np.ndarray] = []

    def __enter__(self) -> None:
        self._before = {name: self._marks(name, part) for name, part in self._state.parts()}
        self._locked = [array for _, array in self._arrays.values() if _is_writeable(array)]
        _set_writeable(self._locked, False)
        self._state.__dict__["_guard"] = self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._state.__dict__["_guard"] = None
        _set_writeable(self._locked, True)
        if isinstance(error, ValueError) and "read-only" in str(error):
            raise _refused(self._part_written(trace)) from error
        if error is None:
            for name, part in self._state.parts():
                if self._marks(name, part) != self._before[name]:
                    raise _refused(name)

    def _marks(self, name: str, part: Any) -> Any:
        """Return what changes when a part is written to."""
        if isinstance(part, nn.Module):
            return self._marks_of(name, dict(part.named_parameters()))
        is_plain = not hasattr(part, "state_dict")
        return self._marks_of(name, part if is_plain else part.state_dict())

    def _marks_of(self, name: str, value: Any) -> Any:
        if isinstance(value, Tensor):
            self._arrays[id(value._array)] = name, value._array
            return id(value._array), value._version
        if isinstance(value, np.ndarray):
            self._arrays[id(value)] = name, value
            return id(value)
        if isinstance(value, dict):
            return [(key, self._marks_of(name, item)) for key, item in value.items()]
        if isinstance(value, list | tuple):
            return [self._marks_of(name, item) for item in value]
        return value

    def _part_written(self, trace: TracebackType | None) -> str:
        """Return the part whose array the failed write had in hand, innermost frame first."""
        frames = []
        while trace is not None:
            frames.append(trace.tb_frame)
            trace = trace.tb_next
        for frame in reversed(frames):
            for value in frame.f_locals.values():
                owner = self._arrays.get(id(getattr(value, "_array", value)))
                if owner:
                    return owner[0]
        return "?"


def _refused(part: str) -> StateError:
    return StateError(f"State is read-only in train_step, got a write to part {part!r}; {MOVE}")


def _is_writeable(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.flags.writeable


def _set_writeable(arrays: list[np.ndarray], writeable: bool) -> None:
    for array in arrays:
        array.flags.writeable = writeable
