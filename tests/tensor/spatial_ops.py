# ruff: noqa: E501 one line an op
"""The lines of the ops over space in the table of `test_ops.py`, and their references.

The references are the definitions, cell by cell; nothing here is fast.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

_rng = np.random.RandomState(7)


def numbers(*shape: int) -> np.ndarray:
    """Distinct numbers in (-2, 2)."""
    count = int(np.prod(shape))
    return _rng.permutation(np.linspace(-1.9, 1.8, count)).reshape(shape)


def cells(*size: int) -> Any:
    """All indices of an array of that size."""
    return itertools.product(*map(range, size))


def seen(position: tuple, cell: tuple, place: tuple) -> tuple:
    """The cell of the input that a cell of the kernel sees at a position; may lie outside."""
    stride, padding, dilation = place
    return tuple(
        o * s - p + k * d
        for o, k, s, p, d in zip(position, cell, stride, padding, dilation, strict=True)
    )


def inside(index: tuple, size: tuple) -> bool:
    return all(0 <= i < n for i, n in zip(index, size, strict=True))


def convolved(
    x: np.ndarray,
    w: np.ndarray,
    b: Any,
    stride: tuple,
    padding: tuple,
    dilation: tuple,
    transposed: bool,
    more: tuple,
    groups: int,
) -> np.ndarray:
    place, kernel = (stride, padding, dilation), w.shape[2:]
    ends = zip(x.shape[2:], kernel, *place, more, strict=True)
    if transposed:
        size = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 + m for n, k, s, p, d, m in ends)
        out = np.zeros((len(x), w.shape[1] * groups, *size))
    else:
        size = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d, _ in ends)
        out = np.zeros((len(x), len(w), *size))
    # channel c of the kernel's outputs reads channel i of its group's inputs
    per = len(w) // groups
    small, large = (x.shape[2:], size) if transposed else (size, x.shape[2:])
    for c, i, position, cell in itertools.product(
        range(len(w)), range(w.shape[1]), cells(*small), cells(*kernel)
    ):
        at = seen(position, cell, place)
        channel = c // per * w.shape[1] + i
        if inside(at, large):
            if transposed:
                out[(slice(None), channel, *at)] += (
                    x[(slice(None), c, *position)] * w[(c, i, *cell)]
                )
            else:
                out[(slice(None), c, *position)] += (
                    x[(slice(None), channel, *at)] * w[(c, i, *cell)]
                )
    return out if b is None else out + b.reshape(-1, *[1] * len(size))


def weight_gradient(
    g: np.ndarray,
    x: np.ndarray,
    size: tuple,
    stride: tuple,
    padding: tuple,
    dilation: tuple,
    transposed: bool,
    groups: int,
) -> np.ndarray:
    """Linear in the weight: the sum of what each of its elements alone would give."""
    out = np.zeros(size)
    more = (0,) * len(stride)
    for index in np.ndindex(size):
        one = np.zeros(size)
        one[index] = 1
        out[index] = (
            g * convolved(x, one, None, stride, padding, dilation, transposed, more, groups)
        ).sum()
    return out


def windows(
    x: np.ndarray, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, ceil_mode: bool
) -> Any:
    """For each window its position and the cells of the input in it, in order."""
    nd, place = len(kernel), (stride, padding, dilation)
    size, counts = x.shape[-nd:], []
    for n, k, s, p, d in zip(size, kernel, *place, strict=True):
        count = (n + 2 * p - d * (k - 1) - 1) / s + 1
        count = int(np.ceil(count) if ceil_mode else np.floor(count))
        counts.append(count - 1 if ceil_mode and (count - 1) * s >= n + p else count)
    for position in cells(*counts):
        there = [seen(position, cell, place) for cell in cells(*kernel)]
        yield counts, position, [at for at in there if inside(at, size)]


def max_pooled(x: np.ndarray, *how: Any) -> tuple:
    size = x.shape[-len(how[0]) :]
    for counts, position, there in windows(x, *how):
        if not any(position):
            out, where = (np.zeros((*x.shape[: -len(size)], *counts), t) for t in (float, int))
        values = np.stack([x[(..., *at)] for at in there], -1)
        out[(..., *position)] = values.max(-1)
        flat = np.array([np.ravel_multi_index(at, size) for at in there])
        where[(..., *position)] = flat[values.argmax(-1)]
    return out, where


def mean_pooled(
    x: np.ndarray,
    kernel: tuple,
    stride: tuple,
    padding: tuple,
    ceil_mode: bool,
    with_padding: bool,
    divisor: int | None,
) -> np.ndarray:
    nd = len(kernel)
    for counts, position, there in windows(x, kernel, stride, padding, (1,) * nd, ceil_mode):
        if not any(position):
            out = np.zeros((*x.shape[:-nd], *counts))
        total = sum(x[(..., *at)] for at in there)
        ends = zip(position, kernel, stride, padding, x.shape[-nd:], strict=True)
        whole = np.prod([min(o * s - p + k, n + p) - (o * s - p) for o, k, s, p, n in ends])
        out[(..., *position)] = total / (divisor or (whole if with_padding else len(there)))
    return out


def mean_pooled_back(g: np.ndarray, size: tuple, *how: Any) -> np.ndarray:
    """The transpose, by what each input alone would give."""
    out = np.zeros(size)
    for index in np.ndindex(size):
        one = np.zeros(size)
        one[index] = 1
        out[index] = (g * mean_pooled(one, *how)).sum()
    return out


def to_indices(x: np.ndarray, indices: np.ndarray, size: tuple, nd: int) -> np.ndarray:
    out = np.zeros(size)
    for index in np.ndindex(x.shape):
        at = np.unravel_index(indices[index], size[-nd:])
        out[(*index[:-nd], *at)] += x[index]
    return out


def from_indices(x: np.ndarray, indices: np.ndarray, nd: int) -> np.ndarray:
    flat = x.reshape(*x.shape[:-nd], -1)
    return np.take_along_axis(flat, indices.reshape(*flat.shape[:-1], -1), -1).reshape(
        indices.shape
    )


def best_of(x: np.ndarray, places: np.ndarray, nd: int) -> tuple:
    flat = x.reshape(*x.shape[:-nd], -1)
    places = np.broadcast_to(places, (*flat.shape[:-1], *places.shape[-nd - 1 :]))
    seen = np.take_along_axis(flat, places.reshape(*flat.shape[:-1], -1), -1).reshape(places.shape)
    choice = seen.argmax(-1)[..., None]
    return tuple(np.take_along_axis(each, choice, -1)[..., 0] for each in (seen, places))


def by_rule(x: np.ndarray, rules: tuple, back: bool = False) -> np.ndarray:
    """Each dimension by the matrix of its rule, found by resampling unit vectors in numpy's way."""
    for k, (name, n, out, *rest) in enumerate(rules):
        matrix = MATRICES[name](n, out, *rest)
        axis = x.ndim - len(rules) + k
        x = np.moveaxis(np.tensordot(matrix.T if back else matrix, x, (1, axis)), 0, axis)
    return x


