"""Words of a generator as numbers of a distribution, each with PyTorch's own arithmetic.

Follows ATen: core/DistributionsHelper.h, native/cpu/DistributionTemplates.h and avx_mathfun.h (the
AVX2 kernels, with their fused multiply-adds, which are computed here in float64 and rounded once).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from elastic.tensor._generator import Generator
from elastic.tensor._rounding import fma32, fma64


def uniform(generator: Generator, count: int, low: float, high: float, dtype: Any) -> np.ndarray:
    if dtype == np.float64:
        values = fma64(generator.uniform64(count), high - low, low)
    else:
        # One rounding of x * (high - low) + low, as the fused multiply-add does.
        scale, start = np.float32(np.float32(high) - np.float32(low)), np.float32(low)
        fused = generator.uniform32(count).astype(np.float64) * np.float64(scale) + np.float64(
            start
        )
        values = fused.astype(np.float32).astype(dtype)
    return np.where(values == np.asarray(high, dtype), np.asarray(low, dtype), values)


def normal(generator: Generator, count: int, mean: float, std: float, dtype: Any) -> np.ndarray:
    if count < 16:
        return np.array([next_normal(generator) * std + mean for _ in range(count)]).astype(dtype)
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


def next_normal(generator: Generator) -> float:
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
        [fma32(radius * cosine, std, mean), fma32(radius * sine, std, mean)], axis=1
    )


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
        y = fma32(y, x, f(coefficient))
    y = fma32(y * x, z, e * f(-2.12194440e-4))
    y = fma32(-z, f(0.5), y)
    return fma32(e, f(0.693359375), x + y)


def _sincos32(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cephes' sinf and cosf of t >= 0, as avx_mathfun.h computes them."""
    f = np.float32
    j = ((t * f(1.27323954473516)).astype(np.int32) + 1) & ~1
    y = j.astype(f)
    x = fma32(y, f(-0.78515625), t)
    x = fma32(y, f(-2.4187564849853515625e-4), x)
    x = fma32(y, f(-3.77489497744594108e-8), x)
    z = x * x
    c = fma32(f(2.443315711809948e-5), z, f(-1.388731625493765e-3))
    c = fma32(c, z, f(4.166664568298827e-2)) * z
    c = fma32(c, z, -(z * f(0.5))) + f(1)
    s = fma32(f(-1.9515295891e-4), z, f(8.3321608736e-3))
    s = fma32(s, z, f(-1.6666654611e-1)) * z
    s = fma32(s, x, x)
    swap = (j & 2) != 0
    sine, cosine = np.where(swap, c, s), np.where(swap, s, c)
    return np.where(j & 4, -sine, sine), np.where(~(j - 2) & 4, -cosine, cosine)


# Counts


def poisson_number(g: Generator, rate: float) -> float:
    """One number of Poisson's distribution: by products of uniforms, or rejection for high rates.

    Source: W. Hoermann, The transformed rejection method for generating Poisson random variables
    """
    if rate <= 0:
        return 0.0
    if rate >= 10:
        return _poisson_by_rejection(g, rate)
    limit, product, count = math.exp(-rate), 1.0, 0
    while True:
        product *= g.uniform64(1)[0]
        if product <= limit:
            return float(count)
        count += 1


def _poisson_by_rejection(g: Generator, rate: float) -> float:
    root, log_rate = math.sqrt(rate), math.log(rate)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse, limit = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = (float(each) for each in g.uniform64(2))
        u -= 0.5
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= limit:
            return float(k)
        if k < 0 or (us < 0.013 and v > us):
            continue
        accepted = math.log(v) + math.log(inverse) - math.log(a / (us * us) + b)
        if accepted <= -rate + k * log_rate - math.lgamma(k + 1.0):
            return float(k)


def binomial_number(g: Generator, count: float, prob: float) -> float:
    """One number of the binomial distribution: by geometric steps, or rejection for many trials.

    Source: W. Hoermann, The generation of binomial random variates (BTRS)
    """
    if count <= 0 or prob <= 0:
        return 0.0
    if prob >= 1:
        return count
    if prob > 0.5:
        return count - binomial_number(g, count, 1 - prob)
    if count * prob >= 10:
        return _binomial_by_rejection(g, count, prob)
    total, successes = 0.0, 0
    while True:
        u = float(g.uniform64(1)[0])
        total += math.ceil(math.log(u) / math.log1p(-prob))
        if total > count:
            return float(successes)
        successes += 1


def _binomial_by_rejection(g: Generator, count: float, prob: float) -> float:
    spread = math.sqrt(count * prob * (1 - prob))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * prob
    center, limit, odds = count * prob + 0.5, 0.92 - 4.2 / b, prob / (1 - prob)
    alpha, mode = (2.83 + 5.1 / b) * spread, math.floor((count + 1) * prob)
    while True:
        u = float(g.uniform64(1)[0]) - 0.5
        v = float(g.uniform64(1)[0])
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + center)
        if us >= 0.07 and v <= limit:
            return float(k)
        if k < 0 or k > count:
            continue
        v = math.log(v * alpha / (a / (us * us) + b))
        bound = (
            (mode + 0.5) * math.log((mode + 1) / (odds * (count - mode + 1)))
            + (count + 1) * math.log((count - mode + 1) / (count - k + 1))
            + (k + 0.5) * math.log(odds * (count - k + 1) / (k + 1))
            + _stirling(mode) + _stirling(count - mode) - _stirling(k) - _stirling(count - k)
        )  # fmt: skip
        if v <= bound:
            return float(k)


def _stirling(k: float) -> float:
    """What Stirling's formula leaves of log k!."""
    return math.lgamma(k + 1) - (
        (k + 0.5) * math.log(k + 1) - (k + 1) + 0.5 * math.log(2 * math.pi)
    )


def gamma_number(g: Generator, shape: Any) -> float:
    """One number of the gamma distribution, by rejection; `shape` is a numpy float of its dtype.

    Source: G. Marsaglia and W. Tsang, A simple method for generating gamma variables
    """
    scale = 1.0
    if shape < 1:
        if shape == 0:
            return 0.0
        scale = (1 - float(g.uniform64(1)[0])) ** float(np.float32(1) / shape)
        shape = shape + np.float32(1)
    d = float(shape - np.float32(1 / 3))
    c = 1 / math.sqrt(9 * d)
    while True:
        x = next_normal(g)
        y = 1 + c * x
        if y <= 0:
            continue
        v, u = y * y * y, 1 - float(g.uniform64(1)[0])
        squares = x * x
        if u < 1 - float(np.float32(0.0331)) * squares * squares:
            return scale * d * v
        if math.log(u) < 0.5 * squares + d * (1 - v + math.log(v)):
            return scale * d * v
