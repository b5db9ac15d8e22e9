"""A stand-in for cupy on machines without a GPU: numpy behind a wall.

Its arrays live on the host, but like cupy's they refuse to become numpy arrays by themselves and
to be mixed with them. So what runs with it keeps host and device apart; how fast or how exact a GPU
is, it cannot tell. `installed()` puts it in cupy's place for a test.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# Names of numpy that cupy does not have, or that would give values on the host
ABSENT = {"errstate", "ndindex", "nditer", "frompyfunc", "seterr", "matrix", "memmap", "save"}
ABSENT |= {"testing", "char", "ma", "longdouble", "vecdot", "matvec", "vecmat", "float128"}
HOST = {"broadcast_shapes", "result_type", "promote_types", "can_cast", "dtype", "finfo", "iinfo"}
HOST |= {"isscalar", "ndim_of", "issubdtype", "min_scalar_type", "index_exp", "s_"}


class ndarray:
    """An array "on the GPU"."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, shape: Any = (), dtype: Any = float, memptr: Any = None, strides: Any = None
    ):
        memory = None if memptr is None else memptr.memory
        offset = 0 if memptr is None else memptr.offset
        self._host = np.ndarray(shape, dtype, memory, offset, strides)
        self._owner: ndarray | None = None

    @classmethod
    def of(cls, host: np.ndarray, owner: ndarray | None = None) -> ndarray:
        """An array on the memory of `host`, a view of `owner`."""
        array = cls.__new__(cls)
        array._host, array._owner = host, owner
        return array

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    strides = property(lambda self: self._host.strides)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: wrapped(self._host.T, self))
    real = property(
        lambda self: wrapped(self._host.real, self),
        lambda self, value: setattr(self._host, "real", unwrapped(value)),
    )
    imag = property(
        lambda self: wrapped(self._host.imag, self),
        lambda self, value: setattr(self._host, "imag", unwrapped(value)),
    )
    base = property(lambda self: self._owner)
    device = property(lambda self: types.SimpleNamespace(id=0))
    data = property(lambda self: Pointer(self._host, 0))

    def get(self) -> np.ndarray:
        """A copy on the host."""
        return self._host.copy()

    def item(self, *place: Any) -> Any:
        """One element as a Python number."""
        return self._host.item(*place)

    tolist = property(lambda self: self._host.tolist)

    def __array__(self, *args: Any, **named: Any) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        return called(getattr(ufunc, method))(*inputs, **named)

    def __array_function__(self, function: Any, kinds: Any, args: Any, named: Any) -> Any:
        return called(function)(*args, **named)

    def __getitem__(self, index: Any) -> Any:
        return wrapped(self._host[unwrapped(index)], self)

    def __setitem__(self, index: Any, value: Any) -> None:
        is_number = isinstance(value, np.ndarray) and not value.ndim
        self._host[unwrapped(index)] = value if is_number else unwrapped(value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self._host, name)
        return called(method, self) if callable(method) else method

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator:
        return (self[k] for k in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __complex__(self) -> complex:
        return complex(self._host)

    def __index__(self) -> int:
        return self._host.__index__()

    def __repr__(self) -> str:
        return repr(self._host)


def _operator(name: str) -> Callable:
    def call(self: ndarray, *others: Any) -> Any:
        if any(isinstance(each, np.ndarray) for each in others):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        result = getattr(self._host, name)(*[unwrapped(each) for each in others])
        if name.startswith("__i") and name != "__invert__":
            return self
        return result if result is NotImplemented else wrapped(result, self)

    return call


_OPERATORS = """
    add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow matmul rmatmul
    and rand or ror xor rxor lshift rlshift rshift rrshift neg pos abs invert eq ne lt le gt ge
    iadd isub imul itruediv ifloordiv imod ipow iand ior ixor
"""
for _name in str.split(_OPERATORS):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


class Pointer:
    """Where an array begins."""

    def __init__(self, host: np.ndarray, offset: int):
        self.memory, self.offset = host, offset

    @property
    def ptr(self) -> int:
        """The address."""
        return self.memory.ctypes.data + self.offset

    def __add__(self, offset: int) -> Pointer:
        return Pointer(self.memory, self.offset + offset)


def unwrapped(value: Any) -> Any:
    """`value` for numpy. Raises: TypeError for a numpy array, which is not on the device."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)([unwrapped(each) for each in value])
    return value


def wrapped(value: Any, source: ndarray | None = None) -> Any:
    """`value` as cupy would return it: arrays on the device, also for scalars."""
    if isinstance(value, np.ndarray):
        shares = source is not None and np.may_share_memory(value, source._host)
        return ndarray.of(value, _owner_of(source) if shares else None)
    if isinstance(value, np.generic):
        return ndarray.of(np.asarray(value))
    if isinstance(value, (list, tuple)):
        parts = [wrapped(each, source) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def _owner_of(array: Any) -> ndarray:
    return array if array._owner is None else array._owner


def called(function: Callable, source: ndarray | None = None) -> Callable:
    """numpy's `function` for arrays of the device."""

    def call(*args: Any, **named: Any) -> Any:
        first = next((each for each in args if isinstance(each, ndarray)), source)
        named = {name: unwrapped(each) for name, each in named.items()}
        return wrapped(function(*[unwrapped(each) for each in args], **named), first)

    call.__name__ = getattr(function, "__name__", "call")
    return call


class Mirror(types.ModuleType):
    """A module whose functions are numpy's, or another's, for arrays of the device."""

    def __init__(self, name: str, source: Any, **own: Any):
        super().__init__(name)
        self.__dict__["_source"] = source
        self.__dict__.update(own)

    def __getattr__(self, name: str) -> Any:
        if name in ABSENT or name.startswith("__"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        found = getattr(self._source, name)
        if isinstance(found, types.ModuleType):
            return Mirror(f"{self.__name__}.{name}", found)
        if name in HOST or isinstance(found, type) or not callable(found):
            return found
        return _Ufunc(found) if isinstance(found, np.ufunc) else called(found)


class _Ufunc:
    """A ufunc for arrays of the device."""

    def __init__(self, ufunc: np.ufunc):
        self._ufunc, self.__name__ = ufunc, ufunc.__name__

    def __call__(self, *args: Any, **named: Any) -> Any:
        return called(self._ufunc)(*args, **named)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ufunc, name)
        return called(found) if callable(found) else found


def _array(value: Any, dtype: Any = None, copy: bool | None = True, **named: Any) -> ndarray:
    host = value._host if isinstance(value, ndarray) else np.asarray(_to_host(value))
    made = np.array(host, dtype=dtype, copy=copy, **named)
    same = isinstance(value, ndarray) and np.may_share_memory(made, host)
    return ndarray.of(made, _owner_of(value) if same else None)


def _to_host(value: Any) -> Any:
    if isinstance(value, ndarray):
        return value._host
    return [_to_host(each) for each in value] if isinstance(value, (list, tuple)) else value


def _asarray(value: Any, dtype: Any = None, **named: Any) -> ndarray:
    if isinstance(value, ndarray) and (dtype is None or value.dtype == dtype):
        return value
    return _array(value, dtype, **named)


def _scatter_add(array: ndarray, index: Any, values: Any) -> None:
    np.add.at(array._host, unwrapped(index), unwrapped(values))


def _runtime() -> Any:
    """What cupy asks the driver."""
    current = [0]
    about = {"name": b"Stand-in", "major": 9, "minor": 0, "multiProcessorCount": 4}
    return types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        deviceSynchronize=lambda: None,
        getDevice=lambda: current[0],
        setDevice=lambda number: current.__setitem__(0, number),
        getDeviceProperties=lambda number: about | {"totalGlobalMem": 2048},
        memGetInfo=lambda: (1024, 2048),
    )