def padding_matrix(n: int, out: int, before: int, mode: str) -> np.ndarray:
    after = out - n - before
    cut = np.eye(n)[max(-before, 0) : n + min(after, 0)]
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    return np.pad(cut, ((max(before, 0), max(after, 0)), (0, 0)), names[mode])


def mean_matrix(n: int, out: int) -> np.ndarray:
    matrix = np.zeros((out, n))
    for k in range(out):
        window = slice(int(np.floor(k * n / out)), int(np.ceil((k + 1) * n / out)))
        matrix[k, window] = 1 / (window.stop - window.start)
    return matrix


def nearest_matrix(n: int, out: int, factor: Any, middle: bool) -> np.ndarray:
    at = (np.arange(out) + (0.5 if middle else 0)) * n / out
    return np.eye(n)[np.floor(at).astype(int)]


def kernel_matrix(n: int, out: int, corners: bool, kernel: Callable, reach: int) -> np.ndarray:
    """Weights of a kernel around where each output lies; outside is the edge."""
    at = np.arange(out) * (n - 1) / (out - 1) if corners else (np.arange(out) + 0.5) * n / out - 0.5
    matrix = np.zeros((out, n))
    for k, x in enumerate(at):
        for i in range(-reach, n + reach):
            matrix[k, min(max(i, 0), n - 1)] += kernel(abs(x - i))
    return matrix


def keys(t: float, a: float = -0.75) -> float:
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def wide_matrix(n: int, out: int, kernel: Callable) -> np.ndarray:
    """Kernels as wide as outputs are apart, cut at the edge and scaled to sum to 1."""
    scale = n / out
    at = (np.arange(out) + 0.5) * scale - 0.5
    matrix = np.array([[kernel(abs(i - x) / max(scale, 1)) for i in range(n)] for x in at])
    return matrix / matrix.sum(1, keepdims=True)


