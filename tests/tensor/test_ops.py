# ruff: noqa: E501, C408 one line an op
"""Every op, one line each: its value against numpy, its first and second derivative against
central differences, and both forms of its vjps against each other.

To add an op, add its line: `name=calls(reference, (arguments), (other arguments), ...)`.
Float arrays become float64 tensors that want a gradient; a list of arrays becomes a list of tensors.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import special

import elastic.tensor as torch
from elastic.tensor import dtypes
from elastic.tensor._dispatch import op as register
from elastic.tensor._registry import NUMPY, REGISTRY, TENSORS, kernel, set_forward, underivable
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor._types import device
from tests.tensor.elementwise_ops import ELEMENTWISE, OF_COMPLEX
from tests.tensor.matrix_ops import MATRICES, OF_SOME_MATRICES
from tests.tensor.nn.op_calls import OPS_OF_NN
from tests.tensor.spatial_ops import SPATIAL

SEED = 20240229
_rng = np.random.RandomState(SEED)
_calls = itertools.count()


def numbers(*shape: int) -> np.ndarray:
    """Numbers in (-2, 2), away from integers and halves, unlike those of every other call."""
    grid = np.arange(-19, 20) * 0.1 + 0.02 + 0.004 * next(_calls)
    return _rng.permutation(np.resize(grid, math.prod(shape))).reshape(shape) * np.ones(())


X, Y = numbers(2, 3), numbers(2, 3)
ROW, COLUMN, ONE = numbers(3), numbers(2, 1), numbers()
POSITIVE, SMALL = np.abs(X) + 0.3, X / 2.5
CUBE, OTHER_CUBE = numbers(2, 3, 4), numbers(2, 4, 2)
SQUARE = numbers(3, 3)
MASK = np.array([[True, False, True], [False, False, True]])
WORDS, BITS = np.array([5, -3, 12]), np.array([3, 6, 1])
ZEROS = np.array([[0.0, 1.3, -0.7], [2.0, 0.0, 0.0]])
PICK = np.array([[0, 2], [1, 1]])
ROWS = np.array([1, 0, 1])
IN_FIRST, IN_LAST = (slice(0, 1), ...), (slice(None), slice(0, 3, 2))


class Calls(NamedTuple):
    reference: Callable
    arguments: tuple[tuple, ...]


def calls(reference: Callable, *arguments: tuple) -> Calls:
    return Calls(reference, arguments)


def two(reference: Callable, x: Any = X, y: Any = Y) -> Calls:
    """Two equal shapes, all ways to broadcast, and a Python number."""
    return calls(reference, (x, y), (x, y[0]), (x[0], y[:, :1]), (x, y[0, 0]), (x, 1.5))


def pair(reference: Callable, x: Any = X, y: Any = Y) -> Calls:
    """Two equal shapes, and all ways to broadcast."""
    return calls(reference, (x, y), (x, y[0]), (x[0], y[:, :1]), (x, y[0, 0]))


def along(function: Callable) -> Callable:
    """A numpy reduction with PyTorch's parameters."""
    return lambda x, dim=None, keepdim=False: function(x, axis=_axis(dim), keepdims=keepdim)


def _axis(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, (tuple, list)) else dim


FOLDS = ((X,), (X, 1), (X, -1, True), (CUBE, (0, 2)), (CUBE, [0, 2], True), (ONE,))
SCANS = ((X, 0), (CUBE, -1))


def best(find: Callable) -> Callable:
    def reference(x: np.ndarray, dim: int, keepdim: bool = False) -> tuple:
        where = find(x, axis=dim, keepdims=True)
        pair = np.take_along_axis(x, where, dim), where
        return pair if keepdim else tuple(each.squeeze(dim) for each in pair)

    return reference


def p_norm(x: np.ndarray, p: float = 2, dim: Any = None, keepdim: bool = False) -> np.ndarray:
    x = x.reshape(-1) if dim is None else x
    return np.linalg.norm(x, p, 0 if dim is None else dim, keepdim)


def changed(change: Callable) -> Callable:
    """A reference that changes a copy of its first argument."""

    def reference(x: np.ndarray, *rest: Any) -> np.ndarray:
        x = x.copy()
        change(x, *rest)
        return x

    return reference


def put(x: np.ndarray, index: Any, value: Any, accumulate: bool = False) -> None:
    np.add.at(x, index, value) if accumulate else x.__setitem__(index, value)


def scatter(x: np.ndarray, dim: int, index: np.ndarray, src: Any, add: bool = False) -> None:
    for place in np.ndindex(index.shape):
        target = list(place)
        target[dim] = index[place]
        value = src[place] if isinstance(src, np.ndarray) else src
        x[tuple(target)] = value + (x[tuple(target)] if add else 0)


