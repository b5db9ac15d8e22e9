"""Methods of a tensor that have a body of their own. `_bind.py` gives them to the class."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from elastic.tensor import _creation, backend, dtypes
from elastic.tensor._engine import backward as _walk_back
from elastic.tensor._hooks import Removable, hooks_of
from elastic.tensor._inplace import overwrite
from elastic.tensor._rebuild import reduce_tensor as reduce  # noqa: F401 bound as a method
from elastic.tensor._registry import REGISTRY
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, requires, wrap
from elastic.tensor._types import contiguous_format, device
from elastic.tensor.functions.shape import conjugate_transpose

# Out of the tensor


def item(self: Tensor) -> Any:
    """The only element as a Python number."""
    if self._array.size != 1:
        raise RuntimeError(
            f"a Tensor with {self._array.size} elements cannot be converted to Scalar"
        )
    value = self._array.item()
    return float(value) if self.dtype is dtypes.bfloat16 else value


def number(self: Tensor) -> Any:
    """The only element, for float() and int()."""
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


def array_protocol(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    # numpy.asarray(tensor) shares memory where no other dtype is asked for.
    array = numpy(self)
    if dtype is None or array.dtype == dtype:
        return array.copy() if copy else array
    return array.astype(dtype)


# Other dtypes


def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """The tensor as another dtype, on another device, or like another tensor."""
    for each in args:
        if isinstance(each, (dtypes.dtype, type)):
            dtype = each
        elif isinstance(each, Tensor):
            dtype, device = each.dtype, each.device
        elif each is not None and not isinstance(each, bool):
            device = each
    flags = [each for each in args if isinstance(each, bool)]
    copy = copy or (len(flags) > 1 and flags[1])
    dtype = dtypes.as_dtype(dtype)
    result = self if device is None else _moved(self, device)
    if dtype is not None and result._array.dtype != dtype.np:
        result = F._cast(result, dtype.np)
    result = F.clone(self) if copy and result is self else result
    return _arranged(result, memory_format)


def _arranged(self: Tensor, layout: Any) -> Tensor:
    """The tensor with its elements in that order in memory: itself when they are."""
    if layout is None or _creation.arranged(self._array, layout) is self._array:
        return self
    return F.clone(self, layout)


def _moved(self: Tensor, where: Any) -> Tensor:
    target = device(where) if not isinstance(where, int) else device("cuda", where)
    here = self.device
    if target.type == here.type and target.index in (None, here.index):
        return self
    return F._transfer(self, target, here)


def converter(name: str, dtype: dtypes.dtype) -> Callable:
    """The method that gives the tensor as `dtype`: `x.float()` and its siblings."""

    def convert(self: Tensor, memory_format: Any = None) -> Tensor:
        same = self._array.dtype == dtype.np
        return _arranged(self if same else F._cast(self, dtype.np), memory_format)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The tensor as {dtype}: itself when it is."
    return convert


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's old type, or the tensor as another dtype."""
    if dtype is None:
        return f"torch.{'cuda.' if self.is_cuda else ''}{self.dtype.title}Tensor"
    if isinstance(dtype, str):
        titles = {f"torch.{d.title}Tensor": d for d in dtypes.ALL}
        if dtype not in titles:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = titles[dtype]
    return to(self, getattr(dtype, "dtype", dtype))


# Shapes


def contiguous(self: Tensor, memory_format: Any = contiguous_format) -> Tensor:
    """Itself if its elements lie in that order (C order unless told) in memory, else a copy."""
    return _arranged(self, memory_format)


def is_contiguous(self: Tensor, memory_format: Any = contiguous_format) -> bool:
    """Whether its elements lie in that order (C order unless told) without gaps."""
    if memory_format is not contiguous_format and self._array.ndim not in (4, 5):
        return False
    return _creation.arranged(self._array, memory_format) is self._array


def transposed(self: Tensor) -> Tensor:
    """A view with all dimensions in reverse order."""
    return F.permute(self, tuple(range(self._array.ndim))[::-1])


def turned(self: Tensor) -> Tensor:
    """A view with the last two dimensions exchanged. Raises: RuntimeError without two."""
    if not self._array.ndim:
        return self
    if self._array.ndim < 2:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got "
            f"{self._array.ndim}-D tensor."
        )
    return F.transpose(self, -2, -1)


def adjoint(self: Tensor) -> Tensor:
    """The conjugate transpose of a matrix. Raises: RuntimeError for anything but matrices."""
    ndim = self._array.ndim
    if not ndim:
        return self
    if ndim != 2:
        more = " For batches of matrices, consider using tensor.mH" if ndim > 2 else ""
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {ndim}-D tensor.{more}"
        )
    return conjugate_transpose("tensor.H is", self)


def adjoints(self: Tensor) -> Tensor:
    """The conjugate transposes of matrices."""
    return conjugate_transpose("tensor.mH is", self)


def storage_offset(self: Tensor) -> int:
    """How many elements lie before its first one in its storage."""
    array = self._array
    if not array.size:
        return 0
    memory = backend.bytes_of(backend.owner_of(array))
    return (backend.address(array) - backend.address(memory)) // array.itemsize