def tent(t: float) -> float:
    return max(1 - t, 0)


MATRICES = {
    "pad": padding_matrix,
    "mean": mean_matrix,
    "nearest": nearest_matrix,
    "linear": lambda n, out, corners, *_: kernel_matrix(n, out, corners, tent, 1),
    "cubic": lambda n, out, corners, *_: kernel_matrix(n, out, corners, keys, 3),
    "antialiased": lambda n, out, corners, factor, double, name: wide_matrix(
        n, out, tent if name == "linear" else lambda t: keys(t, -0.5)
    ),
}


LINE = (numbers(2, 2, 5), numbers(3, 2, 2), numbers(3), (2,), (1,), (1,), False, (0,), 1)
PLANE = (numbers(2, 4, 4, 3), numbers(4, 2, 2, 3), None, (1, 2), (1, 1), (2, 1), False, (0, 0), 2)
DEPTHWISE = (
    numbers(1, 2, 3, 3),
    numbers(2, 1, 2, 2),
    None,
    (1, 1),
    (0, 0),
    (1, 1),
    False,
    (0, 0),
    2,
)
SPACE = (
    numbers(1, 1, 3, 2, 3),
    numbers(2, 1, 2, 1, 2),
    numbers(2),
    (1, 1, 2),
    (0, 0, 1),
    (1, 1, 1),
    False,
    (0, 0, 0),
    1,
)
UP = (numbers(2, 4, 2, 3), numbers(4, 2, 3, 2), numbers(4), (2, 1), (1, 0), (1, 2), True, (1, 1), 2)
BEYOND = (numbers(1, 1, 3), numbers(1, 2, 2), None, (1,), (0,), (2,), True, (1,), 1)


def normalized(
    x: np.ndarray, weight: Any, bias: Any, dims: tuple, eps: float, known: Any = None
) -> np.ndarray:
    out = (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + eps)
    return out * (1 if weight is None else weight) + (0 if bias is None else bias)


def normalized_back(
    g: np.ndarray, x: np.ndarray, weight: Any, dims: tuple, eps: float, known: Any
) -> tuple:
    """What input, weight and bias get back, by the derivatives of mean and variance."""
    count = np.prod([x.shape[d] for d in dims])
    centered, rstd = x - x.mean(dims, keepdims=True), 1 / np.sqrt(x.var(dims, keepdims=True) + eps)
    part = g * (1 if weight is None else weight)
    d_mean = -(part * rstd).sum(dims, keepdims=True)
    d_var = -(part * centered).sum(dims, keepdims=True) * rstd**3 / 2
    d_x = part * rstd + d_mean / count + d_var * 2 * centered / count
    d_weight, d_bias = (g if weight is None else g * centered * rstd), g
    if weight is not None:  # summed already, but for what is left to the walker
        over = dims if weight.shape == (2, 1) else tuple(range(x.ndim - weight.ndim))
        keep = weight.shape == (2, 1)
        d_weight, d_bias = (each.sum(over, keepdims=keep) for each in (d_weight, d_bias))
    return d_x, d_weight, d_bias


NORMED = (
    (numbers(3, 2, 4), numbers(2, 1), numbers(2, 1), (-3, -1), 0.1),
    (numbers(2, 3, 4), numbers(3, 4), numbers(3, 4), (-2, -1), 0.1),
    (numbers(3, 4), None, numbers(4), (-1,), 0.1),
    (numbers(3, 4), numbers(4), None, (-1,), 0.1),
)


def patches(
    x: np.ndarray, kernel: tuple, dilation: tuple, padding: tuple, stride: tuple
) -> np.ndarray:
    """Patch by patch, cell by cell; what lies outside is 0."""
    found = []
    ends = zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    counts = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in ends]
    for position in cells(*counts):
        there = [seen(position, cell, (stride, padding, dilation)) for cell in cells(*kernel)]
        zero = np.zeros(x.shape[:2])
        column = [x[(..., *at)] if inside(at, x.shape[2:]) else zero for at in there]
        found.append(np.stack(column, -1).reshape(len(x), -1))
    return np.stack(found, -1)


