"""Chance: the same seed gives the same numbers as in PyTorch.

Methods fill a tensor in the order of its memory; functions make one and fill it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from elastic.tensor import backend, dtypes
from elastic.tensor._creation import empty, empty_like
from elastic.tensor._dispatch import into
from elastic.tensor._generator import Generator, default_generator
from elastic.tensor._inplace import check_history, is_recorded, overwrite
from elastic.tensor._registry import REGISTRY
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._streams import binomial_number, gamma_number, next_normal, poisson_number
from elastic.tensor._streams import normal as normal_numbers
from elastic.tensor._streams import uniform as uniform_numbers
from elastic.tensor._tensor import Tensor, wrap
from elastic.tensor._types import contiguous_format

# In-place methods


def _fill(self: Tensor, values: np.ndarray) -> Tensor:
    """Writes `values`, which are in the order of memory."""
    array = self._array
    order = sorted(range(array.ndim), key=lambda d: -array.strides[d])
    back = [order.index(d) for d in range(array.ndim)]
    values = values.reshape([array.shape[d] for d in order]).transpose(back)
    if is_recorded(self, ()):  # nothing of the old values remains: their gradient is zero
        return overwrite(self, REGISTRY["_drawn"], [self, values])
    array[...] = backend.beside(array, values)
    self._cell[0] += 1
    return self


def _check(self: Tensor) -> None:
    if is_recorded(self, ()):
        check_history(self)


def _check_kind(self: Tensor, kinds: str, kernel: str) -> None:
    if dtypes.kind(self.dtype) not in kinds:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{self.dtype.title}'")


def _check_continuous(self: Tensor, name: str, title: str) -> None:
    if not self.is_floating_point():
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. dtype must be a "
            f"floating point but you specified {title}"
        )


def _parts(self: Tensor) -> Tensor:
    return wrap(F.view_as_real(self.detach())._array)


def uniform_(
    self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Itself, filled with numbers uniform in [a, b)."""
    _check(self)
    if self.is_complex():
        uniform_(_parts(self), a, b, generator=generator)
        return self
    _check_kind(self, "hf", "check_uniform_bounds")
    if a > b:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={a} > to={b}"
        )
    g = generator or default_generator
    return _fill(self, uniform_numbers(g, self._array.size, a, b, self._array.dtype))


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Itself, filled with numbers normal around `mean`."""
    _check(self)
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    if self.is_complex():  # the variance is that of both parts together
        normal_(_parts(self), mean, std / math.sqrt(2), generator=generator)
        return self
    _check_kind(self, "hf", "normal_kernel_cpu")
    g = generator or default_generator
    if self._array.size >= 16 and not self.is_contiguous():
        values = [next_normal(g) * std + mean for _ in range(self._array.size)]
        return _fill(self, np.array(values).astype(self._array.dtype))
    return _fill(self, normal_numbers(g, self._array.size, mean, std, self._array.dtype))


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Itself, filled with numbers whose logarithm is normal around `mean`."""
    _check(self)
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    _check_kind(self, "hf", "log_normal_cpu")
    g = generator or default_generator
    values = [math.exp(next_normal(g) * std + mean) for _ in range(self._array.size)]
    return _fill(self, np.array(values).astype(self._array.dtype))


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Itself, filled with numbers of Cauchy's distribution."""
    _check(self)
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    names = {"Long": "long int", "Int": "int", "Short": "short int", "Char": "signed char"}
    title = names.get(self.dtype.title, self.dtype.name)
    _check_continuous(self, "Cauchy", title)
    eps = 2.0**-52  # the tangent overflows at the ends
    u = (generator or default_generator).uniform64(self._array.size).clip(eps, 1 - eps)
    return _fill(self, (median + sigma * np.tan(np.pi * (u - 0.5))).astype(self._array.dtype))


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Itself, filled with the number of trials up to the first success of probability `p`."""
    _check(self)
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    _check_kind(self, "ihf", "geometric_cpu")
    u = (generator or default_generator).uniform64(self._array.size)
    return _fill(self, np.ceil(np.log(u) / math.log1p(-p)).astype(self._array.dtype))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Itself, filled with exponentially distributed numbers of rate `lambd`."""
    _check(self)
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    _check_continuous(self, "Exponential", self.dtype.title)
    u = (generator or default_generator).uniform64(self._array.size)
    return _fill(self, (-1.0 / lambd * np.log1p(-u)).astype(self._array.dtype))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Itself, filled with 1 at probability `p` and 0 otherwise."""
    _check(self)
    g = generator or default_generator
    if isinstance(p, Tensor):
        _check_kind(p, "hf", "bernoulli_tensor_cpu_p_")
        if not ((p._array >= 0) & (p._array <= 1)).all():
            raise RuntimeError(
                "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error "
                "message be improved?  If so, please report an enhancement request to PyTorch.)"
            )
        probability = np.broadcast_to(p._array, self._array.shape).reshape(-1)
        draws = g.uniform64 if p._array.dtype == np.float64 else g.uniform32
        return _fill(self, (draws(self._array.size) < probability).astype(self._array.dtype))
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return _fill(self, (g.uniform64(self._array.size) < p).astype(self._array.dtype))


_LONG_RANGE = frozenset({"int64", "uint64", "float64", "float32", "bfloat16"})
_C_NAMES = {
    "uint8": "unsigned char", "int8": "signed char", "int16": "short", "int32": "int",
    "bool": "bool", "float16": "Half",
}  # fmt: skip


def random_(self: Tensor, *bounds: int | None, generator: Generator | None = None) -> Tensor:
    """Itself, filled with integers in [from, to), or with all that its dtype holds."""
    _check(self)
    g, count, dtype = generator or default_generator, self._array.size, self.dtype
    if not bounds:
        return _fill(self, _any_integers(g, count, dtype))
    low, high = (0, bounds[0]) if len(bounds) == 1 else bounds
    open_ended, high = high is None, dtypes.largest_exact(dtype) + 1 if high is None else high
    if low >= high:  # type: ignore[operator]
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    _check_bounds(dtype, low, high)  # type: ignore[arg-type]
    if open_ended and low == -(2**63):
        return _fill(self, g.long_words(count).astype(np.int64))
    return _fill(self, _integers(g, count, low, high, dtype))  # type: ignore[arg-type]


def _check_bounds(dtype: dtypes.dtype, low: int, high: int) -> None:
    if dtype.name not in _C_NAMES:
        return
    most = (
        1
        if dtype is dtypes.bool_
        else 65504
        if dtype is dtypes.float16
        else dtypes.largest_exact(dtype)
    )
    least = 0 if not dtype.is_signed else -most - 1
    for name, value in (("from", low), ("to - 1", high - 1)):
        if not least <= value <= most:
            raise RuntimeError(f"{name} is out of bounds for {_C_NAMES[dtype.name]}")


def _integers(g: Generator, count: int, low: int, high: int, dtype: dtypes.dtype) -> np.ndarray:
    span = high - low
    if span >= 2**32 and dtype.name in _LONG_RANGE:
        words = g.long_words(count) % np.uint64(span)
    else:
        words = (g.words(count) % np.uint32(span) if span < 2**32 else g.words(count)).astype(
            np.uint64
        )
    return (words.astype(np.int64) + np.int64(low)).astype(dtype.np)


def _any_integers(g: Generator, count: int, dtype: dtypes.dtype) -> np.ndarray:
    if dtype is dtypes.bool_:
        return (g.words(count) & np.uint32(1)).astype(np.bool_)
    if dtype is dtypes.int64:
        return (g.long_words(count) % np.uint64(2**63)).astype(np.int64)
    if dtype is dtypes.float64:
        return (g.long_words(count) % np.uint64(2**53 + 1)).astype(np.float64)
    return (g.words(count) % np.uint32(dtypes.largest_exact(dtype) + 1)).astype(dtype.np)


# Functions


def _filled(fill: Any, t: Tensor, settings: dict, *bounds: Any, generator: Any) -> Tensor:
    out = settings.get("out")
    drawn = fill(t.detach(), *bounds, generator=generator)
    if out is not None:
        return into(out, drawn) if out is not t else out
    return drawn.requires_grad_() if t.requires_grad else drawn


def rand(*size: Any, generator: Generator | None = None, **settings: Any) -> Tensor:
    """Numbers uniform in [0, 1), of `size`."""
    return _filled(uniform_, empty(*size, **settings), settings, generator=generator)


def randn(*size: Any, generator: Generator | None = None, **settings: Any) -> Tensor:
    """Numbers of the standard normal distribution, of `size`."""
    return _filled(normal_, empty(*size, **settings), settings, generator=generator)


def rand_like(input: Tensor, *, generator: Generator | None = None, **settings: Any) -> Tensor:
    """Numbers uniform in [0, 1), of the shape and dtype of `input`."""
    return _filled(uniform_, empty_like(input, **settings), {}, generator=generator)


def randn_like(input: Tensor, *, generator: Generator | None = None, **settings: Any) -> Tensor:
    """Standard normal numbers of the shape and dtype of `input`."""
    return _filled(normal_, empty_like(input, **settings), {}, generator=generator)


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
    elif high is None:
        low, high = 0, low
    settings["dtype"] = settings.get("dtype") or dtypes.int64
    return _filled(random_, empty(size, **settings), settings, low, high, generator=generator)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    **settings: Any,
) -> Tensor:
    """Integers in [low, high) of the shape and dtype of `input`."""
    bounds = (0, low) if high is None else (low, high)
    return _filled(random_, empty_like(input, **settings), {}, *bounds, generator=generator)


def randperm(n: int, *, generator: Generator | None = None, **settings: Any) -> Tensor:
    """A random permutation of the integers below `n`."""
    out = settings.pop("out", None)
    dtype = settings.pop("dtype", None) or (dtypes.int64 if out is None else out.dtype)
    result = empty(n, dtype=dtype, **settings)
    if n - 1 > dtypes.largest_exact(dtype):
        raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")
    order = list(range(n))
    words = (generator or default_generator).words(max(n - 1, 0)).tolist()
    for i, word in enumerate(words):
        j = i + word % (n - i)
        order[i], order[j] = order[j], order[i]
    result._array[...] = backend.beside(result._array, np.asarray(order))
    return result if out is None else into(out, result)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    **settings: Any,
) -> Tensor:
    """Normal numbers; `mean` and `std` are numbers (with `size`) or tensors."""
    if size is not None:
        t = empty(size, out=out, **settings)
        return _filled(normal_, t, {"out": out}, mean, std, generator=generator)
    given = [each for each in (mean, std) if isinstance(each, Tensor)]
    if not given:
        raise TypeError("normal() of two numbers needs a size")
    if isinstance(std, Tensor) and not (std._array >= 0).all():
        raise RuntimeError("normal expects all elements of std >= 0.0")
    shape = F.add(F.mul(given[0].detach(), 0), given[-1].detach()).shape
    scale = 1.0 if isinstance(std, Tensor) else std
    drawn = normal_(empty(shape, dtype=given[0].dtype), 0.0, scale, generator=generator)
    spread = drawn * std.detach() if isinstance(std, Tensor) else drawn
    values = spread + (mean.detach() if isinstance(mean, Tensor) else mean)
    result = F._normal(mean, std, values._array)
    return result if out is None else into(out, result)


def bernoulli(
    input: Tensor,
    p: float | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """1 where chance wins, at the probabilities in `input` (or `p` everywhere)."""
    blank = empty_like(input, memory_format=contiguous_format)
    drawn = bernoulli_(blank, input.detach() if p is None else p, generator=generator)
    result = F._bernoulli(input, drawn._array)
    return result if out is None else into(out, result)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of events that are expected to happen `input` times."""
    _check_kind(input, "hf", "poisson_cpu")
    if not (input._array >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    g = generator or default_generator
    values = [poisson_number(g, float(rate)) for rate in input._array.reshape(-1)]
    array = np.array(values, np.float64).reshape(input._array.shape)
    return F._poisson(input, array.astype(input._array.dtype))


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of successes in `count` trials of probability `prob`."""
    g = generator or default_generator
    n, p = np.broadcast_arrays(count._array, prob._array)
    values = [binomial_number(g, float(a), float(b)) for a, b in zip(n.flat, p.flat, strict=True)]
    return wrap(np.array(values, np.float64).reshape(n.shape).astype(n.dtype))


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn from each row of weights."""
    _check_weights(input, num_samples, replacement)
    if out is not None and out.dtype is not dtypes.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {out.dtype.title}")
    g, weights = generator or default_generator, input._array
    rows = weights.reshape(-1, weights.shape[-1])
    if not replacement or num_samples == 1:
        noise = exponential_(empty(rows.shape, dtype=input.dtype), generator=g)._array
        picked = np.argsort(-(rows / noise), axis=1, kind="stable")[:, :num_samples]
    else:
        picked = np.stack([_draw_rows(g, row, num_samples) for row in rows])
    result = wrap(picked.reshape((*weights.shape[:-1], num_samples)).astype(np.int64))
    return result if out is None else into(out, result)


def _check_weights(input: Tensor, count: int, replacement: bool) -> None:
    """Raises: RuntimeError for what cannot be drawn from."""
    weights = input._array
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not input.is_floating_point():
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: " + input.dtype.title
        )
    if count <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and count > weights.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    if weights.shape[-1] > 2**24:
        raise RuntimeError("number of categories cannot exceed 2^24")
    if not (np.isfinite(weights) & (weights >= 0)).all() and not replacement:
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not ((weights.sum(-1) > 0) & np.isfinite(weights).all(-1) & (weights >= 0).all(-1)).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


