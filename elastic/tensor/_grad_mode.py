"""Whether operations are recorded: a switch of each thread, with its context managers."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class _Mode(threading.local):
    enabled = True

    def __init__(self) -> None:
        # Runs once in each thread. numpy's warnings would cost 2 us an op to switch off and on.
        np.seterr(all="ignore")


mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded for backward."""
    return mode.enabled


class _Switch:
    """A context manager and decorator that sets the mode and puts it back."""

    def __init__(self, enabled: bool):
        self.enabled = enabled
        self.before: list[bool] = []  # a stack: one object may be entered again

    def __enter__(self) -> None:
        self.before.append(mode.enabled)
        mode.enabled = self.enabled

    def __exit__(self, *exc: object) -> None:
        mode.enabled = self.before.pop()

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def switched(*args: Any, **kwargs: Any) -> Any:
            with _Switch(self.enabled):
                return function(*args, **kwargs)

        return switched


class no_grad(_Switch):
    """Records nothing inside: `with no_grad():` or `@no_grad()`."""

    def __new__(cls, function: Callable | None = None) -> Any:
        # `@no_grad` without parentheses gets the function itself.
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Switch):
    """Records inside, also within `no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(_Switch):
    """Records nothing inside, as `no_grad`; `inference_mode(False)` records."""

    def __init__(self, mode: bool = True):
        super().__init__(not mode)


class set_grad_enabled(_Switch):
    """Sets the mode at once; as a context manager it also puts the old one back."""

    def __init__(self, enabled: bool):
        super().__init__(enabled)
        self.before.append(mode.enabled)
        mode.enabled = enabled

    def __enter__(self) -> None:
        mode.enabled = self.enabled