def placed(x: np.ndarray, size: tuple, index: Any) -> np.ndarray:
    out = np.zeros(size)
    np.add.at(out, index, x)
    return out


def on_diagonal(x: np.ndarray, size: tuple, offset: int, dim1: int, dim2: int) -> np.ndarray:
    out = np.zeros(size)
    plane = np.moveaxis(out, (dim1, dim2), (-2, -1))
    for k in range(x.shape[-1]):
        plane[..., k + max(-offset, 0), k + max(offset, 0)] = x[..., k]
    return out


def windows(x: np.ndarray, dim: int, size: int, step: int) -> np.ndarray:
    starts = range(0, x.shape[dim] - size + 1, step)
    return np.stack([np.moveaxis(x.take(range(s, s + size), dim), dim, -1) for s in starts], dim)


def sorted_along(x: np.ndarray, dim: int = -1, descending: bool = False) -> tuple:
    order = np.argsort(-x if descending else x, dim, kind="stable")
    return np.take_along_axis(x, order, dim), order


def largest(x: np.ndarray, k: int, dim: int = -1, most: bool = True) -> tuple:
    return tuple(each.take(range(k), dim) for each in sorted_along(x, dim, most))


def searched(x: np.ndarray, values: np.ndarray, right: bool = False) -> np.ndarray:
    later = np.less_equal if right else np.less
    return later(x[..., None, :], values[..., None]).sum(-1)


def ranked(rank: Callable) -> Callable:
    """(values, indices) of the elements whose rank along a dimension `rank(row, ...)` tells."""

    def reference(x: np.ndarray, *rest: Any) -> tuple:
        keepdim = rest[-1] if rest and rest[-1] is True else False
        more = [each for each in rest if each is not keepdim]
        count = rank.__code__.co_argcount - 1
        dim = more[count] if len(more) > count else -1
        rows = np.moveaxis(x, dim, -1)
        places = np.apply_along_axis(
            lambda row: np.argsort(row)[rank(row, *more[:count])], -1, rows
        )
        values = np.take_along_axis(rows, places[..., None], -1)[..., 0]
        pair = values, places
        return tuple(np.expand_dims(each, dim) for each in pair) if keepdim else pair

    return reference


def most_frequent(x: np.ndarray, dim: int = -1) -> tuple:
    def find(row: np.ndarray) -> int:
        found, counts = np.unique(row, return_counts=True)
        return int(np.flatnonzero(row == found[counts.argmax()])[-1])

    places = np.apply_along_axis(find, dim, x)
    return np.take_along_axis(x, np.expand_dims(places, dim), dim).squeeze(dim), places


def running(better: Any, not_worse: Any) -> Callable:
    """(values, indices) of the best so far, and of the last place where it was met."""

    def reference(x: np.ndarray, dim: int) -> tuple:
        values = better.accumulate(x, dim)
        rows = np.moveaxis(x, dim, -1)
        places = np.zeros(rows.shape, np.int64)
        for k in range(1, rows.shape[-1]):
            best = np.take_along_axis(rows, places[..., k - 1 : k], -1)[..., 0]
            places[..., k] = np.where(not_worse(rows[..., k], best), k, places[..., k - 1])
        return values, np.moveaxis(places, -1, dim)

    return reference


def reduced(
    x: np.ndarray, dim: int, index: np.ndarray, src: np.ndarray, how: str, own: bool
) -> np.ndarray:
    fold = {"sum": np.sum, "mean": np.mean, "prod": np.prod, "amax": np.max, "amin": np.min}[how]
    members = {place: [x[place]] if own else [] for place in np.ndindex(x.shape)}
    for place in np.ndindex(index.shape):
        members[(*place[:dim], index[place], *place[dim + 1 :])].append(src[place])
    out = x.copy()
    for place, values in members.items():
        out[place] = fold(values) if values else x[place]
    return out


STRIDED = ((2, 3), (5, 2), 1, ((2, 3, 4), (12, 4, 1)))  # sizes, strides, offset; how CUBE lies


def strided(x: np.ndarray, size: tuple, stride: tuple, shift: int, origin: tuple) -> np.ndarray:
    rows, columns = np.ogrid[: size[0], : size[1]]
    return x.reshape(-1)[shift + rows * stride[0] + columns * stride[1]]


def strided_back(
    g: np.ndarray, size: tuple, stride: tuple, shift: int, origin: tuple
) -> np.ndarray:
    places = strided(np.arange(math.prod(origin[0])), size, stride, shift, origin)
    return np.bincount(places.reshape(-1), g.reshape(-1), math.prod(origin[0])).reshape(origin[0])


