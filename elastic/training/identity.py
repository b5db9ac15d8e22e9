"""What must be equal on all members for equal bits (PROTOCOL B6), as words that a person can read.

The members compare it when a generation begins; who differs is refused, with both sides named.
Where mixed machines are allowed, what speaks of the machine may differ, and equal bits are not
promised.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import threadpoolctl

import elastic
from elastic.control import ENV_ALLOW_MIXED, ENV_THREADS
from elastic.training.agreement import MACHINE, MIXED
from elastic.training.battery import battery

__all__ = ["Identity", "differences", "identity", "pin_threads"]


@dataclass(frozen=True)
class Identity:
    """What one worker says of itself: what must be equal on all, and what may differ."""

    strict: dict[str, str]
    free: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, told: dict[str, str], *, mixed: bool) -> Identity:
        """Return an identity; the machine's part of it is free if mixed ones are allowed."""
        if not mixed:
            return cls(told | {MIXED: "refused"})
        free = {name: text for name, text in told.items() if name in MACHINE}
        strict = {name: text for name, text in told.items() if name not in MACHINE}
        return cls(strict | {MIXED: "allowed"}, free)


def differences(free: Sequence[dict[str, str]]) -> str:
    """Return what differs between the ranks, as a person can read it; '' if nothing does."""
    for name in sorted({name for each in free for name in each}):
        texts = [each.get(name, "") for each in free]
        other = next((rank for rank, text in enumerate(texts) if text != texts[0]), None)
        if other is not None:
            return f"rank 0 has {name} {texts[0]!r}, rank {other} has {texts[other]!r}"
    return ""


def pin_threads() -> int:
    """Pin BLAS to the job's number of threads and return it: other numbers give other bits."""
    threads = int(os.environ.get(ENV_THREADS, "1"))
    threadpoolctl.threadpool_limits(threads)
    return threads


def identity(model: str, schedule: str) -> Identity:
    """Return the fingerprint of this worker.

    `model` is a digest of all shapes, `schedule` says how steps are cut. To be called by the thread
    that computes.
    """
    told = _told(model, schedule)
    return Identity.of(told, mixed=os.environ.get(ENV_ALLOW_MIXED, "0") not in ("", "0"))


def _told(model: str, schedule: str) -> dict[str, str]:
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
        "arithmetic": battery(),
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