def from_patches(x: np.ndarray, size: tuple, kernel: tuple, *how: tuple) -> np.ndarray:
    """The transpose, by what each pixel alone would give."""
    channels = x.shape[1] // int(np.prod(kernel))
    out = np.zeros((len(x), channels, *size))
    for index in np.ndindex(out.shape):
        one = np.zeros(out.shape)
        one[index] = 1
        out[index] = (x * patches(one, kernel, *how)).sum()
    return out


MAXIMA = (
    (numbers(2, 7), (3,), (2,), (1,), (1,), True),
    (numbers(1, 2, 4, 5), (2, 3), (2, 1), (0, 1), (2, 1), False),
    (numbers(2, 3, 2, 4), (2, 2, 2), (1, 2, 2), (1, 0, 1), (1, 1, 1), False),
)
MEANS = (
    (numbers(2, 7), (3,), (2,), (1,), True, False, None),
    (numbers(2, 4, 5), (2, 3), (2, 1), (1, 1), True, True, None),
    (numbers(2, 4, 4), (4, 2), (4, 2), (0, 0), False, True, 5),
    (numbers(3, 2, 4), (2, 1, 2), (1, 1, 2), (1, 0, 0), False, False, None),
)


def calls(reference: Callable, *arguments: tuple) -> tuple:
    return reference, arguments


SPATIAL = dict(  # noqa: C408
    convolution=calls(convolved, LINE, PLANE, DEPTHWISE, SPACE, UP, BEYOND),
    _conv_weight=calls(weight_gradient, (numbers(2, 3, 3), numbers(2, 2, 5), (3, 2, 2), (2,), (1,), (1,), False, 1), (numbers(1, 4, 4, 3), numbers(1, 4, 2, 2), (4, 2, 2, 2), (2, 1), (0, 0), (1, 1), True, 2)),
    _im2col=calls(patches, (numbers(2, 2, 4, 3), (2, 2), (2, 1), (1, 0), (1, 2))),
    _col2im=calls(from_patches, (numbers(2, 4, 6), (3, 4), (2, 2), (1, 1), (0, 1), (1, 2))),
    _normalize=calls(normalized, *NORMED),
    _normalize_back=calls(normalized_back, *[(_rng.randn(*a[0].shape), *a[:2], *a[3:], None) for a in NORMED]),
    _max_pool=calls(lambda *a: max_pooled(*a)[0], *MAXIMA),
    _max_pool_with_indices=calls(max_pooled, *MAXIMA),
    _avg_pool=calls(mean_pooled, *MEANS),
    _avg_pool_back=calls(mean_pooled_back, (numbers(2, 3, 3), (2, 5, 4), (2, 3), (2, 2), (1, 1), True, False, None), (numbers(2, 2), (2, 5), (2,), (2,), (0,), False, True, None)),
    _best_of=calls(best_of, (numbers(2, 5), np.array([[0, 1], [1, 3]]), 1), (numbers(2, 2, 3), _rng.randint(0, 6, (2, 2, 1, 3)), 2)),
    _to_indices=calls(to_indices, (numbers(2, 3), np.array([[0, 1, 1], [3, 0, 2]]), (2, 4), 1), (numbers(2, 2, 2), _rng.randint(0, 6, (2, 2, 2)), (2, 2, 3), 2)),
    _from_indices=calls(from_indices, (numbers(2, 4), np.array([[0, 1, 1], [3, 0, 2]]), 1), (numbers(2, 2, 3), _rng.randint(0, 6, (2, 2, 2)), 2)),
    _unpool=calls(to_indices, (numbers(2, 3), np.array([[0, 1, 3], [3, 0, 2]]), (2, 4), 1)),
    _resample=calls(
        by_rule,
        (numbers(2, 3, 4), (("pad", 3, 6, 2, "reflect"), ("pad", 4, 5, -1, "replicate"))),
        (numbers(2, 4), (("pad", 4, 9, 2, "circular"),)),
        (numbers(5, 3), (("mean", 5, 3), ("mean", 3, 7))),
        (numbers(4, 3), (("nearest", 4, 3, None, False), ("nearest", 3, 8, None, True))),
        (numbers(3, 4), (("linear", 3, 5, False, None, True), ("linear", 4, 7, True, None, True))),
        (numbers(3, 4), (("cubic", 3, 5, False, None, True), ("cubic", 4, 3, True, None, True))),
        (numbers(7, 4), (("antialiased", 7, 3, False, None, True, "linear"), ("antialiased", 4, 2, False, None, True, "cubic"))),
        (numbers(2, 3), (("linear", 4, 3, False, None, True),), True),
    ),
)  # fmt: skip
