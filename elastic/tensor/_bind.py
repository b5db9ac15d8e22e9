"""Gives the class Tensor its methods, straight from the ops and functions.

Python's operators are bound to the ops themselves: nothing stands between `x * y` and its op.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from elastic.tensor import _creation, _functions, _indexing, _methods, _random, dtypes, ops
from elastic.tensor._dispatch import apply
from elastic.tensor._inplace import in_place
from elastic.tensor._registry import REGISTRY
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor

assert ops  # importing the tables fills the registry
_words = str.split


def _reflected(name: str) -> Callable:
    entry = REGISTRY[name]

    def call(self: Tensor, other: Any) -> Any:
        return apply(entry, [other, self])

    return call


def _comparison(function: Callable) -> Callable:
    """`function` for numbers and tensors; anything else is simply not equal."""

    def call(self: Tensor, other: Any) -> Any:
        if isinstance(other, (Tensor, int, float, complex, np.ndarray, np.generic)):
            return function(self, other)
        return NotImplemented

    return call


def _scaled(in_place_op: Callable) -> Callable:
    """The in-place form of add or sub, with its `alpha`."""

    def call(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
        return in_place_op(self, other if alpha == 1 else other * alpha)

    return call


_OPERATORS = {
    "add": F.add, "radd": F.add, "sub": F.sub, "rsub": _reflected("sub"), "mul": F.mul,
    "rmul": F.mul, "truediv": F.div, "rtruediv": _reflected("div"), "floordiv": F.floor_divide,
    "rfloordiv": _reflected("floor_divide"), "mod": F.remainder, "rmod": _reflected("remainder"),
    "pow": F.pow, "rpow": _reflected("pow"), "matmul": F.matmul, "rmatmul": _reflected("matmul"),
    "neg": F.neg, "abs": F.abs, "invert": F.bitwise_not, "and": F.bitwise_and,
    "rand": F.bitwise_and, "or": F.bitwise_or, "ror": F.bitwise_or, "xor": F.bitwise_xor,
    "rxor": F.bitwise_xor, "lshift": F.bitwise_left_shift, "rshift": F.bitwise_right_shift,
    "eq": _comparison(F.eq), "ne": _comparison(F.ne), "lt": F.lt, "le": F.le, "gt": F.gt,
    "ge": F.ge, "getitem": _indexing.getitem, "setitem": _indexing.setitem,
    "iter": _methods.iterate, "bool": _methods.truth, "contains": _methods.contains,
    "index": _methods.index_number, "array": _methods.array_protocol,
    "deepcopy": _methods.deepcopy, "reduce_ex": _methods.reduce, "format": _methods.formatted,
    "dlpack": _methods.dlpack, "dlpack_device": _methods.dlpack_device,
    "float": lambda self: float(_methods.number(self)),
    "int": lambda self: int(_methods.number(self)),
    "complex": lambda self: complex(_methods.number(self)),
}  # fmt: skip

# Ops whose method has the op's own signature
_OPS = _words("""
    abs acos addcdiv addcmul all amax amin any argmax argmin asin atan atan2 bincount bitwise_and
    bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor bmm ceil clone cos
    cosh count_nonzero diagonal dot eq erf erfc exp exp2 expand expm1 flatten flip floor
    floor_divide fmax fmin fmod frac gather ge gt hypot index_add index_copy index_fill
    index_select isfinite isinf isnan le lerp log log10 log1p log2 logaddexp logical_and
    logical_not logical_or logical_xor logsumexp lt masked_fill masked_select matmul maximum
    minimum mm movedim mul mv nan_to_num narrow ne neg outer permute pow reciprocal relu remainder
    repeat repeat_interleave reshape roll round rsqrt scatter_add select sigmoid sign signbit sin
    sinh sqrt square squeeze sum_to_size tan tanh transpose tril triu trunc unflatten unfold
    unsqueeze view
