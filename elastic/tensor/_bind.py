"""Gives the class Tensor its methods, and the namespace its functions, from the ops.

Python's operators are bound to the ops themselves: nothing stands between `x * y` and its op.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from elastic.tensor import _autocast, _creation, _indexing, _methods, _random, dtypes, ops
from elastic.tensor import functions as families
from elastic.tensor._dispatch import apply, check_cast
from elastic.tensor._docs import meanings
from elastic.tensor._inplace import in_place, is_recorded, reshaping
from elastic.tensor._publish import FUNCTIONS, IN_PLACE, METHODS
from elastic.tensor._registry import REGISTRY, is_public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor
from elastic.tensor.functions.arithmetic import scaled

_FILLED = ops, families  # importing the tables fills the registry
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
        return in_place_op(self, scaled(self, other, alpha))

    return call


def _rounded(in_place_div: Callable) -> Callable:
    """The in-place form of div, with its `rounding_mode`."""
    modes = _overwriting("div", FUNCTIONS["div"])

    def call(self: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        if rounding_mode is None:
            return in_place_div(self, other)
        return modes(self, other, rounding_mode=rounding_mode)

    return call


def _reciprocal_times(self: Tensor, other: Any) -> Any:
    """other / self as PyTorch computes it: rounded twice."""
    return F.mul(F.reciprocal(self), other)


_OPERATORS = {
    "add": F.add, "radd": F.add, "sub": F.sub, "rsub": F._rsub, "mul": F.mul,
    "rmul": F.mul, "truediv": F.div, "rtruediv": _reciprocal_times, "floordiv": F.floor_divide,
    "rfloordiv": _reflected("floor_divide"), "mod": F.remainder, "rmod": _reflected("remainder"),
    "pow": F.pow, "rpow": _reflected("pow"), "matmul": F.matmul, "rmatmul": _reflected("matmul"),
    "rdiv": _reciprocal_times, "neg": F.neg, "pos": FUNCTIONS["positive"], "abs": F.abs,
    "invert": F.bitwise_not, "and": F.bitwise_and,
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

_RANDOM = _words("""
    bernoulli bernoulli_ cauchy_ exponential_ geometric_ log_normal_ multinomial normal_ random_
    uniform_
""")

_OWN = _words("""
    apply_ backward contiguous cpu cuda expand_as fill_ fill_diagonal_ is_contiguous item map_
    new_tensor numpy register_hook register_post_accumulate_grad_hook reshape_as resize_
    resize_as_ retain_grad storage_offset to tolist type_as view_as where zero_
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
    "bfloat16": dtypes.bfloat16, "double": dtypes.float64, "cfloat": dtypes.complex64,
    "cdouble": dtypes.complex128,
}  # fmt: skip

# Other names of the same functions, methods and in-place methods
ALIASES = dict(
    each.split("=")
    for each in _words("""
        absolute=abs arccos=acos arccosh=acosh arcsin=asin arcsinh=asinh arctan=atan
        arctan2=atan2 arctanh=atanh broadcast_to=expand clip=clamp concat=cat
        concatenate=cat divide=div fix=trunc ger=outer greater=gt greater_equal=ge less=lt
        less_equal=le moveaxis=movedim multiply=mul negative=neg not_equal=ne subtract=sub
        swapaxes=transpose swapdims=transpose row_stack=vstack trapz=trapezoid true_divide=div
    """)
)


def _methods_by_name() -> dict[str, Any]:
    """All methods, by the name that they have in the class."""
    entries = [entry for name, entry in REGISTRY.items() if is_public(name)]
    table: dict[str, Any] = {f"__{name}__": f for name, f in _OPERATORS.items()}
    table |= {each.name: each.call for each in entries if each.traits.method and not each.variadic}
    table |= _autocast.cover(dict(METHODS))
    table |= {name: getattr(_random, name) for name in _RANDOM}
    table |= {name: getattr(_methods, name) for name in _OWN}
    table |= {f"{each.name}_": in_place(each.name) for each in entries if each.traits.inplace}
    table |= {f"{name}_": in_place(name, ufunc) for name, ufunc in _UFUNCS.items()}
    table |= {f"{name}_": _overwriting(name, function) for name, function in IN_PLACE.items()}
    table |= {f"__{name}__": table[method] for name, method in _IN_PLACE_OPERATORS.items()}
    table |= {f"{name}_": _scaled(table[f"{name}_"]) for name in ("add", "sub")}
    table["div_"] = _rounded(table["div_"])
    table |= {name: _methods.converter(name, dtype) for name, dtype in _CONVERTERS.items()}
    for name in ("zeros", "ones", "empty", "full", "empty_strided"):
        table[f"new_{name}"] = _methods.new(getattr(_creation, name))
    table |= {"copy_": _indexing.copy_, "type": _methods.type_}
    table |= {"T": property(_methods.transposed), "mT": property(_methods.turned)}
    table |= {"real": property(FUNCTIONS["real"]), "imag": property(FUNCTIONS["imag"])}
    table |= families.facts.PROPERTIES
    table |= {"H": property(_methods.adjoint), "mH": property(_methods.adjoints)}
    table |= {f"{name}_": reshaping(name) for name in ("squeeze", "unsqueeze", "t", "transpose")}
    for ending in ("", "_"):
        pairs = [(f"{alias}{ending}", f"{name}{ending}") for alias, name in ALIASES.items()]
        table |= {alias: table[name] for alias, name in pairs if name in table}
    return table


def _overwriting(name: str, function: Callable) -> Callable:
    """The method `x.name_(...)` of a function that is made of several ops."""

    def call(self: Tensor, *args: Any, **named: Any) -> Tensor:
        # what the graph keeps of the old values is a copy: backward reads it later
        old = F.clone(self) if is_recorded(self, args) else self
        result = function(old, *args, **named)
        check_cast(result._array, self._array)
        return _indexing.copy_(self, result)

    call.__name__ = call.__qualname__ = name + "_"
    return call


def bind() -> None:
    """Gives the ops their docstrings and the class its methods."""
    for name, meaning in meanings().items():
        if name in REGISTRY:
            REGISTRY[name].call.__doc__ = meaning
    table = _methods_by_name()
    for name, method in table.items():
        setattr(Tensor, name, method)
        if name.endswith("_") and not method.__doc__ and name[:-1] in table:
            method.__doc__ = f"In place: {table[name[:-1]].__doc__}"


# In-place methods that PyTorch also has as functions: `torch.exp_(x)`
_AS_FUNCTIONS = _words("""
    abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_
    atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ detach
    detach_ erf_ erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_ frac_ gcd_ i0_ index_put_ is_inference
    lcm_ ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_
    relu_ resize_as_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_
    zero_
""")


def functions() -> dict[str, Callable]:
    """The functions of the namespace by name: public ops, then what is made of them, then aliases.

    A function takes the place of the op of its name: it knows more arguments.
    """
    table = {name: entry.call for name, entry in REGISTRY.items() if is_public(name)} | FUNCTIONS
    _autocast.cover(table)
    table |= {name: getattr(Tensor, name) for name in _AS_FUNCTIONS}
    return table | {alias: table[name] for alias, name in ALIASES.items() if name in table}


def settle(namespace: dict[str, Any]) -> None:
    """Tells functions that `namespace` is where they are found, so that they can be pickled."""
    for name, value in namespace.items():
        if isinstance(value, FunctionType) and not name.startswith("_"):
            if value.__name__ == name and value.__module__.startswith("elastic.tensor"):
                value.__module__, value.__qualname__ = namespace["__name__"], name
