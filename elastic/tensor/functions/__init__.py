"""Functions of PyTorch that choose between ops by their arguments, or are made of several.

Each is published where it stands, by its decorator: see `_publish.py`.
"""

from elastic.tensor.functions import (
    arithmetic,
    compare,
    complex,
    contraction,
    conv,
    facts,
    index,
    join,
    lowrank,
    matrices,
    neural,
    norm,
    pool,
    products,
    reduce,
    scan,
    shape,
    sort,
    spectral,
    statistics,
    vision,
)

__all__ = [
    "arithmetic",
    "compare",
    "complex",
    "contraction",
    "conv",
    "facts",
    "index",
    "join",
    "lowrank",
    "matrices",
    "neural",
    "norm",
    "pool",
    "products",
    "reduce",
    "scan",
    "shape",
    "sort",
    "spectral",
    "statistics",
    "vision",
]
