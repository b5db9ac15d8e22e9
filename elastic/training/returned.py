"""Reading what `train_step` returned: a loss, or a dict of what it may give (PROTOCOL U1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from elastic.errors import ConfigError
from elastic.training.metrics import as_float

__all__ = ["as_parts", "read_loss"]

_PARTS = ("loss", "weight", "metrics", "carry")


def as_parts(returned: Any) -> dict[str, Any]:
    """Return what `train_step` gave as a dict with a loss.

    Raises:
        ConfigError: it is no loss, and no dict of what is known.
    """
    parts = dict(returned) if isinstance(returned, Mapping) else {"loss": returned}
    unknown = parts.keys() - set(_PARTS)
    loss = parts.get("loss")
    if unknown or not hasattr(loss, "backward"):
        raise ConfigError(
            "train_step expects to return a loss, or a dict of loss, weight, metrics and carry; "
            + (f"got the key {sorted(unknown)[0]!r}" if unknown else f"got {type(loss).__name__}")
            + ("; return the tensor, without .item()" if isinstance(loss, float) else "")
        )
    return parts


def read_loss(parts: dict[str, Any], samples: int) -> tuple[Any, float, dict[str, float]]:
    """Return the loss, its weight (by default the number of samples), and all metrics.

    Raises:
        ConfigError: a weight that is not positive, or a metric that is no number.
    """
    weight = as_float("weight", parts.get("weight", samples))
    if not weight > 0 or not math.isfinite(weight):
        raise ConfigError(f"train_step expects a positive weight, got {weight}")
    given = {k: as_float(k, v) for k, v in parts.get("metrics", {}).items()}
    return parts["loss"], weight, {"loss": as_float("loss", parts["loss"]), **given}