TABLE = dict(
    # Arithmetic
    add=two(np.add),
    sub=two(np.subtract),
    _rsub=two(lambda x, y: y - x),
    mul=two(np.multiply),
    div=two(np.divide),
    neg=calls(np.negative, (X,)),
    square=calls(np.square, (X,)),
    reciprocal=calls(np.reciprocal, (X,)),
    floor_divide=two(np.floor_divide),
    remainder=two(np.remainder, 3 * X, Y),
    fmod=two(np.fmod, 3 * X, Y),
    pow=calls(np.power, (POSITIVE, Y), (POSITIVE, 2.5), (X, 3), (X, 0), (X, 1), (2.0, Y), (0, POSITIVE)),
    # Functions of one number
    abs=calls(np.abs, (X,)),
    sign=calls(np.sign, (X,)),
    sgn=calls(np.sign, (X,)),
    conj=calls(np.conj, (X,)),
    real=calls(np.real, (X,)),
    imag=calls(np.imag),
    floor=calls(np.floor, (X,)),
    ceil=calls(np.ceil, (X,)),
    trunc=calls(np.trunc, (X,)),
    round=calls(np.round, (X + 0.01,)),
    frac=calls(lambda x: x - np.trunc(x), (X,)),
    exp=calls(np.exp, (X,), (ONE,)),
    exp2=calls(np.exp2, (X,)),
    expm1=calls(np.expm1, (X,)),
    log=calls(np.log, (POSITIVE,)),
    log2=calls(np.log2, (POSITIVE,)),
    log10=calls(np.log10, (POSITIVE,)),
    log1p=calls(np.log1p, (POSITIVE,)),
    sqrt=calls(np.sqrt, (POSITIVE,)),
    rsqrt=calls(lambda x: x**-0.5, (POSITIVE,)),
    sin=calls(np.sin, (X,)),
    cos=calls(np.cos, (X,)),
    tan=calls(np.tan, (SMALL,)),
    asin=calls(np.arcsin, (SMALL,)),
    acos=calls(np.arccos, (SMALL,)),
    atan=calls(np.arctan, (X,)),
    sinh=calls(np.sinh, (X,)),
    cosh=calls(np.cosh, (X,)),
    tanh=calls(np.tanh, (X,)),
    sigmoid=calls(lambda x: 1 / (1 + np.exp(-x)), (X,)),
    relu=calls(lambda x: np.where(x > 0, x, 0), (X,)),
    erf=calls(special.erf, (X,)),
    erfc=calls(special.erfc, (X,)),
    # Two or three numbers
    maximum=pair(np.maximum),
    minimum=pair(np.minimum),
    fmax=pair(np.fmax),
    fmin=pair(np.fmin),
    atan2=pair(np.arctan2),
    hypot=pair(np.hypot),
    logaddexp=pair(lambda x, y: np.log(np.exp(x) + np.exp(y))),
    clamp=calls(np.clip, (X, -0.5, 0.5), (X, None, 0.5), (X, Y - 0.5, Y + 0.5), (X, 1.0, -1.0), (X, ROW, None)),
    where=calls(np.where, (MASK, X, Y), (MASK, X, ROW), (MASK, X, 0.0), (MASK[0], 1.0, X)),
    lerp=calls(lambda x, y, w: x + w * (y - x), (X, Y, 0.3), (X, Y, POSITIVE), (X, ROW, COLUMN)),
    addcmul=calls(lambda x, y, z, v=1: x + v * y * z, (X, Y, POSITIVE), (X, ROW, COLUMN, 0.5)),
    addcdiv=calls(lambda x, y, z, v=1: x + v * y / z, (X, Y, POSITIVE), (X, ROW, COLUMN, 0.5)),
    # Questions
    eq=two(np.equal),
    ne=two(np.not_equal),
    lt=two(np.less),
    le=two(np.less_equal),
    gt=two(np.greater),
    ge=two(np.greater_equal),
    logical_and=pair(np.logical_and, ZEROS, Y),
    logical_or=pair(np.logical_or, ZEROS, Y),
    logical_xor=pair(np.logical_xor, ZEROS, Y),
    logical_not=calls(np.logical_not, (ZEROS,), (MASK,)),
    isnan=calls(np.isnan, (ZEROS / 0,)),
    isinf=calls(np.isinf, (ZEROS / 0,)),
    isfinite=calls(np.isfinite, (ZEROS / 0,)),
    signbit=calls(np.signbit, (X,)),
    bitwise_and=calls(np.bitwise_and, (WORDS, BITS), (MASK, ~MASK), (WORDS, 6)),
    bitwise_or=calls(np.bitwise_or, (WORDS, BITS), (MASK, ~MASK)),
    bitwise_xor=calls(np.bitwise_xor, (WORDS, BITS), (MASK, ~MASK)),
    bitwise_not=calls(np.invert, (WORDS,), (MASK,)),
    bitwise_left_shift=calls(np.left_shift, (WORDS, BITS)),
    bitwise_right_shift=calls(np.right_shift, (WORDS, BITS)),
    # The same values elsewhere
    _cast=calls(lambda x, d: x.astype(d), (X, np.dtype(np.float64)), (X, np.dtype(np.int64))),
    clone=calls(np.copy, (X,)),
    _copy=calls(lambda x, y: y, (X, Y)),
    fill=calls(lambda x, v: np.full_like(x, v), (X, ONE), (X, 3.0)),
    _transfer=calls(lambda x, a, b: x, (X, device("cpu"), device("cpu"))),
    zeros_like=calls(np.zeros_like, (X,)),
    ones_like=calls(np.ones_like, (X,)),
    # Folds
    sum=calls(along(np.sum), *FOLDS),
    mean=calls(along(np.mean), *FOLDS),
    prod=calls(along(np.prod), (X,), (X, 1), (X, -1, True), (ZEROS,), (ZEROS, 1), (ZEROS, 0, True)),
    amax=calls(along(np.max), *FOLDS),
    amin=calls(along(np.min), *FOLDS),
    _max_dim=calls(best(np.argmax), (X, 1), (CUBE, 0, True), (CUBE, -2)),
    _min_dim=calls(best(np.argmin), (X, 1), (CUBE, 0, True)),
    argmax=calls(along(np.argmax), (X,), (X, 1), (X, 0, True)),
    argmin=calls(along(np.argmin), (X,), (X, 1), (X, 0, True)),
    any=calls(along(np.any), (ZEROS,), (ZEROS, 1), (MASK, 0, True)),
    all=calls(along(np.all), (ZEROS,), (ZEROS, 1), (MASK, 0, True)),
    count_nonzero=calls(np.count_nonzero, (ZEROS,), (ZEROS, 1)),
    _xor=calls(lambda x, d=None: np.bitwise_xor.reduce(x.astype(np.int64), axis=d).astype(np.uint64), (np.array([[-3, 5], [7, 9]], np.int8),), (np.array([[-3, 5], [7, 9]], np.int8), 0)),
    var=calls(lambda x, d=None, c=1, k=False: x.var(d, ddof=c, keepdims=k), (X,), (X, 1), (CUBE, (0, 2), 0, True)),
    std=calls(lambda x, d=None, c=1, k=False: x.std(d, ddof=c, keepdims=k), (X,), (X, 1), (CUBE, (0, 2), 0, True)),
    norm=calls(p_norm, (X,), (X, 1), (X, 3, 1), (X, 2, 0, True), (X, math.inf, 1), (X, -math.inf, 1), (X, 0)),
    cumsum=calls(np.cumsum, *SCANS),
    cumprod=calls(np.cumprod, *SCANS, (ZEROS, 1)),
    cummax=calls(running(np.maximum, np.greater_equal), (X, 1), (np.array([1, 3, 2, 3]), 0)),
    cummin=calls(running(np.minimum, np.less_equal), (X, 0), (CUBE, -1)),
    logcumsumexp=calls(lambda x, dim: np.log(np.cumsum(np.exp(x), dim)), *SCANS),
    logsumexp=calls(lambda x, dim, keepdim=False: special.logsumexp(x, dim, keepdims=keepdim), (X, 1), (X, (0, 1)), (X, 0, True)),
    softmax=calls(special.softmax, *SCANS),
    log_softmax=calls(special.log_softmax, *SCANS),
    # Views
    reshape=calls(np.reshape, (X, (3, 2)), (X.T, (6,))),
    view=calls(np.reshape, (X, (3, -1)), (X, 6)),
    flatten=calls(lambda x, a=0, b=-1: x.reshape(-1) if a == 0 else x.reshape(2, 12), (CUBE,), (CUBE, 1)),
    unflatten=calls(lambda x, d, s: x.reshape(2, 3, 2, 2), (CUBE, 2, (2, -1))),
    squeeze=calls(lambda x, d=None: x.squeeze(), (COLUMN,), (COLUMN, 1), (X, 0)),
    unsqueeze=calls(np.expand_dims, (X, 0), (X, -1), (ONE, 0)),
    expand=calls(lambda x, s: np.broadcast_to(x, (4, 2, 3)), (X, (4, -1, 3)), (COLUMN, (4, 2, 3))),
    transpose=calls(np.swapaxes, (X, 0, 1), (CUBE, -1, 0)),
    t=calls(np.transpose, (X,), (ROW,)),
    permute=calls(np.transpose, (CUBE, (2, 0, 1)), (CUBE, (-1, 0, 1))),
    movedim=calls(np.moveaxis, (CUBE, 0, 2), (CUBE, (0, 1), (2, 0))),
    _alias=calls(lambda x: x, (X,)),
    narrow=calls(lambda x, d, s, n: x.take(range(s, s + n), d), (X, 1, 1, 2), (CUBE, -2, 0, 1)),
    select=calls(lambda x, d, k: x.take(k, d), (X, 1, 2), (CUBE, -1, -2)),
    _slice=calls(lambda x, i: x[i], (X, IN_FIRST), (X, IN_LAST), (X, (0, 1)), (X, (None, ..., 1))),
    _unbind=calls(lambda x, d, k: x.take(k, d), (X, 1, 2)),
    _split=calls(lambda x, d, s, n, k: x.take(range(s, s + n), d), (X, 1, 1, 2, 0)),
    _split_with_sizes=calls(lambda x, d, s, n, k: x.take(range(s, s + n), d), (X, 1, 1, 2, 0)),
    _slice_select=calls(lambda x, i: x[i], (X, (0, 1)), (X, (..., 1))),
    _slice_unsqueeze=calls(lambda x, i: x[i], (X, (None, ..., 1))),
    _as_strided=calls(strided, (CUBE, *STRIDED)),
    _strided_pick=calls(strided, (CUBE, *STRIDED)),
    _strided_sum=calls(strided_back, (SQUARE[:2], *STRIDED)),
    _view_dtype=calls(lambda x, d: x.view(d), (X, np.dtype(np.int64)), (X, np.dtype(np.int32))),
    diagonal=calls(np.diagonal, (SQUARE,), (CUBE, 1, 1, 2), (CUBE, -1, 2, 0)),
    unfold=calls(windows, (CUBE, 2, 2, 1), (CUBE, 1, 2, 2), (numbers(7), 0, 3, 2)),
    # Copies
    _place=calls(placed, (X, (4, 3), (slice(1, 3),)), (ROW, (2, 3), (1,))),
    _diagonal_place=calls(on_diagonal, (ROW, (3, 3), 0, 0, 1), (X, (2, 4, 4), 1, 1, 2), (X, (4, 2, 4), -1, 0, 2)),
    _view_scatter=calls(changed(lambda x, y, path: put(x, path[0][1][0], y)), (X, ROW, ((REGISTRY["_slice"], ((1, ...),)),))),
    sum_to_size=calls(lambda x, s: x.sum(tuple(range(x.ndim - len(s)))).sum(0, keepdims=True), (CUBE, (1, 4))),
    cat=calls(np.concatenate, ([X, Y],), ([X, COLUMN], 1), ([X, Y, X], -2)),
    stack=calls(np.stack, ([X, Y],), ([X, Y], -1)),
    flip=calls(np.flip, (X, 0), (CUBE, (0, -1))),
    roll=calls(np.roll, (X, 1), (CUBE, (1, -2), (0, 2))),
    repeat=calls(np.tile, (X, (2, 1)), (X, (3, 1, 2))),
    _repeat_interleave=calls(np.repeat, (X, 2), (CUBE, 3, 1)),
    tril=calls(np.tril, (SQUARE,), (CUBE, 1)),
    triu=calls(np.triu, (SQUARE,), (CUBE, -1)),
    constant_pad_nd=calls(lambda x, p, v=0.0: np.pad(x[:, 1:], ((0, 0), (0, 2)), constant_values=v), (X, (-1, 2)), (X, (-1, 2), 7.0)),
    # Products
    matmul=calls(np.matmul, (X, SQUARE), (CUBE, OTHER_CUBE), (SQUARE, ROW), (ROW, SQUARE), (ROW, ROW), (CUBE, numbers(4)), (ROW, CUBE), (CUBE, numbers(4, 2))),
    mm=calls(np.matmul, (X, SQUARE)),
    bmm=calls(np.matmul, (CUBE, OTHER_CUBE)),
    mv=calls(np.matmul, (X, ROW)),
    dot=calls(np.dot, (ROW, X[0])),
    outer=calls(np.outer, (ROW, numbers(2))),
    _linear=calls(lambda x, w, b=0: x @ w.T + (0 if b is None else b), (X, SQUARE, ROW), (X, SQUARE), (numbers(2, 2, 3), SQUARE, ROW), (ROW, SQUARE, ROW)),
    # Index and mask
    _index=calls(lambda x, i: x[i], (X, (ROWS,)), (X, (slice(None), PICK)), (X, (MASK,)), (CUBE, (ROWS, slice(None), ROWS))),
    _index_add_at=calls(placed, (numbers(3, 3), (2, 3), (ROWS,)), (numbers(3), (2, 3), (MASK,))),
    _index_put=calls(changed(put), (X, (ROWS[:2],), Y), (X, (MASK,), ROW), (X, (ROWS,), SQUARE, True), (X, (MASK,), 0.0)),
    gather=calls(lambda x, d, i: np.take_along_axis(x, i, d), (X, 1, PICK), (X, -1, np.array([[0, 0, 0, 2], [1, 2, 0, 1]]))),
    scatter=calls(changed(scatter), (X, 1, np.array([[0, 2], [1, 0]]), Y), (X, 1, PICK, 2.5)),
    scatter_add=calls(changed(lambda x, d, i, s: scatter(x, d, i, s, True)), (X, 1, PICK, Y), (X, 0, PICK[1:] * 0 + 1, Y)),
    index_select=calls(lambda x, d, i: x.take(i, d), (X, 0, ROWS), (CUBE, -1, ROWS)),
    _index_add=calls(changed(lambda x, d, i, s, a=1: put(x, (i,), s * a, True)), (X, 0, ROWS, SQUARE), (X, 0, ROWS, SQUARE, 0.5)),
    _index_copy=calls(changed(lambda x, d, i, s: put(x, (i,), s)), (X, 0, ROWS[:2], Y)),
    _index_fill=calls(changed(lambda x, d, i, v: put(x, (i,), v)), (X, 0, ROWS[:1], 3.0)),
    masked_fill=calls(lambda x, m, v: np.where(m, v, x), (X, MASK, 3.0), (X, MASK[0], ONE)),
    masked_select=calls(lambda x, m: x[np.broadcast_to(m, x.shape)], (X, MASK), (X, MASK[0])),
    nonzero=calls(lambda x: np.argwhere(x), (ZEROS,), (MASK,)),
    _new_zeros=calls(lambda x, s: np.zeros(s), (X, (4, 1))),
    sort=calls(sorted_along, (X,), (X, 0, True)),
    topk=calls(largest, (X, 2), (X, 1, 0, False)),
    _one_hot=calls(lambda x, n: np.eye(n, dtype=np.int64)[x], (PICK, 4)),
    bincount=calls(np.bincount, (np.array([0, 3, 1, 3]),)),
    _searchsorted=calls(searched, (np.array([1.0, 2.0, 4.0]), np.array([0.5, 2.0, 9.0])), (np.sort(X), Y, True)),
    kthvalue=calls(ranked(lambda row, k: k - 1), (X, 2), (X, 1, 0, True)),
    _median_dim=calls(lambda x, dim, keepdim=False: ranked(lambda row: (row.size - 1) // 2)(x, dim, keepdim), (X, 1), (CUBE, -1, True)),
    _nanmedian_dim=calls(lambda x, dim, keepdim=False: ranked(lambda row: (row.size - 1) // 2)(x, dim, keepdim), (X, 1), (CUBE, 0)),
    mode=calls(most_frequent, (np.array([[1, 3, 1, 3], [2, 5, 5, 2]]), 1), (X,)),
    _masked_scatter=calls(lambda x, m, s: changed(np.place)(x, m, s), (X, MASK, Y)),
    _scatter_reduce=calls(reduced, *[(X, 1, PICK, Y, how, own) for how in ("sum", "mean", "prod", "amax", "amin") for own in (True, False)]),
    _member_count=calls(lambda x, d, i, own: np.maximum(changed(lambda n: scatter(n, d, i, np.ones(i.shape), True))(np.full(x.shape, float(own))), 1), (X, 1, PICK, True), (X, 1, PICK, False)),
)  # fmt: skip
TABLE |= {name: Calls(*line) for name, line in (SPATIAL | ELEMENTWISE | MATRICES).items()}

TABLE |= {name: calls(*line) for name, line in OPS_OF_NN.items()}
for name, arguments in OF_COMPLEX.items():
    TABLE[name] = Calls(TABLE[name].reference, TABLE[name].arguments + arguments)
every_op = pytest.mark.parametrize("name", sorted(TABLE))


def as_tensors(name: str, arguments: tuple, dtype: Any = np.float64) -> list:
    """`arguments` for the op, with a leaf for each array that the op can differentiate."""
    entry = REGISTRY[name]
    differentiable = entry.vjps or [entry.joint] * (1 if entry.variadic else len(entry.names))

    def leaf(value: Any, wants: bool) -> Any:
        if isinstance(value, list):
            return [leaf(each, wants) for each in value]
        if not isinstance(value, (np.ndarray, np.float64)):
            return value
        value = np.asarray(value)
        if value.dtype.kind not in "fc":
            return wrap(value)
        kind = np.result_type(dtype, np.complex64) if value.dtype.kind == "c" else dtype
        return wrap(value.astype(kind)).requires_grad_(wants)

    wants = [
        k < len(differentiable) and differentiable[k] not in (None, underivable)
        for k in range(len(arguments))
    ]
    return [leaf(value, want) for value, want in zip(arguments, wants, strict=False)]


def leaves(args: list) -> list[Tensor]:
    flat = [each for a in args for each in (a if isinstance(a, list) else [a])]
    return [each for each in flat if isinstance(each, Tensor) and each.requires_grad]


def differentiable_output(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def with_leaves(name: str, args: list) -> Callable:
    """The op as a function of its leaves alone."""

    def function(*values: Tensor) -> Tensor:
        queue = list(values)

        def fill(a: Any) -> Any:
            if isinstance(a, list):
                return [fill(each) for each in a]
            return queue.pop(0) if isinstance(a, Tensor) and a.requires_grad else a

        return differentiable_output(getattr(TENSORS, name)(*[fill(a) for a in args]))

    return function


# Drawn numbers that move with their parameter: in test_distributions.py
OF_CHANCE = {"_standard_gamma", "_sample_dirichlet", "_standard_gamma_grad", "_dirichlet_grad"}


def test_every_op_is_in_the_table() -> None:
    here = {name for name, entry in REGISTRY.items() if "/nn/" not in _file_of(entry.plain)}
    # the ops of nn have tables of their own
    assert here - OF_CHANCE - set(TABLE) == set(), (
        "each needs a line: `name=calls(reference, (arguments))`"
    )
    assert set(TABLE) - here == set(), "a line without an op"


def _file_of(function: Callable) -> str:
    return function.__code__.co_filename


def check_equal(got: Any, expected: Any, tolerance: float) -> None:
    pairs = zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]
    for mine, theirs in pairs:
        assert mine.dtype == np.asarray(theirs).dtype
        assert mine.shape == np.shape(theirs)
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


def arrays_of(result: Any) -> Any:
    return tuple(t._array for t in result) if isinstance(result, tuple) else result._array


@every_op
def test_value(name: str) -> None:
    for arguments in TABLE[name].arguments:
        with np.errstate(all="ignore"):
            expected = TABLE[name].reference(*arguments)
        got = arrays_of(getattr(TENSORS, name)(*as_tensors(name, arguments)))
        check_equal(got, expected, 1e-12)
        assert all(type(each) is np.ndarray for each in (got if type(got) is tuple else (got,)))


@every_op
def test_raw_form_equals_the_op(name: str) -> None:
    for arguments in TABLE[name].arguments:
        raw = [np.asarray(a) if isinstance(a, np.float64) else a for a in arguments]
        if isinstance(raw[0], (np.ndarray, list)):
            got = getattr(NUMPY, name)(*raw)
            check_equal(got, arrays_of(getattr(TENSORS, name)(*as_tensors(name, arguments))), 0)


def differentiable(name: str, dtype: Any = np.float64) -> list[list]:
    """The calls of `name` that have something to differentiate, as tensors."""
    found = []
    entry = REGISTRY[name]
    for arguments in TABLE[name].arguments:
        args = as_tensors(name, arguments, dtype)
        if dtype == np.float16 and ("h" in entry.refuses or _is_complex(name, args)):
            continue
        if leaves(args) and differentiable_output(getattr(TENSORS, name)(*args)).requires_grad:
            found.append(args)
    return found


def _is_complex(name: str, args: list) -> bool:
    return name == "view_as_complex" or any(leaf.is_complex() for leaf in leaves(args))


every_differentiable_op = pytest.mark.parametrize(
    "name",
    [
        name
        for name in sorted(set(TABLE) - OF_SOME_MATRICES)
        if REGISTRY[name].vjps or REGISTRY[name].joint
    ],
)


@every_differentiable_op
def test_first_and_second_derivative(name: str) -> None:
    found = differentiable(name)
    assert found, "no call in the table differentiates it"
    for args in found:
        function = with_leaves(name, args)
        if any(leaf.is_complex() for leaf in leaves(args)) or function(*leaves(args)).is_complex():
            check_complex_derivatives(function, leaves(args))
            continue
        assert torch.autograd.gradcheck(function, leaves(args))
        assert torch.autograd.gradgradcheck(function, leaves(args), atol=1e-4)


def check_complex_derivatives(function: Callable, inputs: list[Tensor]) -> None:
    """First and second order, against differences in the real and the imaginary direction."""

    def first_order(*values: Tensor) -> Tensor:
        out = function(*values[:-1])
        return torch.autograd.grad(out, values[:-1], values[-1], create_graph=True)

    seed = _drawn_like(function(*inputs)).requires_grad_()
    _check_directions(lambda *values: (function(*values),), inputs)
    _check_directions(first_order, [*inputs, seed])


def _drawn_like(t: Tensor) -> Tensor:
    rng = np.random.RandomState(SEED)
    drawn = rng.randn(*t.shape) + (1j * rng.randn(*t.shape) if t.is_complex() else 0)
    return wrap(np.asarray(drawn))


def _check_directions(function: Callable, inputs: list[Tensor], eps: float = 1e-6) -> None:
    """The gradient of the product with drawn cotangents is how it grows along each axis."""
    outputs = [out for out in function(*inputs) if out.requires_grad]
    cotangents = [_drawn_like(out) for out in outputs]
    found = torch.autograd.grad(outputs, inputs, cotangents, allow_unused=True)

    def product() -> float:
        values = [out for out in function(*inputs) if out.requires_grad]
        pairs = zip(values, cotangents, strict=True)
        return sum(np.vdot(c._array, v._array).real for v, c in pairs)

    for x, gradient in zip(inputs, found, strict=True):
        for place in np.ndindex(x._array.shape):
            value, slope = x._array[place], 0
            for direction in (1, 1j) if x.is_complex() else (1,):
                ends = []
                for step in (eps, -eps):
                    x._array[place] = value + step * direction
                    ends.append(product())
                slope += direction * (ends[0] - ends[1]) / (2 * eps)
                x._array[place] = value
            got = 0 if gradient is None else gradient._array[place]
            np.testing.assert_allclose(got, slope, rtol=1e-4, atol=1e-5)


@every_differentiable_op
@pytest.mark.parametrize(
    ("dtype", "limit"), [(np.float64, 1e-12), (np.float32, 1e-5), (np.float16, 2e-2)]
)
def test_both_forms_of_the_vjps_agree(name: str, dtype: Any, limit: float) -> None:
    for args in differentiable(name, dtype):
        out = differentiable_output(getattr(TENSORS, name)(*args))
        seed = _drawn_like(out).to(out.dtype)
        keywords: dict = {"retain_graph": True, "allow_unused": True}
        first = torch.autograd.grad(out, leaves(args), seed, **keywords)
        graph = torch.autograd.grad(out, leaves(args), seed, create_graph=True, **keywords)
        for leaf, a, b in zip(leaves(args), first, graph, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                assert a.shape == b.shape == leaf.shape
                assert a.dtype == b.dtype == leaf.dtype
                np.testing.assert_allclose(a._array, b._array, rtol=limit, atol=limit)


@pytest.mark.parametrize("name", ["exp", "sigmoid", "softmax", "sum", "matmul", "mul"])
def test_bfloat16_is_computed_in_float32_and_rounded_once(name: str) -> None:
    args = [torch.tensor(SQUARE, dtype=torch.bfloat16)] * (2 if name in ("matmul", "mul") else 1)
    extra = [0] if name == "softmax" else []
    got = getattr(TENSORS, name)(*args, *extra)
    wide = getattr(TENSORS, name)(*[a.float() for a in args], *extra)
    assert got.dtype is torch.bfloat16
    assert got.tolist() == wide.bfloat16().tolist()


def test_a_kernel_answers_for_its_op_and_leaves_the_rest_to_the_plain_forward() -> None:
    plain = REGISTRY["relu"].forward
    seen = []

    @kernel("relu")
    def fast(xp: Any, x: Any) -> Any:
        seen.append(x.shape)
        return NotImplemented if x.ndim == 1 else plain(xp, x)

    try:
        x = torch.tensor(X).requires_grad_()
        assert x.relu().tolist() == plain(np, X).tolist()
        assert torch.tensor(ROW).relu().tolist() == plain(np, ROW).tolist()
        assert NUMPY.relu(X).tolist() == plain(np, X).tolist()
        assert seen == [X.shape, ROW.shape, X.shape]
        assert REGISTRY["relu"].plain is plain
    finally:
        set_forward("relu", plain)


def test_an_op_has_a_name_of_its_own() -> None:
    with pytest.raises(ValueError, match="there is a 'mul' already"):
        register("mul", lambda xp, x: x)


@pytest.mark.parametrize(
    ("vjps", "message"),
    [
        ((lambda F, g, z: g, None), "a vjp of _odd reads 'z'; it may read out, x, y, x_shape, y_s"),
        ((lambda F, g: g,), "_odd expects a vjp for each of its parameters (x, y), got 1; None "),
        ((None, None, None), "_odd expects a vjp for each of its parameters (x, y), got 3; None "),
    ],
)
def test_a_vjp_that_does_not_fit_its_op_is_refused(vjps: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        register("_odd", lambda xp, x, y: x + y, *vjps, operands=(0, 1))
    assert "_odd" not in REGISTRY


def test_every_dtype_has_a_name_in_the_namespace() -> None:
    for d in dtypes.ALL:
        assert getattr(torch, d.name) is d