def modules() -> dict[str, types.ModuleType]:
    """cupy and its neighbours, by name."""
    cuda = types.SimpleNamespace(runtime=_runtime())
    pool = types.SimpleNamespace(
        used_bytes=lambda: 512, total_bytes=lambda: 1024, free_all_blocks=lambda: None
    )
    own = {"ndarray": ndarray, "cuda": cuda, "array": _array, "asarray": _asarray}
    cupy = Mirror("cupy", np, get_default_memory_pool=lambda: pool, **own)
    cupy.ascontiguousarray = lambda a, dtype=None: (  # type: ignore[attr-defined]
        a if a.flags.c_contiguous and dtype in (None, a.dtype) else _array(a, dtype, order="C")
    )
    parts = {
        f"cupyx.scipy.{name}": Mirror(
            f"cupyx.scipy.{name}", importlib.import_module(f"scipy.{name}")
        )
        for name in ("fft", "linalg", "special")
    }
    cupyx = Mirror("cupyx", types.SimpleNamespace(), scatter_add=_scatter_add)
    return {"cupy": cupy, "cupyx": cupyx, "cupyx.scipy": types.ModuleType("cupyx.scipy")} | parts


@contextmanager
def installed() -> Iterator[None]:
    """The stand-in in cupy's place."""
    from elastic.tensor import backend

    before = {name: sys.modules.get(name) for name in modules()}
    sys.modules.update(modules())
    backend.gpu_count.cache_clear()
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
        backend.gpu_count.cache_clear()
