"""Small values that describe a tensor: `Size`, `device`, and how it lies in memory."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any


class Size(tuple):
    """The shape of a tensor: a tuple of ints that prints like PyTorch's."""

    __slots__ = ()

    def __new__(cls, sizes: Iterable[int] = ()) -> Size:
        size = super().__new__(cls, sizes)
        for k, each in enumerate(size):
            if not hasattr(each, "__index__"):
                raise TypeError(
                    f"torch.Size() takes an iterable of 'int' (item {k} is '{type(each).__name__}')"
                )
        return size

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    def __getitem__(self, index: Any) -> Any:
        item = super().__getitem__(index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other: Iterable[int]) -> Size:  # type: ignore[override]
        return Size((*self, *other))

    def __radd__(self, other: Iterable[int]) -> Size:
        return Size((*other, *self))

    def __mul__(self, times: Any) -> Size:
        return Size(tuple(self) * times)

    __rmul__ = __mul__


# All that PyTorch knows; tensors here live on cpu and cuda
_KINDS = (
    "cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, "
    "mps, meta, hpu, mtia, privateuseone"
)


class device:
    """Where an array lives: `device("cpu")`, `device("cuda:1")` or `device("cuda", 1)`.

    As a context manager it is where new tensors are put. Raises: RuntimeError for unknown names.
    """

    __slots__ = ("_before", "index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None):
        if isinstance(type, int):
            type, index = "cuda", type
        if isinstance(type, device):
            type, index = type.type, type.index
        kind, colon, number = type.partition(":")
        if kind not in _KINDS.split(", "):
            raise RuntimeError(
                f"Expected one of {_KINDS} device type at start of device string: {kind}"
            )
        if colon and not number.isdigit():
            raise RuntimeError(f"Invalid device string: '{type}'")
        if index is not None and not isinstance(index, int):
            raise TypeError(
                "device(): argument 'index' (position 2) must be int, not "
                f"{index.__class__.__name__}"
            )
        self.type = kind
        self.index = int(number) if number else index
        self._before: list[Any] = []

    def __enter__(self) -> device:
        self._before.append(default_device[0])
        default_device[0] = self
        return self

    def __exit__(self, *exc: object) -> None:
        default_device[0] = self._before.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple:
        return device, (self.type, self.index)

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        number = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{number})"


default_device: list[device | None] = [None]  # where makers put a tensor unless told


class _Constant:
    """A named value of which there is one object."""

    __slots__ = ("_name",)

    def __init__(self, name: str):
        self._name = name

    def __repr__(self) -> str:
        return f"torch.{self._name}"

    def __reduce__(self) -> str:
        return self._name


class layout(_Constant):
    """How elements are stored: tensors here are always `strided`, the others only have names."""


class memory_format(_Constant):
    """The order of dimensions in memory."""


strided = layout("strided")
sparse_coo = layout("sparse_coo")
sparse_csr = layout("sparse_csr")
sparse_csc = layout("sparse_csc")
sparse_bsr = layout("sparse_bsr")
sparse_bsc = layout("sparse_bsc")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