""")

# Functions whose first parameter is the tensor
_FUNCTIONS = _words("""
    add addmm allclose argsort baddbmm chunk clamp cumprod cumsum diag div equal isclose
    log_softmax max mean min nonzero norm prod scatter softmax sort split std sub sum
    take_along_dim tile topk unbind unique var
""")

_RANDOM = _words("bernoulli bernoulli_ exponential_ multinomial normal_ random_ uniform_")

_OWN = _words("""
    backward contiguous cpu cuda expand_as fill_ item new_tensor numpy register_hook
    register_post_accumulate_grad_hook reshape_as retain_grad t to tolist type_as view_as where
    zero_
""")

_IN_PLACE = _words("""
    abs acos addcdiv addcmul asin atan bitwise_and bitwise_not bitwise_or bitwise_xor ceil clamp
    cos cosh cumsum erf exp exp2 expm1 floor floor_divide fmod frac index_add index_copy
    index_fill lerp log log10 log1p log2 logical_and logical_not logical_or logical_xor
    masked_fill nan_to_num neg pow reciprocal relu remainder round rsqrt scatter scatter_add
    sigmoid sign sin sinh sqrt square tan tanh tril triu trunc
""")

_UFUNCS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide}

_IN_PLACE_OPERATORS = {
    "iadd": "add_", "isub": "sub_", "imul": "mul_", "itruediv": "div_", "ipow": "pow_",
    "ifloordiv": "floor_divide_", "imod": "remainder_", "iand": "bitwise_and_",
    "ior": "bitwise_or_", "ixor": "bitwise_xor_",
}  # fmt: skip

_CONVERTERS = {
    "bool": dtypes.bool_, "byte": dtypes.uint8, "char": dtypes.int8, "short": dtypes.int16,
    "int": dtypes.int32, "long": dtypes.int64, "half": dtypes.float16, "float": dtypes.float32,
    "bfloat16": dtypes.bfloat16, "double": dtypes.float64,
}  # fmt: skip

ALIASES = {
    "absolute": "abs", "arccos": "acos", "arcsin": "asin", "arctan": "atan", "clip": "clamp",
    "divide": "div", "fix": "trunc", "ger": "outer", "greater": "gt", "greater_equal": "ge",
    "less": "lt", "less_equal": "le", "moveaxis": "movedim", "multiply": "mul", "negative": "neg",
    "not_equal": "ne", "subtract": "sub", "swapaxes": "transpose", "swapdims": "transpose",
    "true_divide": "div",
}  # fmt: skip


def _methods_by_name() -> dict[str, Any]:
    """All methods, by the name that they have in the class."""
    table: dict[str, Any] = {f"__{name}__": f for name, f in _OPERATORS.items()}
    table |= {name: getattr(F, name) for name in _OPS}
    table |= {name: getattr(_functions, name) for name in _FUNCTIONS}
    table |= {name: getattr(_random, name) for name in _RANDOM}
    table |= {name: getattr(_methods, name) for name in _OWN}
    table |= {f"{name}_": in_place(name) for name in _IN_PLACE}
    table |= {f"{name}_": in_place(name, ufunc) for name, ufunc in _UFUNCS.items()}
    table |= {f"__{name}__": table[method] for name, method in _IN_PLACE_OPERATORS.items()}
    table |= {f"{name}_": _scaled(table[f"{name}_"]) for name in ("add", "sub")}
    table |= {name: _methods.converter(dtype) for name, dtype in _CONVERTERS.items()}
    for name in ("zeros", "ones", "empty", "full"):
        table[f"new_{name}"] = _methods.new(getattr(_creation, name))
    table |= {"copy_": _indexing.copy_, "type": _methods.type_, "broadcast_to": F.expand}
    table |= {"T": property(_methods.transposed), "mT": property(_methods.turned)}
    return table | {alias: table[name] for alias, name in ALIASES.items()}


def bind() -> None:
    """Gives the class its methods."""
    for name, method in _methods_by_name().items():
        setattr(Tensor, name, method)
