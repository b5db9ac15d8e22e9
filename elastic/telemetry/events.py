"""What happened, one JSON object a line, for `--events FILE`.

    {"t": 1767225600.25, "event": "recovery", "host": "node-3", "pid": 71, "worker": "m-3",
     "rank": 1, "world_size": 4, "generation": 2, "step": 120, "total_s": 0.21, …}

`t` is wall time, for people. Several processes may append to one file: each line is one write in
append mode. Events are a service: a full disk stops none of the training.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
from collections.abc import Callable
from typing import Any

from elastic import clock
from elastic.errors import ConfigError

__all__ = ["EventLog", "plain"]

_log = logging.getLogger(__name__)


class EventLog:
    """Appends events to a file; with `path=None` it takes them and writes nothing.

    Raises:
        ConfigError: the file cannot be opened for appending.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, say: Callable[[str], None] = _log.warning
    ):
        self.path = path
        self._say = say
        self._host = socket.gethostname()
        self._fd = None if path is None else _open(path)
        self._is_torn = False
        self._has_said = False

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def emit(self, event: str, **fields: Any) -> None:
        """Append one event; what JSON cannot say is written as text."""
        if self._fd is None:
            return
        who = {"host": self._host, "pid": os.getpid()}
        said = {"t": clock.wall(), "event": event, **who, **fields}
        line = json.dumps(plain(said), separators=(",", ":"), allow_nan=False).encode() + b"\n"
        if self._is_torn:
            line = b"\n" + line
        try:
            self._is_torn = os.write(self._fd, line) != len(line)
            reason = "only a part of a line could be written" if self._is_torn else ""
        except OSError as error:
            reason = str(error.strerror)
        if reason and not self._has_said:
            self._has_said = True
            self._say(f"events are being lost, {self.path}: {reason}; training goes on")

    def close(self) -> None:
        """Close the file; later events are dropped."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _open(path: str | os.PathLike[str]) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(
            f"events expect a file that can be appended to, got {os.fspath(path)!r}: "
            f"{error.strerror}; name another file"
        ) from None


def plain(value: Any) -> Any:
    """Return what JSON can say of a value: text for what it cannot, infinities included."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value)
