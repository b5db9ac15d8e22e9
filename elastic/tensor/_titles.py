"""Names of nodes in the graph where PyTorch has several for what is one op here.

PyTorch numbers the overloads of a function, so the arguments decide. After backward has freed them,
a node has the name of its op.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def _dims(first: str, rest: str) -> Callable:
    """One name without a dim, another with."""

    def title(node: Any) -> str:
        return first if _argument(node, "dim") is None else rest

    return title


def _second(node: Any, name: str, number: str, tensor: str) -> str:
    """One name where parameter `name` is a number, another where it is a tensor."""
    place = node.op.positions[name]
    given = node.edges[place] is not None if place < len(node.edges) else False
    return tensor if given or isinstance(node.values[place], np.ndarray) else number


def _pow(node: Any) -> str:
    exponent = _second(node, "y", "PowBackward0", "PowBackward1")
    base = node.edges[0] is not None or isinstance(node.values[0], np.ndarray)
    return exponent if base else "PowBackward2"


def _clamp(node: Any) -> str:
    bounds = [_second(node, name, "1", "0") for name in ("min", "max")]
    return f"ClampBackward{min(bounds)}"


def _squeeze(node: Any) -> str:
    dim = _argument(node, "dim")
    return f"SqueezeBackward{0 if dim is None else 1 if isinstance(dim, int) else 2}"


def _linear(node: Any) -> str:
    x, bias = node.values[0], node.edges[2] is not None or node.values[2] is not None
    if x is None or x.ndim == 2:
        return "AddmmBackward0" if bias else "MmBackward0"
    return "ViewBackward0" if bias else "UnsafeViewBackward0"


def _matmul(node: Any) -> str:
    dims = [getattr(each, "ndim", 2) for each in node.values[:2]]
    names = {(1, 1): "DotBackward0", (2, 1): "MvBackward0", (1, 2): "SqueezeBackward4"}
    return names.get((dims[0], dims[1]), "MmBackward0" if dims == [2, 2] else "UnsafeViewBackward0")


def _pool(name: str) -> Callable:
    """The name with the number of dimensions that are pooled; PyTorch pools one as two."""

    def title(node: Any) -> str:
        rank = len(_argument(node, "kernel"))
        return "SqueezeBackward1" if rank == 1 else name.format(rank)

    return title


def _normalize(node: Any) -> str:
    dims = _argument(node, "dims")
    layer = sorted(dims) == list(range(-len(dims), 0))
    return "NativeLayerNormBackward0" if layer else "NativeBatchNormBackward0"


def _argument(node: Any, name: str) -> Any:
    return node.values[node.op.positions[name]]


TITLES: dict[str, Callable] = {
    "sum": _dims("SumBackward0", "SumBackward1"),
    "mean": _dims("MeanBackward0", "MeanBackward1"),
    "prod": _dims("ProdBackward0", "ProdBackward1"),
    "amax": _dims("MaxBackward1", "AmaxBackward0"),
    "amin": _dims("MinBackward1", "AminBackward0"),
    "squeeze": _squeeze,
    "pow": _pow,
    "clamp": _clamp,
    "matmul": _matmul,
    "_max_pool": _pool("MaxPool{}DWithIndicesBackward0"),
    "_max_pool_with_indices": _pool("MaxPool{}DWithIndicesBackward0"),
    "_avg_pool": _pool("AvgPool{}DBackward0"),
    "_normalize": _normalize,
    "_linear": _linear,
    "masked_fill": lambda node: _second(
        node, "value", "MaskedFillBackward0", "MaskedFillBackward1"
    ),
    "lerp": lambda node: _second(node, "weight", "LerpBackward0", "LerpBackward1"),
    "remainder": lambda node: _second(node, "y", "RemainderBackward0", "RemainderBackward1"),
}


def title_of(node: Any) -> str:
    """The name of the node's class in PyTorch, as in `<MulBackward0>`."""
    rule = TITLES.get(node.op.name)
    return node.op.title if rule is None or node.values is None else rule(node)
