"""Ops of neural networks: activations, losses of pairs and of classes, looked-up rows.

Their names begin with an underscore: users call them through `nn.functional`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from elastic.tensor import backend
from elastic.tensor._dispatch import op
from elastic.tensor._registry import F32, TENSORS
from elastic.tensor.ops.index import broadcast_shape, index_add_at

_SQRT_HALF, _DENSITY = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)
_CUBIC, _SLOPE = 0.044715, math.sqrt(2 / math.pi)
_POLE = 0.3275911
_TAIL = (0.5307027145, -0.7265760135, 0.7107068705, -0.142248368, 0.127414796)

act = partial(op, operands=(0,))

# Activations


def _elu(xp: Any, x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    # expm1 sees no positive number: where its result is not used it must not overflow.
    low = xp.expm1(xp.minimum(x, 0) * input_scale) * (alpha * scale)
    return xp.where(x > 0, x if scale == 1 else x * scale, low)


def _elu_vjp(F: Any, g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    low = F.exp(F.clamp(x, None, 0) * input_scale) * (alpha * scale * input_scale)
    return g * F.where(x > 0, scale, low)


def _normal_cdf(xp: Any, x: Any) -> Any:
    """The normal distribution function, to an absolute 1e-7 for float32.

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26.
    """
    if x.dtype != F32 or not x.ndim:
        return backend.special(xp).ndtr(x)
    z = abs(x)
    z *= _SQRT_HALF
    t = 1 / (z * _POLE + 1)
    z *= z
    tail = t * _TAIL[0]
    for coefficient in _TAIL[1:]:
        tail += coefficient
        tail *= t
    tail *= xp.exp(-z)
    return xp.where(x < 0, tail, 1 - tail)


def _gelu(xp: Any, x: Any, approximate: str = "none") -> Any:
    if approximate == "none":
        return x * _normal_cdf(xp, x)
    cdf = xp.tanh((x * x * _CUBIC + 1) * (x * _SLOPE))
    cdf += 1
    cdf *= x
    cdf *= 0.5
    return cdf


def _gelu_vjp(F: Any, g: Any, x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        t = F.tanh((x * x * _CUBIC + 1) * (x * _SLOPE))
        inner = (x * x * (3 * _CUBIC) + 1) * _SLOPE
        return g * (0.5 * (t + 1) + 0.5 * x * (1 - t * t) * inner)
    return g * (F._normal_cdf(x) + x * F.exp(x * x * -0.5) * _DENSITY)


def _silu(xp: Any, x: Any) -> Any:
    return x / (xp.exp(-x) + 1)


def _silu_vjp(F: Any, g: Any, x: Any) -> Any:
    s = F.sigmoid(x)
    return g * (s * ((1 - s) * x + 1))


def _softplus(xp: Any, x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    scaled = x if beta == 1 else x * beta
    smooth = xp.log1p(xp.exp(scaled))
    return xp.where(scaled > threshold, x, smooth if beta == 1 else smooth / beta)


def _softplus_vjp(F: Any, g: Any, x: Any, beta: float, threshold: float) -> Any:
    return g * F.where(x * beta > threshold, 1.0, F.sigmoid(x * beta))


def _mish_vjp(F: Any, g: Any, x: Any) -> Any:
    t = F.tanh(F._softplus(x, 1.0, 20.0))
    return g * (t + x * F.sigmoid(x) * (1 - t * t))


def _glu(xp: Any, x: Any, dim: int = -1) -> Any:
    first, second = xp.split(x, 2, dim)
    return first / (xp.exp(-second) + 1)


def _glu_vjp(F: Any, g: Any, x: Any, dim: int) -> Any:
    half = x.shape[dim] // 2
    first, s = F.narrow(x, dim, 0, half), F.sigmoid(F.narrow(x, dim, half, half))
    return F.cat([g * s, g * first * (s * (1 - s))], dim)


def _shrink_vjp(F: Any, g: Any, x: Any, lambd: float) -> Any:
    return g * ((x > lambd) + (x < -lambd))


elu = act("_elu", _elu, _elu_vjp)
celu = act("_celu", _elu, _elu_vjp)
act("_normal_cdf", _normal_cdf, lambda F, g, x: g * (F.exp(x * x * -0.5) * _DENSITY))
gelu = act("_gelu", _gelu, _gelu_vjp)
silu = act("_silu", _silu, _silu_vjp)
softplus = act("_softplus", _softplus, _softplus_vjp)
mish = act("_mish", lambda xp, x: x * xp.tanh(_softplus(xp, x)), _mish_vjp)
log_sigmoid = act(
    "_log_sigmoid",
    lambda xp, x: xp.minimum(x, 0) - xp.log1p(xp.exp(-abs(x))),
    lambda F, g, x: g * F.sigmoid(-x),
)
leaky_relu = act(
    "_leaky_relu",
    lambda xp, x, slope=0.01: xp.where(x > 0, x, x * slope),
    lambda F, g, x, slope: F.where(x > 0, g, g * slope),
)
hardtanh = act(
    "_hardtanh",
    lambda xp, x, low=-1.0, high=1.0: xp.clip(x, x.dtype.type(low), x.dtype.type(high)),
    lambda F, g, x, low, high: g * ((x > low) * (x < high)),
)
hardsigmoid = act(
    "_hardsigmoid",
    lambda xp, x: xp.clip(x + 3, 0, 6) / 6,
    lambda F, g, x: g * ((x > -3) * (x < 3)) / 6,
)
hardswish = act(
    "_hardswish",
    lambda xp, x: x * xp.clip(x + 3, 0, 6) / 6,
    lambda F, g, x: g * F.where(x < 3, (x > -3) * (x / 3 + 0.5), 1.0),
)
hardshrink = act(
    "_hardshrink", lambda xp, x, lambd=0.5: xp.where(abs(x) <= lambd, 0, x), _shrink_vjp
)
softshrink = act(
    "_softshrink",
    lambda xp, x, lambd=0.5: xp.where(x > lambd, x - lambd, xp.where(x < -lambd, x + lambd, x * 0)),
    _shrink_vjp,
)
threshold = act(
    "_threshold",
    lambda xp, x, threshold, value: xp.where(x <= threshold, xp.asarray(value, x.dtype), x),
    lambda F, g, x, threshold: g * F.logical_not(x <= threshold),
)
prelu = op(
    "_prelu",
    lambda xp, x, weight: xp.where(x > 0, x, weight * x),
    lambda F, g, x, weight: F.where(x > 0, g, g * weight),
    lambda F, g, x: F.where(x > 0, F.zeros_like(x), g * x),
    operands=(0, 1),
    title="PreluKernelBackward0",
)
rrelu = op(
    "_rrelu",
    lambda xp, x, slopes: x * slopes,
    lambda F, g, slopes: g * slopes,
    title="RreluWithNoiseBackward0",
)
glu = act("_glu", _glu, _glu_vjp)

# Losses of pairs of elements. A slope gives the gradient from g, the share of each element.


def _folded(loss: Any, reduction: str) -> Any:
    if reduction == "none":
        return loss
    return loss.sum() / loss.size if reduction == "mean" else loss.sum()


def _share(g: Any, x: Any, y: Any, reduction: str) -> Any:
    if reduction != "mean":
        return g
    return g / math.prod(broadcast_shape(tuple(x.shape), tuple(y.shape)))


def pointwise(
    name: str, value: Callable, slope_x: Callable, slope_y: Callable, title: str
) -> Callable:
    """The op of a loss `value(xp, x, y, setting)`, folded by "mean", "sum" or "none"."""

    def forward(xp: Any, x: Any, y: Any, reduction: str = "mean", setting: float = 1.0) -> Any:
        return _folded(value(xp, x, y, setting), reduction)

    def vjp_x(F: Any, g: Any, x: Any, y: Any, reduction: str, setting: float) -> Any:
        return slope_x(F, _share(g, x, y, reduction), x, y, setting)

    def vjp_y(F: Any, g: Any, x: Any, y: Any, reduction: str, setting: float) -> Any:
        return slope_y(F, _share(g, x, y, reduction), x, y, setting)

    return op(name, forward, vjp_x, vjp_y, operands=(0, 1), title=title)


def _squared(xp: Any, x: Any, y: Any, _: float) -> Any:
    d = x - y
    return d * d


def _smooth_l1(xp: Any, x: Any, y: Any, beta: float) -> Any:
    d = abs(x - y)
    return xp.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


def _huber(xp: Any, x: Any, y: Any, delta: float) -> Any:
    d = abs(x - y)
    return xp.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def _bce(xp: Any, x: Any, y: Any, _: float) -> Any:
    return (y - 1) * xp.maximum(xp.log1p(-x), -100) - y * xp.maximum(xp.log(x), -100)


def _clamped_log(F: Any, x: Any) -> Any:
    return F.clamp(F.log(x), -100)


mse_loss = pointwise(
    "_mse_loss",
    _squared,
    lambda F, g, x, y, _: (2 * g) * (x - y),
    lambda F, g, x, y, _: (2 * g) * (y - x),
    "MseLossBackward0",
)
smooth_l1_loss = pointwise(
    "_smooth_l1_loss",
    _smooth_l1,
    lambda F, g, x, y, beta: g * F.clamp((x - y) / beta, -1, 1),
    lambda F, g, x, y, beta: g * F.clamp((y - x) / beta, -1, 1),
    "SmoothL1LossBackward0",
)
huber_loss = pointwise(
    "_huber_loss",
    _huber,
    lambda F, g, x, y, delta: g * F.clamp(x - y, -delta, delta),
    lambda F, g, x, y, delta: g * F.clamp(y - x, -delta, delta),
    "HuberLossBackward0",
)
binary_cross_entropy = pointwise(
    "_binary_cross_entropy",
    _bce,
    lambda F, g, x, y, _: g * (x - y) / F.clamp((1 - x) * x, 1e-12),
    lambda F, g, x, y, _: g * (_clamped_log(F, 1 - x) - _clamped_log(F, x)),
    "BinaryCrossEntropyBackward0",
)
binary_cross_entropy_with_logits = pointwise(
    "_binary_cross_entropy_with_logits",
    lambda xp, x, y, _: xp.maximum(x, 0) - x * y + xp.log1p(xp.exp(-abs(x))),
    lambda F, g, x, y, _: g * (F.sigmoid(x) - y),
    lambda F, g, x, y, _: -g * x,
    "BinaryCrossEntropyWithLogitsBackward0",
)
soft_margin_loss = pointwise(
    "_soft_margin_loss",
    lambda xp, x, y, _: xp.log1p(xp.exp(-y * x)),
    lambda F, g, x, y, _: -g * y * F.sigmoid(-y * x),
    lambda F, g, x, y, _: -g * x * F.sigmoid(-y * x),
    "SoftMarginLossBackward0",
)

# Losses of classes, which are in dimension 1. `weights` are those of the targets (None: all 1, 0
# where a target is ignored); the sum is divided by `divisor`, and there is none if that is None.


def _place(xp: Any, x: Any, target: Any) -> tuple:
    """Where the scores of the targets are in `x`."""
    if x.ndim == 2:
        return xp.arange(len(x)), target
    sizes = [n for d, n in enumerate(x.shape) if d != 1]
    grid = xp.meshgrid(*[xp.arange(n) for n in sizes], indexing="ij", sparse=True)
    return grid[0], target, *grid[1:]


def _summed(loss: Any, weights: Any, divisor: Any) -> Any:
    loss = loss if weights is None else loss * weights
    return loss if divisor is None else loss.sum() / divisor


def _nll(xp: Any, x: Any, target: Any, weights: Any = None, divisor: Any = None) -> Any:
    return _summed(-x[_place(xp, x, target)], weights, divisor)


def _cross_entropy(xp: Any, x: Any, target: Any, weights: Any = None, divisor: Any = None) -> Any:
    shifted = x - x.max(1, keepdims=True)
    total = xp.log(xp.exp(shifted).sum(1))
    return _summed(total - shifted[_place(xp, x, target)], weights, divisor)


def _each(F: Any, g: Any, target: Any, weights: Any, divisor: Any) -> Any:
    """The gradient of every element's loss, with the dimension of the classes."""
    if divisor is not None:  # 0 when every target is ignored: then there is no gradient
        g = F.expand(g / (divisor or 1), tuple(target.shape))
    return F.unsqueeze(g if weights is None else g * weights, 1)


