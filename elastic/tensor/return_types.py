"""The named tuples of functions with several results: `torch.return_types.max` and others."""

from __future__ import annotations

import collections
from typing import Any


def _named(name: str, fields: str = "values indices") -> Any:
    base = getattr(collections, "namedtuple")(name, fields)  # noqa: B009  # for the type checker

    def __repr__(self: Any) -> str:
        parts = ",\n".join(f"{field}={getattr(self, field)}" for field in self._fields)
        return f"torch.return_types.{name}(\n{parts})"

    members = {"__slots__": (), "__repr__": __repr__, "__module__": "torch.return_types"}
    return type(name, (base,), members)


aminmax = _named("aminmax", "min max")
cummax = _named("cummax")
cummin = _named("cummin")
histogram = _named("histogram", "hist bin_edges")
histogramdd = _named("histogramdd", "hist bin_edges")
kthvalue = _named("kthvalue")
max = _named("max")
median = _named("median")
min = _named("min")
mode = _named("mode")
nanmedian = _named("nanmedian")
sort = _named("sort")
topk = _named("topk")
frexp = _named("frexp", "mantissa exponent")