def resize_(self: Tensor, *size: Any, memory_format: Any = None) -> Tensor:
    """Itself in another size, on the elements that follow its first one in memory.

    Where these are too few the memory is replaced by more, whose new elements are arbitrary.
    """
    if requires(self):
        raise RuntimeError("cannot resize variables that require grad")
    shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
    array, start = self._array, storage_offset(self)
    memory = backend.bytes_of(backend.owner_of(array))
    elements = memory[: memory.size // array.itemsize * array.itemsize].view(array.dtype)[start:]
    count = math.prod(shape)
    if count > elements.size:
        grown = backend.xp_of(array).empty(count, array.dtype)
        grown[: elements.size] = elements
        elements = grown
    self._array = elements[:count].reshape(shape)
    self._cell[0] += 1
    return self


def resize_as_(self: Tensor, other: Tensor, *, memory_format: Any = None) -> Tensor:
    """Itself in the size of `other`."""
    return resize_(self, tuple(other._array.shape))


def iterate(self: Tensor) -> Iterator[Tensor]:
    """The slices along the first dimension."""
    if not self._array.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind())


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


# Writing


def fill_(self: Tensor, value: Any) -> Tensor:
    """Itself, full of `value`."""
    if isinstance(value, Tensor) and value._array.ndim:
        raise RuntimeError(
            "fill_ only supports 0-dimension value tensor but got tensor with "
            f"{value._array.ndim} dimensions."
        )
    return overwrite(self, REGISTRY["fill"], [self, value])


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Itself, with `fill_value` on its main diagonal (`wrap`: again below, in tall matrices)."""
    shape = self._array.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise RuntimeError(
            "dimensions must larger than 1"
            if len(shape) < 2
            else "all dimensions of input must be of equal length"
        )
    step = sum(self.stride())
    wraps = wrap and len(shape) == 2
    count = -(-self._array.size // (shape[1] + 1)) if wraps else min(shape)
    self.as_strided((count,), (step,), self.storage_offset()).fill_(fill_value)
    return self


def apply_(self: Tensor, function: Callable) -> Tensor:
    """Itself, each element replaced by what the Python function makes of it: slow."""
    if requires(self):
        raise RuntimeError(
            "Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead."
        )
    values = [function(each) for each in self.reshape(-1).tolist()]
    return self.copy_(_creation.tensor(values, dtype=self.dtype).reshape(self.shape))


def map_(self: Tensor, tensor: Tensor, function: Callable) -> Tensor:
    """Itself, each element replaced by what the Python function makes of it and the other's."""
    if requires(self) or requires(tensor):
        raise RuntimeError(
            "Can't call map_() on Variable that requires grad. Use var.detach().map_() instead."
        )
    others = tensor.expand(self.shape).reshape(-1).tolist()
    pairs = zip(self.reshape(-1).tolist(), others, strict=True)
    values = [function(a, b) for a, b in pairs]
    return self.copy_(_creation.tensor(values, dtype=self.dtype).reshape(self.shape))


def zero_(self: Tensor) -> Tensor:
    """Itself, full of zeros."""
    return overwrite(self, REGISTRY["fill"], [self, 0])


def where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """Its elements where `condition` holds, else those of `other`."""
    return F.where(condition, self, other)


# Gradients


def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradient of this tensor to `.grad` of the leaves that it was computed from."""
    _walk_back(self, gradient, retain_graph, create_graph, inputs)


def register_hook(self: Tensor, hook: Callable) -> Removable:
    """Calls `hook(grad)` when the gradient is known; what it returns takes the gradient's place."""
    if not requires(self):
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    place = self if self._node is None else self._node
    return Removable(hooks_of(place).before, hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Callable) -> Removable:
    """Calls `hook(self)` after backward has added to the `.grad` of this leaf."""
    if not requires(self):
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self._node is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return Removable(hooks_of(self).accumulated, hook)


def retain_grad(self: Tensor) -> None:
    """Makes backward keep the gradient of this non-leaf in `.grad`."""
    if not requires(self):
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if self._node is not None:
        hooks_of(self._node).keeper = weakref.ref(self)


# Copies


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


# Like another tensor


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """A view in the shape of `other`."""
    return F.view(self, tuple(other._array.shape))


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """Its elements in the shape of `other`."""
    return F.reshape(self, tuple(other._array.shape))


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """A view repeated to the shape of `other`."""
    return F.expand(self, tuple(other._array.shape))


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """Itself in the dtype of `other`."""
    return to(self, other.dtype)


def new_tensor(self: Tensor, data: Any, **settings: Any) -> Tensor:
    """A new tensor from `data`, of this one's dtype unless another is given."""
    return _creation.tensor(data, **{"dtype": self.dtype} | settings)


def new(maker: Callable) -> Callable:
    """The method that makes a tensor of this one's dtype and device with `maker`."""

    def make(self: Tensor, *args: Any, **settings: Any) -> Tensor:
        if settings.get("dtype") is None:
            settings["dtype"] = self.dtype
        settings.setdefault("device", self.device if self.is_cuda else None)
        return maker(*args, **settings)

    make.__doc__ = f"Of this tensor's dtype and device, unless others are given: {maker.__doc__}"
    return make


# Devices


def cpu(self: Tensor) -> Tensor:
    """Itself on the host."""
    return _moved(self, "cpu")


def cuda(self: Tensor, device: Any = None) -> Tensor:
    """Itself on a GPU."""
    return _moved(self, "cuda" if device is None else device)


def dlpack(self: Tensor, **named: Any) -> Any:
    """A DLPack capsule on the same memory."""
    if requires(self):
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    return self._array.__dlpack__(**named)


def dlpack_device(self: Tensor) -> tuple[int, int]:
    """DLPack's kind and number of the device."""
    return self._array.__dlpack_device__()


def formatted(self: Tensor, spec: str) -> str:
    """A 0-d tensor formats as its number. Raises: TypeError for a format of any other."""
    if not self._array.ndim:
        return format(item(self), spec)
    return object.__format__(self, spec)
