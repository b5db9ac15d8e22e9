"""The detour of ops: while some thread needs more than the short paths do, all calls go `apply`.

The short paths of `_dispatch` take arrays whose dtype is one of two objects. Equal objects that are
not the same turn every call away from there, at no cost for when nobody needs it.
"""

from __future__ import annotations

import threading

import numpy as np

from elastic.tensor import _dispatch

_users = {"count": 0}
_lock = threading.Lock()
_twins = {name: np.dtype(getattr(_dispatch, name), copy=True) for name in ("F32", "F64")}


def take(step: int) -> None:
    """One more (1) or one less (-1) that needs the detour."""
    with _lock:
        before = _users["count"]
        _users["count"] = before + step
        if not before or not _users["count"]:
            for name, twin in _twins.items():
                _twins[name] = getattr(_dispatch, name)
                setattr(_dispatch, name, twin)