def _nll_vjp(F: Any, g: Any, x_shape: tuple, target: Any, weights: Any, divisor: Any) -> Any:
    each = -_each(F, g, target, weights, divisor)
    return F.scatter(F._new_zeros(each, x_shape), 1, F.unsqueeze(target, 1), each)


def _cross_entropy_back(
    xp: Any, g: Any, x: Any, target: Any, weights: Any = None, divisor: Any = None
) -> Any:
    """softmax(x) less the target, times the gradient of each loss: in one array."""
    out = xp.exp(x - x.max(1, keepdims=True))
    out /= out.sum(1, keepdims=True)
    each = g if divisor is None else g / (divisor or 1)
    each = each if weights is None else each * weights
    out *= each[:, None] if each.ndim else each
    out[_place(xp, x, target)] -= each
    return out


def _cross_entropy_vjp(F: Any, g: Any, x: Any, target: Any, weights: Any, divisor: Any) -> Any:
    if F is not TENSORS:
        return F._cross_entropy_back(g, x, target, weights, divisor)
    each = _each(F, g, target, weights, divisor)
    return F.scatter_add(F.softmax(x, 1) * each, 1, F.unsqueeze(target, 1), -each)


op("_cross_entropy_back", _cross_entropy_back)
nll_loss = op("_nll_loss", _nll, _nll_vjp)
nll_loss2d = op("_nll_loss2d", _nll, _nll_vjp, title="NllLoss2DBackward0")
cross_entropy = op("_cross_entropy", _cross_entropy, _cross_entropy_vjp, title="NllLossBackward0")
cross_entropy2d = op(
    "_cross_entropy2d", _cross_entropy, _cross_entropy_vjp, title="NllLoss2DBackward0"
)

