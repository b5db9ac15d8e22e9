"""Finding the operation whose gradient went wrong."""

from __future__ import annotations

import warnings

from elastic.tensor import _anomaly
from elastic.tensor._grad_mode import Switch


class set_detect_anomaly(Switch):
    """Turns detection on or off at once; as a context manager it also puts the old state back.

    While it is on, every op remembers the lines that called it, backward tells them when it fails,
    and with `check_nan` it fails where a gradient first has a nan.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        super().__init__()
        self.mode, self.check_nan = mode, check_nan
        self._initial = self._state()
        self.set()

    def set(self) -> None:
        """Turns detection on or off."""
        _anomaly.set_mode(self.mode, self.check_nan)

    def fresh(self) -> Switch:
        """Another that sets the same."""
        return type(self)(self.mode, self.check_nan)

    def _state(self) -> tuple:
        return _anomaly.mode.enabled, _anomaly.mode.check_nan

    def _restore(self, state: tuple) -> None:
        _anomaly.set_mode(*state)

    def __enter__(self) -> None:
        self._before.append(self._initial)
        self.set()


class detect_anomaly(Switch):
    """Detection inside a `with` block: see `set_detect_anomaly`."""

    def __init__(self, check_nan: bool = True):
        super().__init__()
        self.check_nan = check_nan
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should "
            "only be enabled for debugging.",
            stacklevel=2,
        )

    def set(self) -> None:
        """Turns detection on."""
        _anomaly.set_mode(True, self.check_nan)

    def fresh(self) -> Switch:
        """Another that detects the same."""
        return set_detect_anomaly(True, self.check_nan)

    _state, _restore = set_detect_anomaly._state, set_detect_anomaly._restore
