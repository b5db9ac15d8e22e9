# ruff: noqa: E501 one line an op
"""The ops of `ops/nn.py`, one line each, as `test_ops.py` asks: a reference and ways to call it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special


def _numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers in (-4, 4), away from the places where activations have a corner."""
    values = np.random.RandomState(seed).uniform(-4, 4, shape)
    return values + 0.05 * (np.abs(values * 2 - np.rint(values * 2)) < 0.05)


X, Y = _numbers(3, 4), _numbers(3, 4, seed=1)
ROW = _numbers(4, seed=2)
CHANCE, OTHER = special.expit(X), special.expit(Y)
SIGNS = np.sign(Y)
CUBE = _numbers(2, 3, 4, seed=3)
CLASSES, PLACES = np.array([3, 0, 1]), np.array([[0, 2, 1, 1], [2, 2, 0, 1]])
WEIGHTS, SCALE = np.array([0.5, 0.0, 2.0]), np.array([1.5, -0.7, 0.3])
INDICES = np.array([[0, 2, 2], [1, 0, 2]])


def _elu(x: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    return scale * np.where(x > 0, x, alpha * np.expm1(x * input_scale))


def _gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x * special.ndtr(x)


def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def _shrunk(x: Any, lambd: float = 0.5) -> Any:
    return np.sign(x) * np.maximum(np.abs(x) - lambd, 0)


def _glu(x: Any, dim: int = -1) -> Any:
    a, b = np.split(x, 2, dim)
    return a * special.expit(b)


def _folded(loss: Any) -> Any:
    def function(x: Any, y: Any, reduction: str = "mean", setting: float = 1.0) -> Any:
        values = loss(x, y, setting)
        return values if reduction == "none" else getattr(np, reduction)(values)

    return function


def _pairs(x: Any = X, y: Any = Y, *settings: float) -> list[tuple]:
    return [(x, y, mode, *settings) for mode in ("mean", "sum", "none")] + [
        (x, y[0], "mean", *settings)
    ]


def _picked(log_p: Any, target: Any, weights: Any = None, divisor: Any = None) -> Any:
    loss = -np.take_along_axis(log_p, target[:, None], 1)[:, 0]
    loss = loss if weights is None else loss * weights
    return loss if divisor is None else loss.sum() / divisor


def _of_scores(x: Any, *settings: Any) -> Any:
    return _picked(special.log_softmax(x, 1), *settings)


def _back_of_scores(g: Any, x: Any, target: Any, weights: Any = None, divisor: Any = 1) -> Any:
    each = np.broadcast_to(g / (divisor or 1) * (1 if weights is None else weights), target.shape)
    return (special.softmax(x, 1) - np.eye(x.shape[1])[target]) * each[:, None]


def _rows(weight: Any, indices: Any, padding_idx: int = -1, scale: Any = None) -> Any:
    return weight[indices]


def _rows_back(g: Any, size: tuple, indices: Any, padding_idx: int, scale: Any = None) -> Any:
    out = np.zeros(size)
    np.add.at(out, indices, g if scale is None else g * scale[..., None])
    out[padding_idx] *= padding_idx < 0
    return out


FLAT = [(X, CLASSES), (X, CLASSES, WEIGHTS), (X, CLASSES, WEIGHTS, 2.5), (X, CLASSES, None, 3)]
GRID = [(CUBE, PLACES), (CUBE, PLACES, None, 8), (CUBE, PLACES, OTHER[:2], 2.0)]
BACK = _numbers(2, 3, 4, seed=5)

OPS_OF_NN: dict[str, tuple] = {
    "_elu": (_elu, (X,), (X, 0.5), (X, 1.5, 2.0, 0.5)),
    "_celu": (_elu, (X, 2.0, 1.0, 0.5),),
    "_normal_cdf": (special.ndtr, (X,)),
    "_gelu": (_gelu, (X,), (X, "tanh")),
    "_silu": (lambda x: x * special.expit(x), (X,)),
    "_softplus": (_softplus, (X,), (X, 2.0, 3.0)),
    "_mish": (lambda x: x * np.tanh(np.logaddexp(0, x)), (X,)),
    "_log_sigmoid": (special.log_expit, (X,), (X * 0,)),
    "_leaky_relu": (lambda x, slope=0.01: np.where(x > 0, x, slope * x), (X,), (X, 0.3)),
    "_hardtanh": (lambda x, low=-1.0, high=1.0: np.clip(x, low, high), (X,), (X, -2.0, 0.5)),
    "_hardsigmoid": (lambda x: np.clip(x / 6 + 0.5, 0, 1), (X,)),
    "_hardswish": (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), (X,)),
    "_hardshrink": (lambda x, lambd=0.5: x * (np.abs(x) > lambd), (X,), (X, 1.5)),
    "_softshrink": (_shrunk, (X,), (X, 1.5)),
    "_threshold": (lambda x, threshold, value: np.where(x > threshold, x, value), (X, 0.5, 7.0)),
    "_prelu": (lambda x, w: np.where(x > 0, x, w * x), (X, ROW), (X, ROW[:1])),
    "_rrelu": (lambda x, slopes: x * slopes, (X, Y)),
    "_glu": (_glu, (X,), (CUBE, 0)),
    # Losses
    "_mse_loss": (_folded(lambda x, y, _: (x - y) ** 2), *_pairs()),
    "_smooth_l1_loss": (_folded(lambda x, y, b: special.huber(b, x - y) / b), *_pairs(X, Y, 0.7)),
    "_huber_loss": (_folded(lambda x, y, d: special.huber(d, x - y)), *_pairs(X, Y, 0.7)),
    "_binary_cross_entropy": (_folded(lambda x, y, _: -special.xlogy(y, x) - special.xlog1py(1 - y, -x)), *_pairs(CHANCE, OTHER)),
    "_binary_cross_entropy_with_logits": (_folded(lambda x, y, _: np.logaddexp(0, x) - x * y), *_pairs(X, OTHER)),
    "_soft_margin_loss": (_folded(lambda x, y, _: np.logaddexp(0, -x * y)), *_pairs(X, SIGNS)),
    "_nll_loss": (_picked, *FLAT),
    "_nll_loss2d": (_picked, *GRID),
    "_cross_entropy": (_of_scores, *FLAT),
    "_cross_entropy2d": (_of_scores, *GRID),
    "_cross_entropy_back": (_back_of_scores, (SCALE, X, CLASSES, WEIGHTS), (ROW[0], X, CLASSES, None, 3.0)),
    # Rows of a table
    "_embedding": (_rows, (X, INDICES)),
    "_embedding_back": (_rows_back, (BACK, (3, 4), INDICES, -1), (BACK, (5, 4), INDICES, 2, OTHER[:2, :3])),
}  # fmt: skip
