"""What a tensor can do: its methods, bound straight from the ops and functions.

Three tables: operators, methods that are a function with the tensor first, and in-place forms.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from elastic.tensor import _creation, _functions, _indexing, _random, backend, dtypes, ops
from elastic.tensor._autograd import Removable, backward, hooks_of
from elastic.tensor._dispatch import apply
from elastic.tensor._inplace import in_place, overwrite
from elastic.tensor._registry import REGISTRY
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, requires, wrap
from elastic.tensor._types import device

assert ops  # importing the tables fills the registry


def _reflected(name: str) -> Callable:
    entry = REGISTRY[name]

    def call(self: Tensor, other: Any) -> Any:
        return apply(entry, [other, self])

    return call


def _comparison(function: Callable) -> Callable:
    """`function`, for numbers and tensors; anything else is simply not equal."""

    def call(self: Tensor, other: Any) -> Any:
        if isinstance(other, (Tensor, int, float, complex, np.ndarray, np.generic)):
            return function(self, other)
        return NotImplemented

    return call


_OPERATORS = {
    "add": F.add, "radd": F.add, "sub": F.sub, "rsub": _reflected("sub"), "mul": F.mul,
    "rmul": F.mul, "truediv": F.div, "rtruediv": _reflected("div"), "floordiv": F.floor_divide,
    "rfloordiv": _reflected("floor_divide"), "mod": F.remainder, "rmod": _reflected("remainder"),
    "pow": F.pow, "rpow": _reflected("pow"), "matmul": F.matmul, "rmatmul": _reflected("matmul"),
    "neg": F.neg, "abs": F.abs, "invert": F.bitwise_not, "and": F.bitwise_and,
    "rand": F.bitwise_and, "or": F.bitwise_or, "ror": F.bitwise_or, "xor": F.bitwise_xor,
    "rxor": F.bitwise_xor, "lshift": F.bitwise_left_shift, "rshift": F.bitwise_right_shift,
    "eq": _comparison(F.eq), "ne": _comparison(F.ne), "lt": F.lt, "le": F.le, "gt": F.gt, "ge": F.ge, "getitem": _indexing.getitem,
    "setitem": _indexing.setitem,
}  # fmt: skip

# Ops whose method has the op's own signature
_OPS = [
    "square",
    "reciprocal",
    "floor_divide",
    "remainder",
    "fmod",
    "pow",
    "neg",
    "abs",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "round",
    "frac",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "sigmoid",
    "relu",
    "erf",
    "erfc",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "atan2",
    "hypot",
    "logaddexp",
    "lerp",
    "addcmul",
    "addcdiv",
    "mul",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
    "isnan",
    "isinf",
    "isfinite",
    "signbit",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_not",
    "bitwise_left_shift",
    "bitwise_right_shift",
    "clone",
    "nan_to_num",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "any",
    "all",
    "count_nonzero",
    "logsumexp",
    "reshape",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "expand",
    "transpose",
    "permute",
    "movedim",
    "narrow",
    "select",
    "diagonal",
    "unfold",
    "sum_to_size",
    "flip",
    "roll",
    "repeat",
    "repeat_interleave",
    "tril",
    "triu",
    "matmul",
    "mm",
    "bmm",
    "mv",
    "dot",
    "outer",
    "gather",
    "scatter_add",
    "index_select",
    "index_add",
    "index_copy",
    "masked_fill",
    "masked_select",
    "bincount",
]

# Functions whose first parameter is the tensor
_FUNCTIONS = [
    "add",
    "sub",
    "div",
    "sum",
    "prod",
    "mean",
    "cumsum",
    "cumprod",
    "softmax",
    "log_softmax",
    "max",
    "min",
    "sort",
    "argsort",
    "topk",
    "var",
    "std",
    "norm",
    "clamp",
    "split",
    "chunk",
    "unbind",
    "tile",
    "diag",
    "take_along_dim",
    "addmm",
    "baddbmm",
    "equal",
    "allclose",
    "isclose",
    "unique",
    "nonzero",
    "scatter",
]

_IN_PLACE = [
    "square",
    "reciprocal",
    "remainder",
    "fmod",
    "floor_divide",
    "pow",
    "neg",
    "abs",
    "sign",
    "floor",
    "ceil",
    "trunc",
    "round",
    "frac",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "sigmoid",
    "relu",
    "clamp",
    "lerp",
    "addcmul",
    "addcdiv",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_not",
    "nan_to_num",
    "tril",
    "triu",
    "scatter_add",
    "index_add",
    "index_copy",
    "masked_fill",
    "cumsum",
    "erf",
    "maximum",
    "minimum",
]

_ALIASES = {
    "absolute": "abs", "arctan": "atan", "arcsin": "asin", "arccos": "acos", "multiply": "mul",
    "divide": "div", "true_divide": "div", "subtract": "sub", "negative": "neg", "clip": "clamp",
    "swapaxes": "transpose", "swapdims": "transpose", "moveaxis": "movedim", "concat": "cat",
    "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "not_equal": "ne",
    "ger": "outer", "fix": "trunc",
}  # fmt: skip


# Methods with a body of their own


def item(self: Tensor) -> Any:
    """The only element as a Python number."""
    if self._array.size != 1:
        raise RuntimeError(
            f"a Tensor with {self._array.size} elements cannot be converted to Scalar"
        )
    value = self._array.item()
    return float(value) if self.dtype is dtypes.bfloat16 else value


def _only(self: Tensor) -> Any:
    if self._array.size != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return item(self)


def tolist(self: Tensor) -> Any:
    """The elements as nested lists of Python numbers."""
    array = backend.to_host(self._array)
    return (array.astype(np.float32) if self.dtype is dtypes.bfloat16 else array).tolist()


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """The numpy array on the same memory. Raises: RuntimeError when it is part of a graph."""
    if force:
        return backend.to_host(self._array)
    if requires(self):
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    if self.is_cuda:
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy "
            "the tensor to host memory first."
        )
    return self._array


def _array_protocol(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    array = numpy(self)
    if dtype is None or array.dtype == dtype:
        return array.copy() if copy else array
    return array.astype(dtype)


def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    copy: bool = False,
    **ignored: Any,
) -> Tensor:
    """The tensor as another dtype, on another device, or like another tensor."""
    for each in args:
        if isinstance(each, dtypes.dtype):
            dtype = each
        elif isinstance(each, Tensor):
            dtype, device = each.dtype, each.device
        elif each is not None and not isinstance(each, bool):
            device = each
    result = self if device is None else _moved(self, device)
    if dtype is not None and result._array.dtype != dtype.np:
        return F.cast(result, dtype.np)
    return F.clone(self) if copy and result is self else result


def _moved(self: Tensor, where: Any) -> Tensor:
    target = device(where) if not isinstance(where, int) else device("cuda", where)
    here = self.device
    if target.type == here.type and target.index in (None, here.index):
        return self
    return F.transfer(self, target, here)


def _converter(dtype: dtypes.dtype) -> Callable:
    def convert(self: Tensor, **ignored: Any) -> Tensor:
        return self if self._array.dtype == dtype.np else F.cast(self, dtype.np)

    return convert


_CONVERTERS = {
    "bool": dtypes.bool_, "byte": dtypes.uint8, "char": dtypes.int8, "short": dtypes.int16,
    "int": dtypes.int32, "long": dtypes.int64, "half": dtypes.float16, "float": dtypes.float32,
    "bfloat16": dtypes.bfloat16, "double": dtypes.float64,
}  # fmt: skip


def type_(self: Tensor, dtype: Any = None) -> Any:
    """The name of the tensor's old type, or the tensor as another dtype."""
    if dtype is None:
        return f"torch.{'cuda.' if self.is_cuda else ''}{self.dtype.title}Tensor"
    if isinstance(dtype, str):
        titles = {f"torch.{d.title}Tensor": d for d in dtypes.ALL}
        dtype = titles[dtype]
    return to(self, dtype)


