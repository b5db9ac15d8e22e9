"""Elastic: train a model on machines that come and go.

`import elastic` is light: numpy, grpc and the rest are loaded when first used. Without an agent
it pins BLAS to one thread, because another number of threads gives other bits (PROTOCOL B6).
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from elastic.errors import (
        Aborted,
        AuthError,
        CheckpointError,
        ConfigError,
        DataError,
        ElasticError,
        NonFiniteError,
        ProtocolError,
        RefusedError,
        RetryableError,
        StateError,
        StoreUnavailable,
    )
    from elastic.training import Result, State, evaluate, train
    from elastic.world import World

__all__ = [
    "Aborted",
    "AuthError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ElasticError",
    "NonFiniteError",
    "ProtocolError",
    "RefusedError",
    "Result",
    "RetryableError",
    "State",
    "StateError",
    "StoreUnavailable",
    "World",
    "evaluate",
    "train",
]

_HOME = {"Result", "State", "evaluate", "train"}
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")

if "numpy" not in sys.modules:
    for _name in _THREAD_VARIABLES:
        os.environ.setdefault(_name, os.environ.get("ELASTIC_THREADS", "1"))


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'elastic' has no attribute {name!r}")
    home = "training" if name in _HOME else "world" if name == "World" else "errors"
    value = getattr(importlib.import_module(f"elastic.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
