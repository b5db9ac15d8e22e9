"""Chance, with PyTorch's own CPU streams: the same seed gives the same numbers.

The engine is mt19937, as in numpy's RandomState. What turns its words into numbers follows
ATen: core/DistributionsHelper.h, native/cpu/DistributionTemplates.h and avx_mathfun.h (the AVX2
kernels, with their fused multiply-adds, which are computed here in float64 and rounded once).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from elastic.tensor import dtypes
from elastic.tensor._creation import empty, full
from elastic.tensor._inplace import check_history, is_recorded
from elastic.tensor._tensor import Tensor, wrap

_STATE = struct.Struct("<QiiQ624QdddixxxxfBxxx")  # at::CPUGeneratorImplState, 5056 bytes


class Generator:
    """A stream of random numbers with PyTorch's state."""

    def __init__(self, device: Any = "cpu"):
        self.device = device
        self._engine = np.random.RandomState(0)
        self.manual_seed(_DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Itself, started anew from `seed`."""
        self._seed = int(seed) & 0xFFFFFFFFFFFFFFFF
        self._engine.seed(self._seed & 0xFFFFFFFF)  # a new engine would cost thirty times as much
        self._fresh = True  # no word drawn since seeding: PyTorch's state tells this apart
        self._normal: float | None = None  # the second value of Box-Muller, kept for the next call
        return self

    def seed(self) -> int:
        """A new seed from the system, already in use."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed it was started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """The state as 5056 bytes, laid out as PyTorch's."""
        key, position = self._engine.get_state()[1:3]  # type: ignore[index]
        words = [int(w) for w in key]
        following = 0 if self._fresh else position
        left = 1 if self._fresh else 625 - position
        cached = self._normal
        packed = _STATE.pack(
            self._seed, left, 1, following, *words, 0.0, cached or 0.0, 0.0,
            int(cached is not None), 0.0, 0,
        )  # fmt: skip
        return wrap(np.frombuffer(packed, np.uint8).copy())

    def set_state(self, state: Tensor) -> Generator:
        """Itself, at the place that `state` (5056 bytes) tells."""
        raw = state._array.tobytes()
        if state.dtype is not dtypes.uint8 or len(raw) != _STATE.size:
            raise RuntimeError(
                f"a generator's state is a uint8 tensor of {_STATE.size} bytes, got "
                f"{state.dtype} of {len(raw)}"
            )
        self._seed, left, _, following, *rest = _STATE.unpack(raw)
        words, (_, normal, _, valid, _, _) = rest[:624], rest[624:]
        self._fresh = following == 0
        position = 624 if left == 1 else following
        self._engine.set_state(("MT19937", np.array(words, np.uint32), position, 0, 0.0))
        self._normal = normal if valid else None
        return self

    # Words

    def words(self, count: int) -> np.ndarray:
        """The next `count` 32-bit words."""
        self._fresh = self._fresh and not count
        return self._engine.randint(0, 2**32, count, dtype=np.uint32)

    def long_words(self, count: int) -> np.ndarray:
        """The next `count` 64-bit words, each from two 32-bit ones, the high one first."""
        pairs = self.words(2 * count).astype(np.uint64)
        return (pairs[0::2] << np.uint64(32)) | pairs[1::2]

    def uniform32(self, count: int) -> np.ndarray:
        """float32 in [0, 1), of 24 bits each."""
        return (self.words(count) & np.uint32(0xFFFFFF)).astype(np.float32) * np.float32(2**-24)

    def uniform64(self, count: int) -> np.ndarray:
        """float64 in [0, 1), of 53 bits each."""
        return (self.long_words(count) & np.uint64(2**53 - 1)).astype(np.float64) * 2.0**-53


_DEFAULT_SEED = 67280421310721
default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """The default generator, started anew from `seed`."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """A new seed of the default generator, from the system."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator was started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator, 5056 bytes."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Puts the default generator at the place that `new_state` tells."""
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Puts the default generator back to where it was when the block ends."""
    state = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(state)


# Filling arrays


def _uniform(generator: Generator, count: int, low: float, high: float, dtype: Any) -> np.ndarray:
    if dtype == np.float64:
        values = _fma64(generator.uniform64(count), high - low, low)
    else:
        # One rounding of x * (high - low) + low, as the fused multiply-add does.
        scale, start = np.float32(np.float32(high) - np.float32(low)), np.float32(low)
        fused = generator.uniform32(count).astype(np.float64) * np.float64(scale) + np.float64(
            start
        )
        values = fused.astype(np.float32).astype(dtype)
    return np.where(values == np.asarray(high, dtype), np.asarray(low, dtype), values)


def _normal(generator: Generator, count: int, mean: float, std: float, dtype: Any) -> np.ndarray:
    if count < 16:
        return np.array([_next_normal(generator) * std + mean for _ in range(count)]).astype(dtype)
    double = dtype == np.float64
    draw = generator.uniform64 if double else generator.uniform32
    transform = _box_muller64 if double else _box_muller32
    whole = count - count % 16
    data = draw(count if dtype.itemsize > 2 else whole)
    data.resize(count, refcheck=False)
    data[:whole] = transform(data[:whole].reshape(-1, 16), mean, std).reshape(-1)
    if count % 16:
        data[-16:] = transform(draw(16).reshape(1, 16), mean, std)
    return data.astype(dtype)


def _next_normal(generator: Generator) -> float:
    if generator._normal is not None:
        value, generator._normal = generator._normal, None
        return value
    u1, u2 = generator.uniform64(2)
    radius, angle = np.sqrt(-2.0 * np.log1p(-u2)), 2.0 * np.pi * u1
    generator._normal = float(radius * np.sin(angle))
    return float(radius * np.cos(angle))


def _box_muller64(data: np.ndarray, mean: float, std: float) -> np.ndarray:
    u1, u2 = 1 - data[:, :8], data[:, 8:]
    radius, angle = np.sqrt(-2.0 * np.log(u1)), 2.0 * np.pi * u2
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1) * std + mean


