"""Complex numbers: functions that leave real tensors alone, or refuse them."""

from __future__ import annotations

from typing import Any

from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor

_PARTS = {"float16", "float32", "float64"}


@public()
def conj(input: Tensor) -> Tensor:
    """The complex conjugates; a real tensor itself."""
    return F.conj(input) if input.is_complex() else input


@public(inplace=True, out=True)
def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugates; a real tensor itself."""
    return F.conj_physical(input) if input.is_complex() else input


@public()
def resolve_conj(input: Tensor) -> Tensor:
    """`input` itself: conjugates are never pending here."""
    return input


@public()
def resolve_neg(input: Tensor) -> Tensor:
    """`input` itself: negations are never pending here."""
    return input


@public()
def is_conj(input: Tensor) -> bool:
    """Whether a conjugation is pending: never."""
    return False


@public()
def is_neg(input: Tensor) -> bool:
    """Whether a negation is pending: never."""
    return False


@public(method=False)
def real(input: Tensor) -> Tensor:
    """The real parts, as a view; a real tensor itself."""
    return F.real(input) if input.is_complex() else input


@public(method=False)
def imag(input: Tensor) -> Tensor:
    """The imaginary parts, as a view. Raises: RuntimeError for a real tensor."""
    if not input.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return F.imag(input)


@public(method=False)
def view_as_real(input: Tensor) -> Tensor:
    """A view with the real and imaginary parts along a new last dimension."""
    if not input.is_complex():
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return F.view_as_real(input)


@public(method=False)
def view_as_complex(input: Tensor) -> Tensor:
    """A complex view of pairs along the last dimension. Raises: RuntimeError for other layouts."""
    if input.dtype.name not in _PARTS:
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a "
            f"tensor of scalar type: {input.dtype.title}"
        )
    shape, strides = input.shape, input.stride()
    if not shape:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if strides[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(step % 2 for step in strides[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    return F.view_as_complex(input)


@public(method=False)
def complex(real: Tensor, imag: Tensor, *, out: Any = None) -> Tensor:
    """real + 1j * imag. Raises: RuntimeError unless both are of one floating dtype."""
    _check_parts(real, imag)
    if out is not None and out.dtype is not real.dtype.to_complex():
        raise RuntimeError(
            f"Expected object of scalar type {real.dtype.to_complex().title} but got scalar type "
            f"{out.dtype.title} for argument 'out'"
        )
    return F.complex(real, imag, out=out)


@public(method=False, out=True)
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """Complex numbers of these lengths and angles. Raises: RuntimeError as `complex`."""
    _check_parts(abs, angle)
    return F.polar(abs, angle)


def _check_parts(first: Any, second: Any) -> None:
    if first.dtype.name not in _PARTS or second.dtype.name not in _PARTS:
        raise RuntimeError(
            "Expected both inputs to be Half, Float or Double tensors but got "
            f"{first.dtype.title} and {second.dtype.title}"
        )
    if first.dtype is not second.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {first.dtype.title} but got scalar type "
            f"{second.dtype.title} for second argument"
        )
