"""The named tuples of functions with several results: `torch.return_types.max` and others."""

from __future__ import annotations

import collections
from typing import Any


def _named(name: str, fields: str = "values indices") -> Any:
    base = getattr(collections, "namedtuple")(name, fields)  # noqa: B009  # for the type checker

    def __repr__(self: Any) -> str:
        parts = ",\n".join(f"{field}={getattr(self, field)!r}" for field in self._fields)
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

geqrf = _named("geqrf", "a tau")
linalg_cholesky_ex = _named("linalg_cholesky_ex", "L info")
linalg_eig = _named("linalg_eig", "eigenvalues eigenvectors")
linalg_eigh = _named("linalg_eigh", "eigenvalues eigenvectors")
linalg_inv_ex = _named("linalg_inv_ex", "inverse info")
linalg_ldl_factor = _named("linalg_ldl_factor", "LD pivots")
linalg_ldl_factor_ex = _named("linalg_ldl_factor_ex", "LD pivots info")
linalg_lstsq = _named("linalg_lstsq", "solution residuals rank singular_values")
linalg_lu = _named("linalg_lu", "P L U")
linalg_lu_factor = _named("linalg_lu_factor", "LU pivots")
linalg_lu_factor_ex = _named("linalg_lu_factor_ex", "LU pivots info")
linalg_qr = _named("linalg_qr", "Q R")
linalg_slogdet = _named("linalg_slogdet", "sign logabsdet")
linalg_solve_ex = _named("linalg_solve_ex", "result info")
linalg_svd = _named("linalg_svd", "U S Vh")
lu_unpack = _named("lu_unpack", "P L U")
qr = _named("qr", "Q R")
slogdet = _named("slogdet", "sign logabsdet")
svd = _named("svd", "U S V")
triangular_solve = _named("triangular_solve", "solution cloned_coefficient")
