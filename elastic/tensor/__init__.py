"""elastic.tensor: PyTorch's names and meanings, on our own stack.

    import elastic.tensor as torch

Infinities and nan arise silently, as in PyTorch: a thread that records operations no longer gets
numpy's floating-point warnings.
"""

from __future__ import annotations

from math import e, inf, nan, pi
from typing import TYPE_CHECKING, Any

from elastic.tensor import _functions, _methods, autograd, dtypes
from elastic.tensor import _registry as _tables
from elastic.tensor._creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    is_tensor,
    linspace,
    logspace,
    ones,
    ones_like,
    tensor,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from elastic.tensor._dispatch import result_type
from elastic.tensor._grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from elastic.tensor._random import (
    Generator,
    bernoulli,
    default_generator,
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)
from elastic.tensor._tensor import Tensor
from elastic.tensor._types import Size, device
from elastic.tensor.dtypes import (
    bfloat16,
    cdouble,
    cfloat,
    complex64,
    complex128,
    double,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    set_default_dtype,
    short,
    uint8,
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


# Ops that are public under their own name
_OPS = ["abs", "acos", "addcdiv", "addcmul", "all", "amax", "amin", "any", "argmax", "argmin", "asin", "atan", "atan2", "bincount", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bmm", "ceil", "clone", "cos", "cosh", "count_nonzero", "diagonal", "dot", "eq", "erf", "erfc", "exp", "exp2", "expm1", "flatten", "flip", "floor", "floor_divide", "fmax", "fmin", "fmod", "frac", "gather", "ge", "gt", "hypot", "index_add", "index_copy", "index_select", "isfinite", "isinf", "isnan", "le", "lerp", "log", "log10", "log1p", "log2", "logaddexp", "logical_and", "logical_not", "logical_or", "logical_xor", "logsumexp", "lt", "masked_fill", "masked_select", "matmul", "maximum", "minimum", "mm", "movedim", "mul", "mv", "nan_to_num", "narrow", "ne", "neg", "outer", "permute", "pow", "reciprocal", "relu", "remainder", "repeat_interleave", "reshape", "roll", "round", "rsqrt", "scatter_add", "searchsorted", "select", "sigmoid", "sign", "signbit", "sin", "sinh", "sqrt", "square", "squeeze", "t", "tan", "tanh", "transpose", "tril", "triu", "trunc", "unflatten", "unsqueeze"]

# Functions that choose between ops, or are made of several
_FUNCTIONS = ["add", "addmm", "allclose", "argsort", "baddbmm", "broadcast_tensors", "cat", "chunk", "clamp", "cumprod", "cumsum", "diag", "div", "einsum", "equal", "isclose", "log_softmax", "max", "mean", "meshgrid", "min", "nonzero", "norm", "numel", "prod", "scatter", "softmax", "sort", "split", "stack", "std", "std_mean", "sub", "sum", "take_along_dim", "tile", "topk", "unbind", "unique", "var", "var_mean", "where"]

_ALIASES = {
    "absolute": "abs", "arccos": "acos", "arcsin": "asin", "arctan": "atan", "clip": "clamp",
    "concat": "cat", "concatenate": "cat", "divide": "div", "greater": "gt", "ger": "outer",
    "greater_equal": "ge", "less": "lt", "less_equal": "le", "moveaxis": "movedim",
    "multiply": "mul", "negative": "neg", "not_equal": "ne", "subtract": "sub",
    "swapaxes": "transpose", "swapdims": "transpose", "true_divide": "div",
}  # fmt: skip

globals().update({name: getattr(_tables.TENSORS, name) for name in _OPS})
globals().update({name: getattr(_functions, name) for name in _FUNCTIONS})
globals().update({alias: globals()[name] for alias, name in _ALIASES.items()})
globals().update({"bool": dtypes.bool_, "int": dtypes.int_, "float": dtypes.float_})
broadcast_to = _tables.TENSORS.expand

__all__ = [
    *("Generator", "Size", "Tensor", "arange", "as_tensor", "autograd", "bernoulli", "bfloat16"),
    *("bool", "broadcast_to", "cdouble", "cfloat", "complex128", "complex64", "default_generator"),
    *("device", "double", "dtype", "e", "empty", "empty_like", "enable_grad", "eye", "finfo"),
    *("float", "float16", "float32", "float64", "fork_rng", "from_dlpack", "from_numpy", "full"),
    *("full_like", "get_default_dtype", "get_rng_state", "half", "iinfo", "inf", "inference_mode"),
    *("initial_seed", "int", "int16", "int32", "int64", "int8", "is_grad_enabled", "is_tensor"),
    *("linspace", "logspace", "long", "manual_seed", "multinomial", "nan", "no_grad", "normal"),
    *("ones", "ones_like", "pi", "promote_types", "rand", "rand_like", "randint", "randint_like"),
    *("randn", "randn_like", "randperm", "result_type", "seed", "set_default_dtype"),
    *("set_grad_enabled", "set_rng_state", "short", "tensor", "tril_indices", "triu_indices"),
    *("uint8", "zeros", "zeros_like"),
]
__all__ += [*_OPS, *_FUNCTIONS, *_ALIASES]