def _box_muller32(data: np.ndarray, mean: float, std: float) -> np.ndarray:
    u1, u2 = np.float32(1) - data[:, :8], data[:, 8:]
    radius = np.sqrt(np.float32(-2) * _log32(u1))
    sine, cosine = _sincos32(np.float32(2 * np.pi) * u2)
    return np.concatenate(
        [_fma(radius * cosine, std, mean), _fma(radius * sine, std, mean)], axis=1
    )


def _fma(a: Any, b: Any, c: Any) -> np.ndarray:
    """a * b + c of float32 numbers with one rounding."""
    a, b, c = (np.asarray(each, np.float32).astype(np.float64) for each in (a, b, c))
    return (a * b + c).astype(np.float32)


def _fma64(a: np.ndarray, b: float, c: float) -> np.ndarray:
    """a * b + c of float64 numbers with one rounding: Dekker's product, Knuth's sum."""
    split = 134217729.0  # 2 ** 27 + 1
    a_high, b_high = a * split - (a * split - a), b * split - (b * split - b)
    a_low, b_low = a - a_high, b - b_high
    product = a * b
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    total = product + c
    back = total - product
    return total + ((product - (total - back)) + (c - back) + rest)


_LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip


def _log32(x: np.ndarray) -> np.ndarray:
    """Cephes' logf, as avx_mathfun.h computes it."""
    f = np.float32
    bits = np.maximum(x, f(2.0**-126)).view(np.int32)
    e = ((bits >> 23) - 126).astype(f)
    m = ((bits & 0x007FFFFF) | 0x3F000000).view(f)
    small = m < f(0.707106781186547524)
    e = np.where(small, e - f(1), e)
    x = np.where(small, (m - f(1)) + m, m - f(1))
    z = x * x
    y = np.full_like(x, _LOG[0])
    for coefficient in _LOG[1:]:
        y = _fma(y, x, f(coefficient))
    y = _fma(y * x, z, e * f(-2.12194440e-4))
    y = _fma(-z, f(0.5), y)
    return _fma(e, f(0.693359375), x + y)


