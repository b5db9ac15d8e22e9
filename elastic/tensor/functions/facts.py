"""What a tensor is: questions about its dtype, its memory and its device."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from elastic.tensor import _storage, backend, dtypes
from elastic.tensor._creation import legacy_tensor
from elastic.tensor._publish import public
from elastic.tensor._tensor import Tensor, retains
from elastic.tensor._types import layout, strided

# Kinds of tensors that do not exist here: these attributes are False of every tensor
NEVER = (
    "is_maia", "is_meta", "is_mkldnn", "is_mps", "is_mtia", "is_nested", "is_quantized",
    "is_sparse", "is_sparse_csr", "is_vulkan", "is_xla", "is_xpu", "volatile",
)  # fmt: skip


@public()
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero. Raises: RuntimeError for more or fewer elements."""
    return bool(input)


@public(method=False)
def is_floating_point(input: Tensor) -> bool:
    """Whether its dtype is a real floating-point one."""
    return input.dtype.is_floating_point


@public(method=False)
def is_complex(input: Tensor) -> bool:
    """Whether its dtype is complex."""
    return input.dtype.is_complex


@public()
def is_signed(input: Tensor) -> bool:
    """Whether its dtype holds values below zero."""
    return input.dtype.is_signed


@public()
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    return input._array.shape == other._array.shape


@public()
def is_distributed(input: Tensor) -> bool:
    """Whether it is spread over several devices: never."""
    return False


@public()
def get_device(input: Tensor) -> int:
    """The number of its GPU; -1 on the host."""
    index = input.device.index
    return -1 if index is None else index


@public(method=False)
def is_storage(obj: Any) -> bool:
    """Whether `obj` is a storage."""
    return isinstance(obj, (_storage.UntypedStorage, _storage.TypedStorage))


@public(function=False)
def untyped_storage(self: Tensor) -> Any:
    """The bytes of the memory that it lies in, shared with all its views."""
    found = _storage.storage_and_offset(self._array)
    if found is None:
        raise RuntimeError("a tensor with negative strides has no storage; clone it first")
    return found[0]


@public(function=False)
def storage(self: Tensor) -> Any:
    """The memory that it lies in, with the dtype of its elements."""
    return _storage.TypedStorage(untyped_storage(self), self.dtype)


@public(function=False)
def is_pinned(self: Tensor) -> bool:
    """Whether the memory is locked for copies to a GPU: never."""
    return False


@public(function=False)
def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """Itself: memory is pageable here. Raises: RuntimeError without a GPU."""
    if not backend.gpu_count():
        raise RuntimeError("Cannot access accelerator device when none is available.")
    return self


@public(function=False)
def is_shared(self: Tensor) -> bool:
    """Whether other processes see the memory: on a GPU they can, and after `share_memory_`."""
    memory = self._array
    while getattr(memory, "base", None) is not None:
        memory = memory.base
    return self.is_cuda or isinstance(getattr(memory, "obj", memory), mmap.mmap)


@public(function=False)
def share_memory_(self: Tensor) -> Tensor:
    """Itself, moved to memory that processes forked from now on see too."""
    if not is_shared(self):
        array = self._array
        pages = mmap.mmap(-1, max(array.nbytes, 1))
        shared = np.frombuffer(pages, array.dtype, array.size).reshape(array.shape)
        shared[...] = array
        self._array = shared
    return self


@public(function=False)
def is_set_to(self: Tensor, tensor: Tensor) -> bool:
    """Whether both are the same elements in the same memory."""
    a, b = self._array, tensor._array
    same_form = a.shape == b.shape and a.strides == b.strides and a.dtype == b.dtype
    return same_form and backend.address(a) == backend.address(b)


@public(function=False)
def dim_order(self: Tensor) -> tuple[int, ...]:
    """Its dimensions, those with the widest steps in memory first."""
    steps = self._array.strides
    return tuple(sorted(range(len(steps)), key=lambda dim: -steps[dim]))


@public(function=False)
def new(self: Tensor, *args: Any) -> Tensor:
    """A tensor of its dtype, from sizes (uninitialised) or from a sequence."""
    return legacy_tensor(args, self.dtype)


@public(function=False)
def to_dense(self: Tensor, dtype: Any = None) -> Tensor:
    """Itself: there are no sparse tensors."""
    return self if dtype is None else self.to(dtype)


def _layout(self: Tensor) -> layout:
    """How the elements are stored: strided."""
    return strided


def _is_cpu(self: Tensor) -> bool:
    """Whether it lives on the host."""
    return isinstance(self._array, np.ndarray)


def _retains_grad(self: Tensor) -> bool:
    """Whether backward keeps the gradient of this non-leaf."""
    return bool(retains(self))


def _grad_dtype(self: Tensor) -> dtypes.dtype:
    """The dtype of its gradient."""
    return self.dtype


def _never(self: Tensor) -> bool:
    """False: there are no such tensors here."""
    return False


PROPERTIES = {name: property(_never) for name in NEVER} | {
    "layout": property(_layout),
    "is_cpu": property(_is_cpu),
    "retains_grad": property(_retains_grad),
    "grad_dtype": property(_grad_dtype),
}