def _draw_rows(g: Generator, weights: np.ndarray, count: int) -> np.ndarray:
    cdf = np.cumsum(weights / weights.sum())
    return np.searchsorted(cdf, g.uniform64(count)).clip(0, len(weights) - 1)


def gamma_sample(shape: Tensor, generator: Generator | None = None) -> Tensor:
    """Numbers of the gamma distribution of these shapes; gradients reach the shapes."""
    array, g = shape._array, generator or default_generator
    values = np.array([gamma_number(g, each) for each in array.reshape(-1)], np.float64)
    least = np.finfo(np.float64 if array.dtype == np.float64 else np.float32).tiny
    drawn = np.maximum(values.reshape(array.shape).astype(array.dtype), array.dtype.type(least))
    return F._standard_gamma(shape, drawn)


def dirichlet_sample(weights: Tensor, generator: Generator | None = None) -> Tensor:
    """Proportions along the last dimension for these weights; gradients reach the weights."""
    array, g = weights._array, generator or default_generator
    values = [gamma_number(g, each) for each in array.astype(np.float64).reshape(-1)]
    drawn = np.array(values, np.float64).reshape(array.shape)
    parts = (drawn / drawn.sum(-1, keepdims=True)).astype(array.dtype)
    info = np.finfo(array.dtype)
    return F._sample_dirichlet(weights, parts.clip(info.tiny, 1 - info.epsneg))
