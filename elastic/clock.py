"""The clock: the only place that reads time for the protocol's sake. Units: seconds.

`monotonic` is CLOCK_MONOTONIC, which all processes of a host share; `wall` is for logs only.
"""

from time import monotonic, time

__all__ = ["monotonic", "wall"]


def wall() -> float:
    """Return the seconds since the epoch, for people and logs; never for a decision."""
    return time()