def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """Itself if its elements lie in C order, else a copy that does."""
    return self if self._array.flags.c_contiguous else F.clone(self)


def view(self: Tensor, *shape: Any) -> Tensor:
    """The same memory in another shape. Raises: RuntimeError where that needs a copy."""
    return F.view(self, *shape)


def transposed(self: Tensor) -> Tensor:
    """A view with all dimensions in reverse order."""
    return F.permute(self, tuple(range(self._array.ndim))[::-1])


def turned(self: Tensor) -> Tensor:
    """A view with the last two dimensions exchanged."""
    return F.transpose(self, -2, -1)


def t(self: Tensor) -> Tensor:
    """The transpose of a matrix, as a view."""
    if self._array.ndim > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {self._array.ndim}D"
        )
    return F.t(self)


def iterate(self: Tensor) -> Iterator[Tensor]:
    """The slices along the first dimension."""
    if not self._array.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(_functions.unbind(self))


def truth(self: Tensor) -> bool:
    """Whether the only element is not zero."""
    if self._array.size != 1:
        kind = "no values" if not self._array.size else "more than one value"
        raise RuntimeError(f"Boolean value of Tensor with {kind} is ambiguous")
    return bool(self._array)


def contains(self: Tensor, value: Any) -> bool:
    """Whether some element equals `value`."""
    return bool((self == value)._array.any())


