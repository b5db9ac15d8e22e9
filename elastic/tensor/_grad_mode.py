"""Whether operations are recorded: a switch of each thread, with its context managers."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Any

import numpy as np

_enabled: ContextVar[bool | None] = ContextVar("enabled")
_inference: ContextVar[bool] = ContextVar("inference", default=False)
recording, in_inference = _enabled.get, _inference.get
"""`recording(None)`: whether ops are recorded, None in a thread without a mode yet (`begun`).

A context variable is read in a third of the time of an attribute of `threading.local`.
"""


def begun() -> bool:
    """Starts the mode of this thread: it records."""
    # Once in each thread. numpy's warnings would cost 2 us an op to switch off and on.
    np.seterr(all="ignore")
    _enabled.set(True)
    return True


class _Mode:
    """The switches of this thread."""

    __slots__ = ()

    @property
    def enabled(self) -> bool:
        """Whether ops are recorded."""
        on = recording(None)
        return begun() if on is None else on

    @enabled.setter
    def enabled(self, on: bool) -> None:
        if recording(None) is None:
            begun()
        _enabled.set(on)

    @property
    def inference(self) -> bool:
        """Whether what is made can never take part in a graph."""
        return in_inference()

    @inference.setter
    def inference(self, on: bool) -> None:
        _inference.set(on)


mode = _Mode()
begun()


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded for backward."""
    return mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return mode.inference


class Switch:
    """A context manager that is also a decorator of functions, generators and classes.

    Subclasses say what to `set` on entering; `_state` and `_restore` save the mode of the thread.
    """

    def __init__(self) -> None:
        self._before: list = []  # a stack: one object may be entered again

    def set(self) -> None:
        """Changes the mode."""
        raise NotImplementedError

    def fresh(self) -> Switch:
        """One like it, for each call of a decorated function."""
        return type(self)()

    def _state(self) -> Any:
        return mode.enabled

    def _restore(self, state: Any) -> None:
        mode.enabled = state

    def __enter__(self) -> None:
        self._before.append(self._state())
        self.set()

    def __exit__(self, *exc: object) -> None:
        self._restore(self._before.pop())

    def __call__(self, function: Any) -> Any:
        if inspect.isclass(function):
            setattr(function, "__init__", self(function.__init__))  # noqa: B010 for mypy
            return function
        if inspect.isgeneratorfunction(function):
            return _switched_generator(self, function)

        @functools.wraps(function)
        def switched(*args: Any, **kwargs: Any) -> Any:
            with self.fresh():
                return function(*args, **kwargs)

        return switched


def _switched_generator(switch: Switch, function: Callable) -> Callable:
    """`function` whose body, but not its caller between two values, runs in the mode."""

    @functools.wraps(function)
    def switched(*args: Any, **kwargs: Any) -> Generator:
        generator = function(*args, **kwargs)
        step, given = generator.send, (None,)
        while True:
            try:
                with switch.fresh():
                    value = step(*given)
            except StopIteration as end:
                return end.value
            try:
                step, given = generator.send, ((yield value),)
            except GeneratorExit:
                with switch.fresh():
                    generator.close()
                raise
            except BaseException as error:  # noqa: BLE001 thrown in: it is the generator's
                step, given = generator.throw, (error,)  # type: ignore[assignment]

    return switched


class _Plain(Switch):
    """A mode that takes no argument: `@no_grad` works as well as `@no_grad()`."""

    def __new__(cls, orig_func: Callable | None = None) -> Any:
        return super().__new__(cls) if orig_func is None else cls()(orig_func)

    def __init__(self, orig_func: None = None) -> None:
        super().__init__()


class no_grad(_Plain):
    """Records nothing inside: `with no_grad():` or `@no_grad()`."""

    def set(self) -> None:
        """Stops recording."""
        mode.enabled = False


class enable_grad(_Plain):
    """Records inside, also within `no_grad`."""

    def set(self) -> None:
        """Starts recording."""
        mode.enabled = True


class set_grad_enabled(Switch):
    """Sets the mode at once; as a context manager it also puts the old one back."""

    def __init__(self, mode: bool):
        super().__init__()
        self.enabled = bool(mode)
        self._initial: Any = self._state()
        self.set()

    def set(self) -> None:
        """Starts or stops recording."""
        mode.enabled = self.enabled

    def fresh(self) -> Switch:
        """Another that sets the same."""
        return set_grad_enabled(self.enabled)

    def __call__(self, function: Any) -> Any:
        self._restore(self._initial)  # a decorator changes nothing until the function is called
        return super().__call__(function)

    def __enter__(self) -> None:
        self._before.append(self._initial)
        self.set()


_inside = {"count": 0, "lock": threading.Lock()}


class inference_mode(Switch):
    """Records nothing inside, and what is made there can never take part in a graph.

    `inference_mode(False)` is ordinary code inside the mode.
    """

    def __new__(cls, mode: Any = True) -> Any:
        return super().__new__(cls) if isinstance(mode, bool) else cls()(mode)

    def __init__(self, mode: bool = True):
        super().__init__()
        self.mode = mode

    def set(self) -> None:
        """Turns the mode on or off."""
        mode.inference, mode.enabled = self.mode, not self.mode

    def fresh(self) -> Switch:
        """Another of the same kind."""
        return inference_mode(self.mode)

    def _state(self) -> Any:
        return mode.inference, mode.enabled

    def _restore(self, state: Any) -> None:
        mode.inference, mode.enabled = state

    def __enter__(self) -> None:
        super().__enter__()
        _mark_new_tensors(1)

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        _mark_new_tensors(-1)


def _mark_new_tensors(step: int) -> None:
    """While some thread is in the mode, tensors are made by a function that asks which."""
    from elastic.tensor import _tensor

    with _inside["lock"]:  # type: ignore[attr-defined]
        before = _inside["count"]
        _inside["count"] = before + step  # type: ignore[operator]
        if not before or not _inside["count"]:
            _tensor.exchange_makers()


class InferenceCell(list):
    """The version of a tensor that was made in inference mode: there is none outside of it."""

    def __getitem__(self, index: Any) -> Any:
        if not mode.inference:
            raise RuntimeError(
                "Inference tensors cannot be saved for backward. Please do not use Tensors created "
                "in inference mode in computation tracked by autograd. To work around this, you "
                "can make a clone to get a normal tensor and use it in autograd, or use "
                "`torch.no_grad()` instead of `torch.inference_mode()`."
            )
        return super().__getitem__(index)


def check_writable(cell: list) -> None:
    """Raises: RuntimeError for a write outside the mode into what was made in it."""
    if cell.__class__ is InferenceCell and not mode.inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make "
            "a clone to get a normal tensor before doing inplace update.See "
            "https://github.com/pytorch/rfcs/pull/17 for more details."
        )
