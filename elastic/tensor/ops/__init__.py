"""The ops, in tables by family: forward and vjps of each stand side by side.

To add one, write a line in its family's table and a line in `tests/tensor/test_ops.py`.
"""

from __future__ import annotations

from elastic.tensor.ops import (
    complex,
    conv,
    elementwise,
    factorizations,
    fft,
    index,
    nn,
    norm,
    pool,
    products,
    random,
    reduce,
    resample,
    scan,
    scatter,
    shape,
    solve,
    sort,
    special,
    view,
)

__all__ = [
    "complex",
    "conv",
    "elementwise",
    "factorizations",
    "fft",
    "index",
    "nn",
    "norm",
    "pool",
    "products",
    "random",
    "reduce",
    "resample",
    "scan",
    "scatter",
    "shape",
    "solve",
    "sort",
    "special",
    "view",
]