def index_number(self: Tensor) -> int:
    """The only element, an integer, as a Python int."""
    if self._array.size != 1 or dtypes.rank(self.dtype) > 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(self._array)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Itself, full of `value`."""
    if isinstance(value, Tensor) and value._array.ndim:
        raise RuntimeError(
            "fill_ only supports 0-dimension value tensor but got tensor with "
            f"{value._array.ndim} dimensions."
        )
    return overwrite(self, REGISTRY["fill"], [self, value])


def zero_(self: Tensor) -> Tensor:
    """Itself, full of zeros."""
    return overwrite(self, REGISTRY["fill"], [self, 0])


def where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """Its elements where `condition` holds, else those of `other`."""
    return F.where(condition, self, other)


def register_hook(self: Tensor, hook: Callable) -> Removable:
    """Calls `hook(grad)` when the gradient is known; what it returns takes the gradient's place."""
    if not requires(self):
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    return hooks_of(self if self._node is None else self._node).add(hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable) -> Removable:
    """Calls `hook(self)` after backward has added to the `.grad` of this leaf."""
    if self._node is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return hooks_of(self).add_after(hook)


def retain_grad(self: Tensor) -> None:
    """Makes backward keep the gradient of this non-leaf in `.grad`."""
    import weakref

    if not requires(self):
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if self._node is not None:
        hooks_of(self._node).keeper = weakref.ref(self)


def deepcopy(self: Tensor, memo: dict) -> Tensor:
    """A leaf of the same class on a copy of the memory."""
    if self._node is not None:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment.  If you were attempting to deepcopy a module, this may be "
            "because of a torch.nn.utils.weight_norm usage, see "
            "https://github.com/pytorch/pytorch/pull/103001"
        )
    if id(self) in memo:
        return memo[id(self)]
    memo[id(self)] = twin = wrap(self._array.copy(), type(self))
    twin._requires_grad = self._requires_grad
    if self._grad is not None:
        twin._grad = copy.deepcopy(self._grad, memo)
    twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return twin


def reduce(self: Tensor, protocol: int) -> tuple:
    """How to pickle it: its array and whether it requires a gradient."""
    if self._node is not None:
        raise RuntimeError("only graph leaves can be pickled; call detach() first")
    array = np.ascontiguousarray(backend.to_host(self._array)).reshape(self._array.shape)
    return rebuilt, (type(self), array, self._requires_grad, dict(self.__dict__))


def rebuilt(cls: type, array: np.ndarray, requires_grad: bool, attributes: dict) -> Tensor:
    """A tensor from what `reduce` took apart."""
    result = wrap(array, cls)
    result._requires_grad = requires_grad
    result.__dict__.update(attributes)
    return result


def _new(maker: Callable) -> Callable:
    def make(self: Tensor, *args: Any, **settings: Any) -> Tensor:
        if settings.get("dtype") is None:
            settings["dtype"] = self.dtype
        settings.setdefault("device", None if not self.is_cuda else self.device)
        return maker(*args, **settings)

    return make


