"""What must be equal on all members for equal bits (PROTOCOL B6), as words that a person can read.

The members compare it when a generation begins; who differs is refused, with both sides named.
"""

from __future__ import annotations

import os
import platform
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import threadpoolctl

import elastic
from elastic.control import ENV_THREADS

__all__ = ["identity", "pin_threads"]


def pin_threads() -> int:
    """Pin BLAS to the job's number of threads and return it: other numbers give other bits."""
    threads = int(os.environ.get(ENV_THREADS, "1"))
    threadpoolctl.threadpool_limits(threads)
    return threads


def identity(model: str, schedule: str) -> dict[str, str]:
    """Return the fingerprint of this worker.

    `model` is a digest of all shapes, `schedule` says how steps are cut.
    """
    return {
        "script": _script_digest(),
        "model": model,
        "schedule": schedule,
        "threads": str(pin_threads()),
        "elastic": elastic.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "BLAS": _blas(),
        "processor features": _processor(),
        "hash seed": os.environ.get("PYTHONHASHSEED", "random"),
    }


def _script_digest() -> str:
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    if path is None or not Path(path).is_file():
        return "interactive"
    return sha256(Path(path).read_bytes()).hexdigest()[:16]


def _blas() -> str:
    """The kernels that BLAS has chosen for this processor: others add in another order."""
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    names = {f"{p['internal_api']} {p['version']} {p.get('architecture', '')}" for p in pools}
    return ", ".join(sorted(names))


def _processor() -> str:
    features = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
    present = " ".join(sorted(name for name, there in features.items() if there))
    return sha256(present.encode()).hexdigest()[:16]
