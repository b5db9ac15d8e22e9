"""The Tensor: an array, its place in the graph, and a version that in-place writes count up.

Methods that compute are bound by `_bind.py`, straight from the ops; here is what a tensor is.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from elastic.tensor import backend, dtypes
from elastic.tensor._errors import dimension_error
from elastic.tensor._grad_mode import InferenceCell, enable_grad, mode
from elastic.tensor._types import Size, device

_new = object.__new__


class View:
    """How a tensor that shares memory came from its base: replayed when that has a new history."""

    __slots__ = ("base", "path", "seen", "tracked")

    def __init__(self, base: Tensor, path: tuple, tracked: bool):
        self.base = base
        self.path = path  # ((op, arguments after the first), ...)
        self.seen = base._node
        self.tracked = tracked  # False when made under no_grad


class Tensor:
    """A multi-dimensional array that can remember how it was computed."""

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_array",  # always an ndarray, also for 0-d
        "_cell",  # [version], shared by all tensors that share the memory
        "_grad",
        "_hooks",
        "_node",  # what computed it; None for a leaf
        "_requires_grad",
        "_view",
    )
    __array_priority__ = 1000
    _order: int | None = None  # a leaf ends every path of backward: see _autograd
    __hash__ = object.__hash__

    _array: Any
    _cell: list[int]
    _grad: Tensor | None
    _hooks: Any
    _node: Any
    _requires_grad: bool
    _view: View | None

    if TYPE_CHECKING:  # bound by _bind.py

        def __getattr__(self, name: str) -> Any: ...
        def _binary(self, other: Any) -> Tensor: ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _binary
        __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _binary
        __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __and__ = __or__ = __xor__ = _binary
        __lt__ = __le__ = __gt__ = __ge__ = _binary
        __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = _binary

        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...

    def __new__(cls, *args: Any, device: Any = None) -> Any:
        # PyTorch's legacy constructor: sizes give an uninitialised tensor, a sequence gives data.
        from elastic.tensor._creation import legacy_tensor

        return cls._make_subclass(cls, legacy_tensor(args))

    @staticmethod
    def _make_subclass(cls: type, data: Tensor, require_grad: bool = False) -> Any:
        """A leaf of class `cls` on the memory of `data`."""
        t = wrap(data._array, cls)
        t._cell = data._cell
        return t.requires_grad_() if require_grad else t

    # What it is

    @property
    def shape(self) -> Size:
        """The sizes of its dimensions."""
        return Size(self._array.shape)

    @property
    def dtype(self) -> dtypes.dtype:
        """The kind of its elements."""
        return dtypes.FROM_NUMPY[self._array.dtype]

    @property
    def device(self) -> device:
        """Where its elements live."""
        return backend.device_of(self._array)

    @property
    def ndim(self) -> int:
        """The number of its dimensions."""
        return self._array.ndim

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._array.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._array.nbytes

    @property
    def is_cuda(self) -> bool:
        """Whether it lives on a GPU."""
        return not isinstance(self._array, np.ndarray)

    def size(self, dim: int | None = None) -> Any:
        """Its shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        return self._array.shape[_checked(dim, self._array.ndim)]

    def dim(self) -> int:
        """The number of its dimensions."""
        return self._array.ndim

    def numel(self) -> int:
        """The number of its elements."""
        return self._array.size

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._array.itemsize

    nelement, ndimension = numel, dim

    def stride(self, dim: int | None = None) -> Any:
        """Elements from one index to the next: of every dimension, or of one."""
        strides = tuple(s // self._array.itemsize for s in self._array.strides)
        return strides if dim is None else strides[_checked(dim, len(strides))]

    def data_ptr(self) -> int:
        """The address of its first element."""
        array = self._array
        return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr

    def is_floating_point(self) -> bool:
        """Whether its dtype is a real floating-point one."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether its dtype is complex."""
        return self.dtype.is_complex

    # Its place in the graph

    @property
    def requires_grad(self) -> bool:
        """Whether backward computes a gradient for it."""
        return requires(self)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Itself, now a leaf that wants a gradient (or not)."""
        if self._node is not None:
            if not requires_grad:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to "
                    "use a computed variable in a subgraph that doesn't require differentiation "
                    "use var_no_grad = var.detach()."
                )
            return self
        if requires_grad and dtypes.rank(self.dtype) < 2:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if requires_grad and self.is_inference() and not mode.inference:
            raise RuntimeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not "
                "allowed."
            )
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation computed it."""
        requires(self)
        return self._node is None

    @property
    def grad_fn(self) -> Any:
        """The node that computed it, or None."""
        requires(self)
        return self._node and self._node.source()

    @property
    def output_nr(self) -> int:
        """Which output of its node it is."""
        return 0 if self._node is None else self._node.number

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward has added up, or None."""
        if self._grad is None and self._node is not None and not retains(self):
            warnings.warn(_NON_LEAF_GRAD, UserWarning, stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            _check_grad(self, value)
        self._grad = value

    @property
    def _version(self) -> int:
        if self.is_inference():
            raise RuntimeError("Inference tensors do not track version counter.")
        return self._cell[0]

    def is_inference(self) -> bool:
        """Whether it was made in inference mode."""
        return self._cell.__class__ is InferenceCell

    @property
    def _base(self) -> Tensor | None:
        return None if self._view is None else self._view.base

    def detach(self) -> Tensor:
        """A tensor on the same memory, outside the graph."""
        t = wrap(self._array)
        t._cell = self._cell
        return t

    def detach_(self) -> Tensor:
        """Itself, taken out of the graph."""
        if self._view is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._node, self._requires_grad = None, False
        return self

    @property
    def data(self) -> Tensor:
        """A tensor on the same memory whose writes backward does not notice."""
        return wrap(self._array)

    @data.setter
    def data(self, value: Tensor) -> None:
        self._array = value._array

    def __len__(self) -> int:
        if not self._array.ndim:
            raise TypeError("len() of a 0-d tensor")
        return len(self._array)

    def __repr__(self) -> str:
        from elastic.tensor._print import tensor_repr

        return tensor_repr(self)


def wrap(array: Any, cls: type = Tensor) -> Any:
    """A new leaf tensor of class `cls` on `array`."""
    t: Any = _new(cls)
    t._array = array
    t._cell = [0]
    t._grad = t._hooks = t._node = t._view = None
    t._requires_grad = False
    return t


def _wrap_in_inference(array: Any, cls: type = Tensor) -> Any:
    # What `wrap` is while some thread is in inference mode: see `exchange_makers`.
    t: Any = _new(cls)
    t._array = array
    t._cell = InferenceCell((0,)) if mode.inference else [0]
    t._grad = t._hooks = t._node = t._view = None
    t._requires_grad = False
    return t


def exchange_makers() -> None:
    """Gives `wrap` the code of `_wrap_in_inference`, or takes it back.

    All modules hold `wrap` itself, and outside the mode it must not ask for it: that would cost
    every op.
    """
    twin = _wrap_in_inference
    wrap.__code__, twin.__code__ = twin.__code__, wrap.__code__


def requires(t: Tensor) -> bool:
    """Whether `t` needs a gradient, after a view has followed its base's history."""
    view = t._view
    if view is not None and view.tracked and view.base._node is not view.seen:
        _replay(t, view)
    return t._requires_grad


def _replay(t: Tensor, view: View) -> None:
    fresh = view.base
    with enable_grad():
        for op, args in view.path:
            fresh = op.call(fresh, *args)
    t._node, t._requires_grad, view.seen = fresh._node, fresh._requires_grad, view.base._node


def _checked(dim: int, ndim: int) -> int:
    """`dim`. Raises: IndexError when there is no such dimension."""
    if not -ndim <= dim < ndim:
        raise dimension_error(dim, ndim)
    return dim


def retains(t: Tensor) -> bool:
    """Whether backward leaves a gradient on the non-leaf `t`."""
    return t._node is not None and t._node.retains(t)


def _check_grad(t: Tensor, grad: Any) -> None:
    if not isinstance(grad, Tensor):
        raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(grad)}")
    if grad._array.shape != t._array.shape:
        raise RuntimeError(
            "The tensor has a different shape than its gradient: assigned grad has data of a "
            f"different size ({list(grad.shape)} for {list(t.shape)})"
        )


_NON_LEAF_GRAD = (
    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
    "attribute won't be populated during autograd.backward(). If you indeed want the .grad field "
    "to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. If you "
    "access the non-leaf Tensor by mistake, make sure you access the leaf Tensor instead. See "
    "github.com/pytorch/pytorch/pull/30531 for more informations."
)