def _sincos32(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cephes' sinf and cosf of t >= 0, as avx_mathfun.h computes them."""
    f = np.float32
    j = ((t * f(1.27323954473516)).astype(np.int32) + 1) & ~1
    y = j.astype(f)
    x = _fma(y, f(-0.78515625), t)
    x = _fma(y, f(-2.4187564849853515625e-4), x)
    x = _fma(y, f(-3.77489497744594108e-8), x)
    z = x * x
    c = _fma(f(2.443315711809948e-5), z, f(-1.388731625493765e-3))
    c = _fma(c, z, f(4.166664568298827e-2)) * z
    c = _fma(c, z, -(z * f(0.5))) + f(1)
    s = _fma(f(-1.9515295891e-4), z, f(8.3321608736e-3))
    s = _fma(s, z, f(-1.6666654611e-1)) * z
    s = _fma(s, x, x)
    swap = (j & 2) != 0
    sine, cosine = np.where(swap, c, s), np.where(swap, s, c)
    return np.where(j & 4, -sine, sine), np.where(~(j - 2) & 4, -cosine, cosine)


# In-place methods


def _fill(self: Tensor, values: np.ndarray) -> Tensor:
    """Writes `values` in the order of memory, which is how PyTorch fills."""
    array = self._array
    order = sorted(range(array.ndim), key=lambda d: -array.strides[d])
    array.transpose(order)[...] = values.reshape([array.shape[d] for d in order])
    self._cell[0] += 1
    return self


def _check(self: Tensor) -> None:
    if is_recorded(self, ()):
        check_history(self)


def uniform_(
    self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Itself, filled with numbers uniform in [a, b)."""
    _check(self)
    if a > b:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={a} > to={b}"
        )
    g = generator or default_generator
    return _fill(self, _uniform(g, self._array.size, a, b, self._array.dtype))


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Itself, filled with numbers normal around `mean`."""
    _check(self)
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    g = generator or default_generator
    if self._array.size >= 16 and not self.is_contiguous():
        values = [_next_normal(g) * std + mean for _ in range(self._array.size)]
        return _fill(self, np.array(values).astype(self._array.dtype))
    return _fill(self, _normal(g, self._array.size, mean, std, self._array.dtype))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Itself, filled with 1 at probability `p` and 0 otherwise."""
    _check(self)
    g = generator or default_generator
    if isinstance(p, Tensor):
        probability = np.broadcast_to(p._array, self._array.shape).reshape(-1)
        draws = g.uniform64 if p._array.dtype == np.float64 else g.uniform32
        return _fill(self, (draws(self._array.size) < probability).astype(self._array.dtype))
    _check_probability(p)
    return _fill(self, (g.uniform64(self._array.size) < p).astype(self._array.dtype))


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Itself, filled with exponentially distributed numbers of rate `lambd`."""
    _check(self)
    u = (generator or default_generator).uniform64(self._array.size)
    return _fill(self, (-1.0 / lambd * np.log1p(-u)).astype(self._array.dtype))


_LONG_RANGE = frozenset({"int64", "float64", "float32", "bfloat16"})


def random_(self: Tensor, *bounds: int | None, generator: Generator | None = None) -> Tensor:
    """Itself, filled with integers in [from, to), or with all that its dtype holds."""
    _check(self)
    g, count, dtype = generator or default_generator, self._array.size, self.dtype
    if not bounds:
        return _fill(self, _any_integers(g, count, dtype))
    low, high = (0, bounds[0]) if len(bounds) == 1 else bounds
    high = _largest(dtype) + 1 if high is None else high
    if low >= high:  # type: ignore[operator]
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    return _fill(self, _integers(g, count, low, high, dtype))  # type: ignore[arg-type]


def _integers(g: Generator, count: int, low: int, high: int, dtype: dtypes.dtype) -> np.ndarray:
    span = high - low
    if span >= 2**32 and dtype.name in _LONG_RANGE:
        words = g.long_words(count) % np.uint64(span)
    else:
        words = (g.words(count) % np.uint32(span) if span < 2**32 else g.words(count)).astype(
            np.uint64
        )
    return (words.astype(np.int64) + np.int64(low)).astype(dtype.np)


def _largest(dtype: dtypes.dtype) -> int:
    mantissas = {"float64": 2**53, "float32": 2**24, "float16": 2**11, "bfloat16": 2**8}
    return mantissas.get(dtype.name) or int(np.iinfo(dtype.np).max)


def _any_integers(g: Generator, count: int, dtype: dtypes.dtype) -> np.ndarray:
    if dtype is dtypes.bool_:
        return (g.words(count) & np.uint32(1)).astype(np.bool_)
    if dtype is dtypes.int64:
        return (g.long_words(count) % np.uint64(2**63)).astype(np.int64)
    if dtype is dtypes.float64:
        return (g.long_words(count) % np.uint64(2**53 + 1)).astype(np.float64)
    return (g.words(count) % np.uint32(_largest(dtype) + 1)).astype(dtype.np)


# Functions


def rand(*size: Any, generator: Generator | None = None, **settings: Any) -> Tensor:
    """Numbers uniform in [0, 1), of `size`."""
    requires_grad = settings.pop("requires_grad", False)
    return uniform_(empty(*size, **settings), generator=generator).requires_grad_(requires_grad)


def randn(*size: Any, generator: Generator | None = None, **settings: Any) -> Tensor:
    """Numbers of the standard normal distribution, of `size`."""
    requires_grad = settings.pop("requires_grad", False)
    return normal_(empty(*size, **settings), generator=generator).requires_grad_(requires_grad)


def rand_like(input: Tensor, **settings: Any) -> Tensor:
    """Numbers uniform in [0, 1), of the shape and dtype of `input`."""
    return rand(input.shape, **{"dtype": input.dtype} | settings)


def randn_like(input: Tensor, **settings: Any) -> Tensor:
    """Standard normal numbers of the shape and dtype of `input`."""
    return randn(input.shape, **{"dtype": input.dtype} | settings)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    **settings: Any,
) -> Tensor:
    """Integers in [low, high) of `size`: `randint(high, size)` or `randint(low, high, size)`."""
    if size is None:
        low, high, size = 0, low, high
    if isinstance(high, (tuple, list)):
        low, high, size = 0, low, high
    settings["dtype"] = settings.get("dtype") or dtypes.int64
    return random_(empty(size, **settings), low, high, generator=generator)


def randint_like(input: Tensor, low: int, high: int | None = None, **settings: Any) -> Tensor:
    """Integers in [low, high) of the shape and dtype of `input`."""
    bounds = (0, low) if high is None else (low, high)
    return randint(*bounds, input.shape, **{"dtype": input.dtype} | settings)


def randperm(n: int, *, generator: Generator | None = None, **settings: Any) -> Tensor:
    """A random permutation of the integers below `n`."""
    order = list(range(n))
    words = (generator or default_generator).words(max(n - 1, 0)).tolist()
    for i, word in enumerate(words):
        j = i + word % (n - i)
        order[i], order[j] = order[j], order[i]
    dtype = settings.pop("dtype", None) or dtypes.int64
    return wrap(np.array(order, dtype.np))


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    **settings: Any,
) -> Tensor:
    """Normal numbers; `mean` and `std` are numbers (with `size`) or tensors."""
    if size is not None:
        return normal_(empty(size, **settings), mean, std, generator=generator)
    shape = np.broadcast_shapes(
        *[each._array.shape for each in (mean, std) if isinstance(each, Tensor)]
    )
    like = mean if isinstance(mean, Tensor) else std
    return randn(shape, generator=generator, dtype=like.dtype) * std + mean


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """1 where chance wins, at the probabilities in `input` (or `p` everywhere)."""
    out = full(input.shape, 0, dtype=input.dtype)
    return bernoulli_(out, input.detach() if p is None else p, generator=generator)


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Indices drawn from each row of weights."""
    g, weights = generator or default_generator, input._array
    rows = weights.reshape(-1, weights.shape[-1])
    if not replacement:
        noise = exponential_(empty(rows.shape, dtype=input.dtype), generator=g)._array
        picked = np.argsort(-(rows / noise), axis=1, kind="stable")[:, :num_samples]
    else:
        picked = np.stack([_draw_rows(g, row, num_samples) for row in rows])
    return wrap(picked.reshape((*weights.shape[:-1], num_samples)).astype(np.int64))


def _draw_rows(g: Generator, weights: np.ndarray, count: int) -> np.ndarray:
    cdf = np.cumsum(weights / weights.sum())
    return np.searchsorted(cdf, g.uniform64(count)).clip(0, len(weights) - 1)
