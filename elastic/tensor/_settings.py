"""Settings of PyTorch that programs make and ask for. Most change nothing here, and say so."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from elastic.tensor import _anomaly, dtypes
from elastic.tensor._creation import set_default_device

_PRECISIONS = ("highest", "high", "medium")
_values: dict[str, Any] = {
    "threads": os.cpu_count() or 1,
    "interop_threads": os.cpu_count() or 1,
    "deterministic": False,
    "warn_only": False,
    "precision": "highest",
    "warn_always": False,
}


def set_num_threads(int: int) -> None:
    """Keeps the number for `get_num_threads`; BLAS takes its own from the environment at start."""
    if int <= 0:
        raise RuntimeError("expects a positive number of threads")
    _values["threads"] = int


def get_num_threads() -> int:
    """The number of threads that was set, or that of cores."""
    return _values["threads"]


def set_num_interop_threads(int: int) -> None:
    """Keeps the number for `get_num_interop_threads`; operations run one after the other here."""
    _values["interop_threads"] = int


def get_num_interop_threads() -> int:
    """The number of threads for operations side by side that was set, or that of cores."""
    return _values["interop_threads"]


def set_flush_denormal(mode: bool) -> bool:
    """False: denormal numbers stay what they are."""
    return False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Keeps the wish; on the host every operation is deterministic anyway."""
    _values["deterministic"], _values["warn_only"] = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """Whether deterministic algorithms were asked for."""
    return _values["deterministic"]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether only a warning was asked for."""
    return _values["deterministic"] and _values["warn_only"]


def set_deterministic_debug_mode(debug_mode: Any) -> None:
    """The same wish as 0 or "default", 1 or "warn", 2 or "error"."""
    names = {"default": 0, "warn": 1, "error": 2}
    mode = names.get(debug_mode, debug_mode)
    if mode not in (0, 1, 2):
        raise RuntimeError(
            "invalid value of debug_mode, expected `default`, `warn`, or `error`, but got "
            f"{debug_mode}"
        )
    use_deterministic_algorithms(mode > 0, warn_only=mode == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2: nothing, a warning or an error was asked for."""
    if not _values["deterministic"]:
        return 0
    return 1 if _values["warn_only"] else 2


def set_float32_matmul_precision(precision: str) -> None:
    """Keeps "highest", "high" or "medium"; products are always of full precision here."""
    if precision not in _PRECISIONS:
        raise RuntimeError(f"{precision} is not one of {_PRECISIONS}")
    _values["precision"] = precision


def get_float32_matmul_precision() -> str:
    """The precision of matrix products that was asked for."""
    return _values["precision"]


def set_warn_always(b: bool) -> None:
    """Keeps the wish that warnings be repeated; Python's own filters decide."""
    _values["warn_always"] = bool(b)


def is_warn_always_enabled() -> bool:
    """Whether repeated warnings were asked for."""
    return _values["warn_always"]


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Turns anomaly detection of the backward pass on or off, as `autograd.set_detect_anomaly`."""
    _anomaly.set_mode(mode, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether the backward pass says where it went wrong."""
    return _anomaly.mode.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether detection, when on, also looks for nan."""
    return _anomaly.mode.check_nan


def set_default_tensor_type(t: Any) -> None:
    """Makes the dtype of a tensor type, such as `torch.DoubleTensor`, the default one."""
    if isinstance(t, str):
        titles = {f"torch.{d.title}Tensor": d for d in dtypes.ALL}
        if t not in titles:
            raise TypeError(f"invalid type object: {t}")
        dtypes.set_default_dtype(titles[t])
    else:
        dtypes.set_default_dtype(t.dtype)
    set_default_device(None)


def compile(model: Callable | None = None, **options: Any) -> Any:
    """`model` itself, or without one a decorator that gives its function back: nothing is compiled.

    `fullgraph`, `dynamic`, `backend`, `mode`, `options` and `disable` are taken and change nothing.
    """
    unknown = options.keys() - {"fullgraph", "dynamic", "backend", "mode", "options", "disable"}
    if unknown:
        raise TypeError(f"compile() got an unexpected keyword argument '{min(unknown)}'")
    return (lambda function: function) if model is None else model
