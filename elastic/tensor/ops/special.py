"""Special functions: scipy's where it has them, orthogonal polynomials by their recurrences."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from elastic.tensor import backend
from elastic.tensor._dispatch import op
from elastic.tensor._registry import underivable

_ROOT_PI, _ROOT_2 = math.sqrt(math.pi), math.sqrt(2)
_NORMAL = 1 / math.sqrt(2 * math.pi)  # the density of the standard normal distribution at 0

sp = backend.special
real = partial(op, operands=(0,), to_float=True, inplace=True, refuses="c")
two = partial(op, operands=(0, 1), to_float=True, inplace=True, refuses="c")
single = partial(op, operands=(0,), to_float=True, refuses="ch")  # not of halves, in `special` only
couple = partial(op, operands=(0, 1), to_float=True, refuses="ch", tensors=())


def _pair(xp: Any, x: Any, y: Any) -> tuple:
    """Both as arrays of one dtype: scipy makes float64 of a Python number."""
    dtype = next(each.dtype for each in (x, y) if hasattr(each, "dtype"))
    return xp.asarray(x, dtype), xp.asarray(y, dtype)


# Error functions and the normal distribution


def _bell(F: Any, x: Any) -> Any:
    return 2 / _ROOT_PI * F.exp(-x * x)


real("erf", lambda xp, x: sp(xp).erf(x), lambda F, g, x: g * _bell(F, x))
real("erfc", lambda xp, x: sp(xp).erfc(x), lambda F, g, x: -g * _bell(F, x))
real(
    "erfinv", lambda xp, x: sp(xp).erfinv(x), lambda F, g, out: g * F.exp(out * out) * _ROOT_PI / 2
)
single(
    "special_erfcx",
    lambda xp, x: sp(xp).erfcx(x),
    lambda F, g, x, out: g * (2 * x * out - 2 / _ROOT_PI),
)
op(
    "special_ndtr",
    lambda xp, x: sp(xp).ndtr(x),
    lambda F, g, x: g * F.exp(-x * x / 2) * _NORMAL,
    operands=(0,),
    to_float=True,
    refuses="c",
)
single(
    "special_ndtri",
    lambda xp, x: sp(xp).ndtri(x),
    lambda F, g, out: g * F.exp(out * out / 2) / _NORMAL,
)
single(
    "special_log_ndtr",
    lambda xp, x: sp(xp).log_ndtr(x),
    lambda F, g, x: g * math.sqrt(2 / math.pi) / F.special_erfcx(-x / _ROOT_2),
)

# Logarithms that meet 0 and 1


def _logit(xp: Any, x: Any, eps: Any = None) -> Any:
    if eps is not None:
        x = xp.where(x < eps, xp.asarray(eps, x.dtype), x)
        x = xp.where(x > 1 - eps, xp.asarray(1 - eps, x.dtype), x)
    return xp.log(x / (1 - x))


def _logit_vjp(F: Any, g: Any, x: Any, eps: Any) -> Any:
    low, outside = (0.0, math.nan) if eps is None else (eps, 0.0)
    inside = F.logical_and(x >= low, x <= 1 - low)
    return F.where(inside, g / (x * (1 - x)), outside)


def _sinc_vjp(F: Any, g: Any, x: Any) -> Any:
    t = math.pi * x
    safe = F.where(x == 0, 1.0, t)
    slope = (F.cos(safe) - F.sin(safe) / safe) * math.pi / safe
    return F.where(x == 0, -math.pi * math.pi / 3 * x, slope) * g


def _like(F: Any, y: Any, x: Any) -> Any:
    return F.zeros_like(x) + y  # a Python number in the precision of x


real("logit", _logit, _logit_vjp)
op("sinc", lambda xp, x: xp.sinc(x), _sinc_vjp, operands=(0,), to_float=True, inplace=True)
op(
    "special_entr",
    lambda xp, x: sp(xp).entr(x),
    lambda F, g, x: g * (-F.log(x) - 1),
    operands=(0,),
    to_float=True,
    refuses="c",
)
two(
    "xlogy",
    lambda xp, x, y: sp(xp).xlogy(*_pair(xp, x, y)),
    lambda F, g, x, y: g * F.where((x == 0) * (y <= 0), 0.0, F.log(_like(F, y, x))),
    lambda F, g, x, y: g * (x / y),
    tensors=(),
)
op(
    "special_xlog1py",
    lambda xp, x, y: sp(xp).xlog1py(*_pair(xp, x, y)),
    lambda F, g, x, y: g * F.where((x == 0) * (y <= -1), 0.0, F.log1p(_like(F, y, x))),
    lambda F, g, x, y: g * (x / (y + 1)),
    operands=(0, 1),
    to_float=True,
    refuses="c",
    tensors=(),
)

# Gamma functions


def _polygamma(xp: Any, x: Any, n: int) -> Any:
    if n == 0:
        return sp(xp).digamma(x)
    if n == 1:  # zeta knows no negative numbers, but the second derivative is reflected at 1/2
        below = x < 0.5
        values = sp(xp).zeta(xp.asarray(2, x.dtype), xp.where(below, 1 - x, x))
        sine = xp.sin(xp.asarray(xp.pi, x.dtype) * x)
        return xp.where(below, xp.pi**2 / (sine * sine) - values, values)
    factor = (-1.0) ** (n + 1) * math.exp(math.lgamma(n + 1.0))
    return factor * sp(xp).zeta(xp.asarray(n + 1, x.dtype), x)


real("lgamma", lambda xp, x: sp(xp).gammaln(x), lambda F, g, x: g * F.digamma(x))
real("digamma", lambda xp, x: sp(xp).digamma(x), lambda F, g, x: g * F._polygamma(x, 1))
op(
    "_polygamma",
    _polygamma,
    lambda F, g, x, n: g * F._polygamma(x, n + 1),
    operands=(0,),
    to_float=True,
    refuses="c",
    title="PolygammaBackward0",
)
op(
    "special_zeta",
    lambda xp, x, y: sp(xp).zeta(*_pair(xp, x, y)),
    underivable,
    lambda F, g, x, y: g * (-x * F.special_zeta(x + 1, y)),
    operands=(0, 1),
    to_float=True,
    refuses="ch",
    tensors=(),
)


def _gamma_density(F: Any, x: Any, y: Any) -> Any:
    return F.exp((x - 1) * F.log(y) - y - F.lgamma(x))


two(
    "igamma",
    lambda xp, x, y: sp(xp).gammainc(*_pair(xp, x, y)),
    underivable,
    lambda F, g, x, y: g * _gamma_density(F, x, y),
    to_float=False,
    refuses="bic",
    tensors=(0, 1),
)
two(
    "igammac",
    lambda xp, x, y: sp(xp).gammaincc(*_pair(xp, x, y)),
    underivable,
    lambda F, g, x, y: -g * _gamma_density(F, x, y),
    to_float=False,
    refuses="bic",
    tensors=(0, 1),
)

# Bessel functions


def _i1_slope(F: Any, x: Any, even: Any, odd: Any) -> Any:
    return F.where(x == 0, 0.5, even - odd / F.where(x == 0, 1.0, x))


real("i0", lambda xp, x: sp(xp).i0(x), lambda F, g, x: g * F.special_i1(x))
bessel = partial(op, operands=(0,), to_float=True, refuses="c")
bessel(
    "special_i1",
    lambda xp, x: sp(xp).i1(x),
    lambda F, g, x, out: g * _i1_slope(F, x, F.i0(x), out),
)
bessel(
    "special_i0e",
    lambda xp, x: sp(xp).i0e(x),
    lambda F, g, x, out: g * (F.special_i1e(x) - F.sgn(x) * out),
)
bessel(
    "special_i1e",
    lambda xp, x: sp(xp).i1e(x),
    lambda F, g, x, out: g * (_i1_slope(F, x, F.special_i0e(x), out) - F.sgn(x) * out),
)
single("special_airy_ai", lambda xp, x: sp(xp).airy(x)[0])
single("special_bessel_j0", lambda xp, x: sp(xp).j0(x))
single("special_bessel_j1", lambda xp, x: sp(xp).j1(x))
single("special_bessel_y0", lambda xp, x: sp(xp).y0(x))
single("special_bessel_y1", lambda xp, x: sp(xp).y1(x))
single("special_modified_bessel_i0", lambda xp, x: sp(xp).i0(x))
single("special_modified_bessel_i1", lambda xp, x: sp(xp).i1(x))
single("special_modified_bessel_k0", lambda xp, x: sp(xp).k0(x))
single("special_modified_bessel_k1", lambda xp, x: sp(xp).k1(x))
single("special_scaled_modified_bessel_k0", lambda xp, x: sp(xp).k0e(x))
single("special_scaled_modified_bessel_k1", lambda xp, x: sp(xp).k1e(x))


def _spherical_j0(xp: Any, x: Any) -> Any:
    return xp.where(xp.isinf(x), 0.0, xp.sinc(x / xp.pi)).astype(x.dtype)


single("special_spherical_bessel_j0", _spherical_j0)

# Orthogonal polynomials: degree n, which is cut to an integer; 0 below degree 0

_LIMIT = {4: 128, 8: 512}  # Hermite polynomials of a higher degree are nan, by bytes of an element


def _recurrence(xp: Any, x: Any, n: Any, first: Any, step: Callable, done: Any = False) -> Any:
    """P(n, x) from P(0) = 1, P(1) = `first` and P(k + 1) = step(k, P(k), P(k - 1)).

    Where `done` holds, the result is not wanted.
    """
    before, now = xp.ones_like(first), first
    out = xp.where(n == 0, before, xp.where(n == 1, now, 0 * now))
    last = xp.where(done, 0, n)
    for k in range(1, int(last.max(initial=1))):
        before, now = now, step(k, now, before)
        out = xp.where(n == k + 1, now, out)
        if xp.isnan(now).all():
            return xp.where(n > k, now, out)
    return out


def _polynomial(first: Callable, step: Callable, limited: bool = False) -> Callable:
    """The forward of a family of polynomials, from its P(1) and its step(k, x, P(k), P(k - 1))."""

    def forward(xp: Any, x: Any, y: Any) -> Any:
        x, n = _degrees(xp, x, y)
        too_high = n > _LIMIT[x.itemsize] if limited else False
        out = _recurrence(xp, x, n, first(x), lambda k, p, q: step(k, x, p, q), too_high)
        return xp.where(too_high, xp.asarray(np.nan, x.dtype), out)

    return forward


def _degrees(xp: Any, x: Any, y: Any) -> tuple:
    """Both arguments in one shape, the degree as an integer (large ones stay representable)."""
    x, y = xp.broadcast_arrays(*_pair(xp, x, y))
    return x, xp.trunc(xp.clip(xp.nan_to_num(y), -1, 2.0**31)).astype(xp.int64)


def _chebyshev(start: Callable, wave: Callable, shifted: bool = False) -> Callable:
    """Chebyshev's polynomials: 2 x P(k) - P(k - 1); inside (-1, 1) of high degree a `wave`."""

    def forward(xp: Any, x: Any, y: Any) -> Any:
        x, n = _degrees(xp, x, y)
        x = x + x - 1 if shifted else x
        inside = (xp.abs(x) < 1) & (n > 6)
        out = _recurrence(xp, x, n, start(x), lambda k, p, q: (x + x) * p - q, inside)
        angle = xp.arccos(xp.where(inside, x, xp.asarray(0.5, x.dtype)))
        return xp.where(inside, wave(xp, n.astype(x.dtype), angle), out)

    return forward