# Rows of a table. `scale` multiplies the gradient of each row that was looked up.


def _rows(xp: Any, weight: Any, indices: Any, padding_idx: int = -1, scale: Any = None) -> Any:
    if indices.size and not -1 < indices.min() <= indices.max() < len(weight):
        raise IndexError("index out of range in self")
    return weight[indices]


def _summed_rows(
    xp: Any, g: Any, size: tuple, indices: Any, padding_idx: int, scale: Any = None
) -> Any:
    rows = g.reshape(-1, size[-1])
    if scale is not None:
        rows = rows * scale.reshape(-1, 1)
    out = index_add_at(xp, rows, size, (indices.reshape(-1),))
    if padding_idx >= 0:
        out[padding_idx] = 0
    return out


def _rows_vjp(
    F: Any, g: Any, weight_shape: tuple, indices: Any, padding_idx: int, scale: Any
) -> Any:
    return F._embedding_back(g, weight_shape, indices, padding_idx, scale)


def _rows_back_vjp(F: Any, g: Any, indices: Any, padding_idx: int, scale: Any) -> Any:
    rows = F._embedding(g, indices)
    if padding_idx >= 0:
        rows = rows * F.unsqueeze(indices != padding_idx, -1)
    return rows if scale is None else rows * F.unsqueeze(scale, -1)


embedding = op("_embedding", _rows, _rows_vjp, wide=False, title="EmbeddingBackward0")
embedding_back = op("_embedding_back", _summed_rows, _rows_back_vjp)
