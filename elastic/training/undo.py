"""Going back to State before a hook that was aborted (PROTOCOL S7).

A copy of State before every hook would cost as much as an update. A hook that has left alone what
modules and optimizers hold is therefore run without a copy of that: it is locked meanwhile. Should
the hook write there after all, it meets the lock before anything has changed; it is run again from
State before it, and from then on with copies. State before a hook that was not copied is good for
going back until the next `update`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from elastic.training.guard import refused_by_lock, set_writeable
from elastic.training.state import State, is_trained

__all__ = ["Undo"]

Tree = dict[str, Any]


class Undo:
    """Runs hooks, and gives out what State was before them."""

    def __init__(self, state: State):
        self._state = state
        self._writes: dict[str, bool] = {}
        """Whether a hook has ever written to what modules or optimizers hold."""

    def run(self, name: str, hook: Callable[[], None], keep: Callable[[Tree], None]) -> None:
        """Run a hook; `keep` is given State before it, for `State.restore`."""
        if self._writes.get(name) is False:
            before = self._state.capture_lightly()
            keep(before)
            if self._left_alone(hook, before):
                return
            self._state.restore(before)
            self._writes[name] = True
        before = self._state.capture(copy=True)
        keep(before)
        hook()
        if name not in self._writes:
            self._writes[name] = not self._is_as(before)

    def wrote(self, before: Tree) -> bool:
        """Whether State is no longer this: equal on all members, whatever each has seen earlier."""
        beside = list(self._beside(self._state.capture_lightly()))
        return beside != list(self._beside(before)) or not self._is_as(before)

    def _beside(self, tree: Tree) -> Iterator[Any]:
        """Yield all values but the arrays that modules and optimizers have."""
        trained = set(map(id, self._trained(tree)))
        for value in _values({name: item for name, item in tree.items() if name != "random"}):
            if not isinstance(value, np.ndarray):
                yield value
            elif id(value) not in trained:
                yield value.dtype, value.shape, value.tobytes()

    def _left_alone(self, hook: Callable[[], None], before: Tree) -> bool:
        """Run a hook with what is not copied locked; return whether it got by without that."""
        grads = [(param, param.grad) for param in self._state.named_parameters().values()]
        theirs = (grad.detach()._array for _, grad in grads if grad is not None)
        arrays = [a for a in (*self._trained(before), *theirs) if _is_lockable(a)]
        set_writeable(arrays, False)
        try:
            hook()
        except (ValueError, RuntimeError) as error:
            if not refused_by_lock(error):
                raise
            for param, grad in grads:  # no part of State, but what the hook found
                param.grad = grad
            return False
        finally:
            set_writeable(arrays, True)
        return True

    def _is_as(self, before: Tree) -> bool:
        now = self._trained(self._state.capture_lightly())
        pairs = zip(self._trained(before), now, strict=False)
        return all(a is b or (a.shape == b.shape and a.tobytes() == b.tobytes()) for a, b in pairs)

    def _trained(self, tree: Tree) -> Iterator[np.ndarray]:
        """Yield the arrays that modules and optimizers have in a tree."""
        names = [name for name, part in self._state.parts() if is_trained(part)]
        return _arrays([tree["parts"][name] for name in names])


def _is_lockable(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.flags.writeable


def _arrays(value: Any) -> Iterator[np.ndarray]:
    return (item for item in _values(value) if isinstance(item, np.ndarray))


def _values(value: Any) -> Iterator[Any]:
    """Yield the leaves of a tree, and the keys that lead there."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _values(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _values(item)
    else:
        yield value
