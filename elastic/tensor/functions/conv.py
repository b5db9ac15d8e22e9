"""Convolutions: what PyTorch checks before the op computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor
from elastic.tensor.ops.conv import transposed_size

Number = int | Sequence[int]  # one for all dimensions, or one each


@public(method=False)
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Number = 1,
    padding: Number | str = 0,
    dilation: Number = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of signals with kernels.

    Shapes: input (N, C, L) or (C, L), weight (out, C / groups, K), bias (out).
    """
    return _forward(1, input, weight, bias, stride, padding, dilation, groups)


@public(method=False)
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Number = 1,
    padding: Number | str = 0,
    dilation: Number = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of images with kernels.

    Shapes: input (N, C, H, W) or (C, H, W), weight (out, C / groups, KH, KW), bias (out).
    """
    return _forward(2, input, weight, bias, stride, padding, dilation, groups)


@public(method=False)
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Number = 1,
    padding: Number | str = 0,
    dilation: Number = 1,
    groups: int = 1,
) -> Tensor:
    """The cross-correlation of volumes with kernels.

    Shapes: input (N, C, D, H, W) or (C, D, H, W), weight (out, C / groups, KD, KH, KW), bias (out).
    """
    return _forward(3, input, weight, bias, stride, padding, dilation, groups)


@public(method=False)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Number = 1,
    padding: Number = 0,
    output_padding: Number = 0,
    groups: int = 1,
    dilation: Number = 1,
) -> Tensor:
    """What a convolution of signals sends back to its input, as a layer of its own.

    Shapes: input (N, C, L) or (C, L), weight (C, out / groups, K), bias (out).
    """
    return _transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@public(method=False)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Number = 1,
    padding: Number = 0,
    output_padding: Number = 0,
    groups: int = 1,
    dilation: Number = 1,
) -> Tensor:
    """What a convolution of images sends back to its input, as a layer of its own.

    Shapes: input (N, C, H, W) or (C, H, W), weight (C, out / groups, KH, KW), bias (out).
    """
    return _transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@public(method=False)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Number = 1,
    padding: Number = 0,
    output_padding: Number = 0,
    groups: int = 1,
    dilation: Number = 1,
) -> Tensor:
    """What a convolution of volumes sends back to its input, as a layer of its own.

    Shapes: input (N, C, D, H, W) or (C, D, H, W), weight (C, out / groups, KD, KH, KW), bias (out).
    """
    return _transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


@public(method=False)
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """`conv1d` with time first and channels last.

    Shapes: input (T, N, C), weight (K, C, out), bias (out), result (T, N, out).
    """
    turned = F.permute(input, (1, 2, 0)), F.permute(weight, (2, 1, 0))
    return F.permute(conv1d(*turned, bias, padding=pad), (2, 0, 1))


@public(method=False)
def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Number,
    padding: Number,
    dilation: Number,
    transposed: bool,
    output_padding: Number,
    groups: int,
) -> Tensor:
    """A convolution or a transposed one, in as many dimensions as the weight has beyond two.

    Raises: RuntimeError when sizes do not go together.
    """
    nd = weight.dim() - 2
    if nd < 1:
        raise RuntimeError("weight should have at least three dimensions")
    given = {"stride": stride, "padding": padding, "dilation": dilation}
    place = tuple(_expanded(name, value, nd) for name, value in given.items())
    more = _expanded("output_padding", output_padding, nd)
    _check_numbers(place, more, groups)
    _check_shapes(input, weight, bias, transposed, groups)
    _check_output(input, weight, place, transposed, more)
    _check_dtypes(input, weight, bias)
    return F.convolution(input, weight, bias, *place, transposed, more, groups)


def _forward(
    nd: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Number,
    padding: Number | str,
    dilation: Number,
    groups: int,
) -> Tensor:
    batch = _batched(f"conv{nd}d", nd, input)
    if isinstance(padding, str):
        batch, padding = _padded_by_name(batch, weight, stride, padding, dilation)
    place: Any = (stride, padding, dilation)
    places = [_each(value, nd) for value in place]
    out = convolution(batch, weight, bias, *places, False, (0,) * nd, groups)
    return out if batch.dim() == input.dim() else out.squeeze(0)


def _transposed(
    nd: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Number,
    padding: Number,
    output_padding: Number,
    groups: int,
    dilation: Number,
) -> Tensor:
    batch = _batched(f"conv_transpose{nd}d", nd, input)
    places = [_each(value, nd) for value in (stride, padding, dilation)]
    out = convolution(batch, weight, bias, *places, True, _each(output_padding, nd), groups)
    return out if batch.dim() == input.dim() else out.squeeze(0)


def _batched(name: str, nd: int, input: Tensor) -> Tensor:
    """The input with its batch dimension. Raises: RuntimeError for another number of dimensions."""
    if input.dim() not in (nd + 1, nd + 2):
        raise RuntimeError(
            f"Expected {nd + 1}D (unbatched) or {nd + 2}D (batched) input to {name}, "
            f"but got input of size: {list(input.shape)}"
        )
    return input if input.dim() == nd + 2 else input.unsqueeze(0)


def _each(value: Number, nd: int) -> Any:
    return (value,) * nd if isinstance(value, int) else tuple(value)


def _expanded(name: str, given: Number, nd: int) -> tuple:
    value = _each(given, nd)
    value = value * nd if len(value) == 1 else value
    if len(value) != nd:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {nd} values to match the "
            f"convolution dimensions, but got {name}={list(value)}"
        )
    return value


def _padded_by_name(
    input: Tensor, weight: Tensor, stride: Number, padding: str, dilation: Number
) -> tuple[Tensor, Any]:
    """The input and the numbers that "same" or "valid" stand for."""
    nd = input.dim() - 2
    if padding == "valid":
        return input, 0
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in _each(stride, nd)):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    if input.dim() != weight.dim():
        raise RuntimeError(
            f"Expected {weight.dim()}-dimensional input for {weight.dim()}-dimensional weight"
            f"{list(weight.shape)}, but got {input.dim()}-dimensional input of size "
            f"{list(input.shape)} instead"
        )
    spans = _expanded("dilation", dilation, nd)
    totals = [d * (k - 1) for d, k in zip(spans, weight.shape[2:], strict=True)]
    if any(total % 2 for total in totals):  # one cell more behind than before
        ends = [n for total in reversed(totals) for n in (0, total % 2)]
        input = F.constant_pad_nd(input, ends)
    return input, tuple(total // 2 for total in totals)


def _check_numbers(place: tuple, more: tuple, groups: int) -> None:
    stride, padding, dilation = place
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if any(n < 0 for n in padding):
        raise RuntimeError("negative padding is not supported")
    if any(n < 0 for n in more):
        raise RuntimeError("negative output_padding is not supported")
    if any(n <= 0 for n in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(n < 0 for n in dilation):
        raise RuntimeError("dilation should be greater than zero")
    if 0 in dilation:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")


def _check_shapes(
    input: Tensor, weight: Tensor, bias: Tensor | None, transposed: bool, groups: int
) -> None:
    size = list(weight.shape)
    if input.dim() != weight.dim():
        raise RuntimeError(
            f"Expected {len(size)}-dimensional input for {len(size)}-dimensional weight {size}, "
            f"but got {input.dim()}-dimensional input of size {list(input.shape)} instead"
        )
    if size[0] < groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, "
            f"but got weight of size {size} instead"
        )
    if size[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size [{size}] instead"
        )
    told = f"Given {'transposed=1' if transposed else f'groups={groups}'}, weight of size {size}, "
    channels, outputs = size[1] * groups, size[0]
    if transposed:
        channels, outputs = outputs, channels
    if input.shape[1] != channels:
        raise RuntimeError(
            f"{told}expected input{list(input.shape)} to have {channels} channels, "
            f"but got {input.shape[1]} channels instead"
        )
    if bias is not None and tuple(bias.shape) != (outputs,):
        told = told if transposed else f"Given weight of size {size}, "
        raise RuntimeError(
            f"{told}expected bias to be 1-dimensional with {outputs} elements, "
            f"but got bias of size {list(bias.shape)} instead"
        )


def _check_output(
    input: Tensor, weight: Tensor, place: tuple, transposed: bool, more: tuple
) -> None:
    _, padding, dilation = place
    size, kernel = input.shape[2:], weight.shape[2:]
    if transposed:
        _check_transposed_output(size, kernel, place, more)
        return
    grown = [n + 2 * p for n, p in zip(size, padding, strict=True)]
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if any(n < span for n, span in zip(grown, spans, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({_by(grown)}). Kernel size: "
            f"({_by(spans)}). Kernel size can't be greater than actual input size"
        )
    if 0 in kernel:
        told = _named("kernel", kernel)
        raise RuntimeError(f"kernel size should be greater than zero, but got {told}")


def _check_transposed_output(size: Any, kernel: Any, place: tuple, more: tuple) -> None:
    stride, _, dilation = place
    if any(m >= s and m >= d for m, s, d in zip(more, stride, dilation, strict=True)):
        told = {"output_padding": more, "stride": stride, "dilation": dilation}
        raise RuntimeError(
            "output padding must be smaller than either stride or dilation, but got "
            + " ".join(_named(name, value) for name, value in told.items())
        )
    out = transposed_size(size, kernel, place, more)
    if any(n < 1 for n in out):
        raise RuntimeError(
            f"Given input size per channel: ({_by(size)}). Calculated output size per channel: "
            f"({_by(out)}). Output size is too small"
        )


def _by(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


def _named(name: str, value: Sequence[int]) -> str:
    axes = ("depth", "height", "width")[-len(value) :]
    return " ".join(f"{name}_{axis}: {n}" for axis, n in zip(axes, value, strict=True))


def _check_dtypes(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """All three must have one dtype: a convolution does not promote."""
    if bias is not None and bias.dtype is not input.dtype:
        raise RuntimeError(
            f"Input type ({_c_name(input)}) and bias type ({_c_name(bias)}) should be the same"
        )
    if weight.dtype is not input.dtype:
        raise RuntimeError(
            f"expected scalar type {input.dtype.title} but found {weight.dtype.title}"
        )


# What C++ calls the types whose names are others in PyTorch
_C_NAMES = {
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
    "int32": "int",
    "int64": "long int",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}


def _c_name(t: Tensor) -> str:
    return _C_NAMES.get(t.dtype.name, t.dtype.name)