_CHEBYSHEV = {
    "t": (lambda x: x, lambda xp, n, t: xp.cos(n * t)),
    "u": (lambda x: x + x, lambda xp, n, t: xp.sin((n + 1) * t) / xp.sin(t)),
    "v": (lambda x: x + x - 1, lambda xp, n, t: xp.cos((n + 0.5) * t) / xp.cos(t / 2)),
    "w": (lambda x: x + x + 1, lambda xp, n, t: xp.sin((n + 0.5) * t) / xp.sin(t / 2)),
}
for _kind, _rule in _CHEBYSHEV.items():
    couple(f"special_chebyshev_polynomial_{_kind}", _chebyshev(*_rule))
    couple(f"special_shifted_chebyshev_polynomial_{_kind}", _chebyshev(*_rule, shifted=True))
couple(
    "special_hermite_polynomial_h",
    _polynomial(lambda x: x + x, lambda k, x, p, q: (x + x) * p - 2 * k * q, limited=True),
)
couple(
    "special_hermite_polynomial_he",
    _polynomial(lambda x: x * 1, lambda k, x, p, q: x * p - k * q, limited=True),
)
couple(
    "special_laguerre_polynomial_l",
    _polynomial(lambda x: 1 - x, lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1)),
)
couple(
    "special_legendre_polynomial_p",
    _polynomial(lambda x: x * 1, lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1)),
)
