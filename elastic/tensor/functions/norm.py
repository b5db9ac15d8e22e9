"""Normalisations: what PyTorch checks before the op computes them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from elastic.tensor import backend, dtypes
from elastic.tensor._grad_mode import mode, no_grad
from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor.ops.norm import moments_of


@public(method=False)
def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """The input, normalised over all dimensions but the channels (dimension 1).

    While training, mean and variance are the batch's and the running ones move towards them, in
    place. Else the running ones are used.
    """
    return native_batch_norm(
        input, weight, bias, running_mean, running_var, training, momentum, eps
    )[0]


@public(method=False)
def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`batch_norm`, with the mean and 1 / deviation of each channel (empty unless training)."""
    channels = input.shape[1] if input.dim() > 1 else 0
    given = {"weight": weight, "bias": bias}
    given = {"running_mean": running_mean, "running_var": running_var} | given
    _check_channels(channels, given, training)
    _check_dtypes("batch_norm", input, given)
    shape = (channels, *(1,) * (input.dim() - 2))
    factors = [None if each is None else F.reshape(each, shape) for each in (weight, bias)]
    if training:
        dims = tuple(d for d in range(-input.dim(), 0) if d != 1 - input.dim())
        out, mean, var, rstd = _normalized(input, factors, dims, eps)
        count = max(prod(input.shape) // max(channels, 1), 1)
        if input._array.size:
            unbiased = var * (count / max(count - 1, 1))
            _move(running_mean, mean, momentum)
            _move(running_var, unbiased, momentum)
        return out, *_told(input, weight, mean.reshape(-1), rstd.reshape(-1))
    assert running_mean is not None
    assert running_var is not None
    return _scaled(input, factors, running_mean, running_var, eps), *_nothing(input)


def _scaled(
    input: Tensor,
    factors: list[Tensor | None],
    running_mean: Tensor,
    running_var: Tensor,
    eps: float,
) -> Tensor:
    """The input by the running statistics: one multiplication and one addition an element."""
    weight, bias = factors
    shape = (-1, *(1,) * (input.dim() - 2)) if running_mean._array.size else (0,)
    mean, var = (F.reshape(each.detach(), shape) for each in (running_mean, running_var))
    scale: Any = F.rsqrt(var + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return (input * scale + shift).to(input.dtype)


def _nothing(input: Tensor) -> tuple[Tensor, Tensor]:
    xp = backend.xp_of(input._array)
    return wrap(xp.empty(0, input._array.dtype)), wrap(xp.empty(0, input._array.dtype))


def _move(running: Tensor | None, value: Any, momentum: float) -> None:
    if running is not None:
        with no_grad():
            moved = wrap(value.reshape(-1).astype(running._array.dtype))
            running.mul_(1 - momentum).add_(moved, alpha=momentum)


def _normalized(
    input: Tensor, factors: list[Tensor | None], dims: tuple[int, ...], eps: float
) -> tuple[Tensor, Any, Any, Any]:
    """The result, and the mean, variance and 1 / deviation that it was made with, as arrays."""
    x = input._array
    xp = backend.xp_of(x)
    x = x.astype(xp.float32) if input.dtype in dtypes.HALVES else x
    moments = moments_of(xp, x, dims, eps)
    return F._normalize(input, *factors, dims, eps, moments), *moments


def _told(input: Tensor, weight: Tensor | None, mean: Any, rstd: Any) -> tuple[Tensor, Tensor]:
    """Mean and 1 / deviation in the dtype of the weight, or else of the input."""
    dtype = (input if weight is None else weight)._array.dtype
    return wrap(mean.astype(dtype, copy=False)), wrap(rstd.astype(dtype, copy=False))


def _check_channels(channels: int, given: dict[str, Tensor | None], training: bool) -> None:
    for name, t in given.items():
        if t is None:
            if name.startswith("running") and not training:
                raise RuntimeError(f"{name} must be defined in evaluation mode")
        elif t._array.size != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {t._array.size}")
        elif name.startswith("running") and mode.enabled and t.requires_grad:
            raise RuntimeError(
                "The function 'native_batch_norm' is not differentiable with respect to argument "
                f"'{name}'. This input cannot have requires_grad True."
            )


def _check_dtypes(kernel: str, input: Tensor, given: dict[str, Tensor | None]) -> None:
    if dtypes.rank(input.dtype) < 2:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.title}'")
    others = [t.dtype for t in given.values() if t is not None and t.dtype is not input.dtype]
    if not others:
        return
    if input.dtype in dtypes.HALVES and all(d is dtypes.float32 for d in others):
        return
    if input.dtype in dtypes.HALVES or all(d is dtypes.float32 for d in others):
        raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")
    raise RuntimeError("mixed dtype (CPU): expect parameter to have scalar type of Float")


@public(method=False)
def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """The input, normalised over the space of each channel of each image. Shapes: (N, C, *)."""
    if not use_input_stats and (running_mean is None or running_var is None):
        raise RuntimeError(
            "Expected running_mean and running_var to be defined when use_input_stats is false"
        )
    n, c = input.shape[:2]
    given = {"weight": weight, "bias": bias}
    given = {"running_mean": running_mean, "running_var": running_var} | given
    for name, t in given.items():
        if t is not None and t._array.size != c:
            raise RuntimeError(f"{name} should contain {n * c} elements not {n * t._array.size}")
    shape = (c, *(1,) * (input.dim() - 2))
    factors = [None if each is None else F.reshape(each, shape) for each in (weight, bias)]
    if not use_input_stats:
        assert running_mean is not None
        assert running_var is not None
        return _scaled(input, factors, running_mean, running_var, eps)
    out, mean, var, _ = _normalized(input, factors, tuple(range(2 - input.dim(), 0)), eps)
    count = prod(input.shape[2:])
    _move(running_mean, mean.reshape(n, c).mean(0), momentum)
    _move(running_var, var.reshape(n, c).mean(0) * (count / max(count - 1, 1)), momentum)
    return out


@public(method=False)
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """The input, normalised over its last dimensions, those of `normalized_shape`."""
    return native_layer_norm(input, normalized_shape, weight, bias, eps)[0]


@public(method=False)
def native_layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`layer_norm`, with the means and 1 / deviations that it was made with."""
    if isinstance(normalized_shape, int):
        raise TypeError(
            "layer_norm(): argument 'normalized_shape' (position 2) must be tuple of ints, not int"
        )
    shape = tuple(normalized_shape)
    dims = _last_dims(input, shape, {"weight": weight, "bias": bias}, "*, ")
    _check_dtypes("LayerNormKernelImpl", input, {"weight": weight, "bias": bias})
    out, mean, _, rstd = _normalized(input, [weight, bias], dims, eps)
    return out, *_told(input, weight, mean, rstd)


def _last_dims(input: Tensor, shape: tuple, given: dict[str, Tensor | None], star: str) -> tuple:
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
            "element, but got normalized_shape = []"
        )
    for name, t in given.items():
        if t is not None and tuple(t.shape) != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(t.shape)} and normalized_shape = {list(shape)}"
            )
    if tuple(input.shape[max(input.dim() - len(shape), 0) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[{star}{', '.join(map(str, shape))}], but got input of size{list(input.shape)}"
        )
    return tuple(range(-len(shape), 0))


@public(method=False)
def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """The input, divided by its root mean square over the last dimensions; eps None: the dtype's.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019.
    """
    dims = _last_dims(input, tuple(normalized_shape), {"weight": weight}, "*")
    if dtypes.rank(input.dtype) < 2:
        raise NotImplementedError(f"\"rms_norm\" not implemented for '{input.dtype.title}'")
    wide = input.float() if input.dtype in dtypes.HALVES else input
    if eps is None:
        eps = dtypes.finfo(wide.dtype).eps
    square = wide * wide
    out = wide * F.rsqrt(F.mean(square, dims, True) + eps)
    out = out if weight is None else out * weight
    return out.to(input.dtype) if weight is None or weight.dtype is input.dtype else out


@public(method=False)
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """The input, normalised over groups of channels. Shapes: (N, C, *).

    Source: Wu and He, "Group Normalization", 2018.
    """
    groups, factors = _grouped(input, weight, bias, input.shape[1], num_groups)
    return F.reshape(_normalized(groups, factors, (-2, -1), eps)[0], tuple(input.shape))


@public(method=False)
def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`group_norm`, with the means and 1 / deviations, which also have gradients here.

    Shapes: mean and 1 / deviation (N, group).
    """
    groups, factors = _grouped(input, weight, bias, C, group)
    out, mean, _, rstd = _normalized(groups, factors, (-2, -1), eps)
    told = _told(input, weight, mean.reshape(N, group), rstd.reshape(N, group))
    if mode.enabled and input.requires_grad:
        variance = F.var(groups, (-2, -1), 0)
        dtype = told[0].dtype
        told = F.mean(groups, (-2, -1)).to(dtype), F.rsqrt(variance + eps).to(dtype)
    return F.reshape(out, tuple(input.shape)), *told


def _grouped(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, channels: int, group: int
) -> tuple[Tensor, list[Tensor | None]]:
    """The input as (N, groups, channels of a group, space), and the factors to go with it."""
    if group <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {group}")
    shape = list(input.shape)
    if channels % group != 0:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {shape} and num_groups={group}"
        )
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and tuple(t.shape) != (channels,):
            told = t if weight is None else weight  # PyTorch tells the weight's shape of both
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, "
                f"but got {name} of shape {list(told.shape)} and input of shape {shape}"
            )
    _check_dtypes("GroupNormKernelImpl", input, {"weight": weight, "bias": bias})
    view = (group, channels // group, 1)
    factors = [None if each is None else F.reshape(each, view) for each in (weight, bias)]
    n, space = shape[0], prod(shape[2:])
    return F.reshape(input, (n, group, channels // group, space)), factors