def _bind() -> None:
    for name, function in _OPERATORS.items():
        setattr(Tensor, f"__{name}__", function)
    for name in _OPS:
        setattr(Tensor, name, getattr(F, name))
    for name in _FUNCTIONS:
        setattr(Tensor, name, getattr(_functions, name))
    arithmetic = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide}
    for name, ufunc in arithmetic.items():
        python = "truediv" if name == "div" else name
        setattr(Tensor, f"__i{python}__", in_place(name, ufunc))
        setattr(
            Tensor,
            f"{name}_",
            _scaled(in_place(name, ufunc)) if name in ("add", "sub") else in_place(name, ufunc),
        )
    for name in _IN_PLACE:
        setattr(Tensor, f"{name}_", in_place(name))
    for name, dtype in _CONVERTERS.items():
        setattr(Tensor, name, _converter(dtype))
    for python, name in {
        "floordiv": "floor_divide",
        "mod": "remainder",
        "pow": "pow",
        "and": "bitwise_and",
        "or": "bitwise_or",
        "xor": "bitwise_xor",
    }.items():
        setattr(Tensor, f"__i{python}__", in_place(name))
    for name in ("zeros", "ones", "empty", "full"):
        setattr(Tensor, f"new_{name}", _new(getattr(_creation, name)))
    for alias, name in _ALIASES.items():
        if hasattr(Tensor, name):
            setattr(Tensor, alias, getattr(Tensor, name))


def _scaled(in_place_op: Callable) -> Callable:
    """The in-place form of add or sub, with its `alpha`."""

    def call(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
        return in_place_op(self, other if alpha == 1 else other * alpha)

    return call


_OWN: dict[str, Any] = {
    "item": item, "tolist": tolist, "numpy": numpy, "__array__": _array_protocol, "to": to,
    "type": type_, "contiguous": contiguous, "view": view, "t": t, "__iter__": iterate,
    "__bool__": truth, "__contains__": contains, "__index__": index_number, "fill_": fill_,
    "zero_": zero_, "where": where, "register_hook": register_hook, "retain_grad": retain_grad,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
    "__deepcopy__": deepcopy, "__reduce_ex__": reduce, "copy_": _indexing.copy_,
    "T": property(transposed), "mT": property(turned), "H": property(transposed),
    "backward": lambda self, gradient=None, retain_graph=None, create_graph=False, inputs=None: backward(self, gradient, retain_graph, create_graph, inputs),
    "__float__": lambda self: float(_only(self)), "__int__": lambda self: int(_only(self)),
    "__complex__": lambda self: complex(item(self)),
    "cpu": lambda self: _moved(self, "cpu"), "cuda": lambda self, device="cuda": _moved(self, "cuda" if device is None else device),
    "view_as": lambda self, other: F.view(self, tuple(other._array.shape)),
    "reshape_as": lambda self, other: F.reshape(self, tuple(other._array.shape)),
    "expand_as": lambda self, other: F.expand(self, tuple(other._array.shape)),
    "type_as": lambda self, other: to(self, other.dtype),
    "broadcast_to": lambda self, *size: F.expand(self, *size),
    "__dlpack__": lambda self, **named: numpy(self).__dlpack__(**named) if not self.is_cuda else self._array.__dlpack__(**named),
    "__dlpack_device__": lambda self: self._array.__dlpack_device__(),
    "new_tensor": lambda self, data, **settings: _creation.tensor(data, **{"dtype": self.dtype} | settings),
    "__format__": lambda self, spec: format(item(self), spec) if not self._array.ndim else object.__format__(self, spec),
}  # fmt: skip
_OWN |= {
    name: getattr(_random, name)
    for name in (
        "uniform_",
        "normal_",
        "bernoulli_",
        "random_",
        "bernoulli",
        "multinomial",
        "exponential_",
    )
}
_bind()
for _name, _function in _OWN.items():
    setattr(Tensor, _name, _function)
Tensor.__hash__ = object.__hash__  # type: ignore[method-assign]  # __eq__ compares elements
