"""PyTorch's old types of tensors: `torch.FloatTensor([1, 2])`, `isinstance(x, torch.IntTensor)`."""

from __future__ import annotations

from typing import Any

from elastic.tensor import dtypes
from elastic.tensor._creation import legacy_tensor
from elastic.tensor._tensor import Tensor


class _TensorType(type):
    """The type of such types: they make tensors of one dtype, and recognise them."""

    dtype: dtypes.dtype

    def __call__(cls, *args: Any) -> Any:
        return legacy_tensor(args, cls.dtype)

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, Tensor) and value.dtype is cls.dtype and not value.is_cuda

    def __repr__(cls) -> str:
        return f"<class 'torch.{cls.__name__}'>"


_WITHOUT = {"UInt16", "UInt32", "UInt64", "ComplexFloat", "ComplexDouble"}
TYPES = {
    f"{d.title}Tensor": _TensorType(
        f"{d.title}Tensor", (), {"dtype": d, "__doc__": f"Tensors of {d} on the host."}
    )
    for d in dtypes.ALL
    if d.title not in _WITHOUT
}
globals().update(TYPES)
