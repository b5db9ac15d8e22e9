"""The lines of special functions, and of ops on complex numbers, in the table of `test_ops.py`.

The references are scipy's, or the definition; those of polynomials sum scipy's coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

_rng = np.random.RandomState(11)


def numbers(low: float, high: float, *shape: int) -> np.ndarray:
    """Distinct numbers in (low, high)."""
    count = int(np.prod(shape))
    return _rng.permutation(np.linspace(low, high, count + 2)[1:-1]).reshape(shape)


X, Y, INSIDE = numbers(-2, 2, 2, 3), numbers(-2, 2, 2, 3), numbers(-1, 1, 2, 3)
POSITIVE, OTHER, LARGE = numbers(0.2, 3, 2, 3), numbers(0.3, 2, 2, 3), numbers(1.1, 3, 2, 3)
PART = numbers(0.1, 0.9, 2, 3)
Z, W = X + 1j * Y, numbers(0.3, 2, 2, 3) - 1j * X
ROW, SQUARE = Z[0], np.stack([Z[0], W[1], Z[1] - W[0]])
WORDS, BITS = np.array([12, -8, 30]), np.array([8, 12, 7])
DEGREES, WIDE = np.array([[0.0, 1, 2], [5, 9, -1]]), numbers(-1.5, 1.5, 2, 3)
HOLES = np.array([0.0, np.nan, np.inf, -np.inf, 1.5])


def one(reference: Callable, x: np.ndarray = POSITIVE) -> tuple:
    return reference, ((x,), (x[0, 0],))


def two(reference: Callable, x: np.ndarray = POSITIVE, y: np.ndarray = OTHER) -> tuple:
    return reference, ((x, y), (x, y[0]), (x[0], y[:, :1]), (x, 1.5))


def pair(reference: Callable, x: np.ndarray, y: np.ndarray) -> tuple:
    return reference, ((x, y), (x, y[0]), (x[0], y[:, :1]))


def polynomial(family: Callable, shifted: bool = False) -> tuple:
    """The value of the polynomial of each degree, from its coefficients."""

    def reference(x: np.ndarray, n: np.ndarray) -> np.ndarray:
        x = 2 * x - 1 if shifted else x
        values = [np.polyval(family(int(k)), x) if k >= 0 else 0 * x for k in n.ravel()]
        return np.array([v.flat[i] for i, v in enumerate(values)]).reshape(n.shape)

    return reference, ((WIDE, DEGREES),)


def half_angle(sign: int) -> Callable:
    """Chebyshev's third and fourth kind: U(n) - U(n - 1), and U(n) + U(n - 1)."""
    second = special.chebyu
    return lambda n: np.polysub(second(n), -sign * second(n - 1)) if n else np.poly1d([1.0])


CHEBYSHEV = {"t": special.chebyt, "u": special.chebyu, "v": half_angle(-1), "w": half_angle(1)}


def sinc(x: np.ndarray) -> np.ndarray:
    return np.sinc(x)


def filled(x: np.ndarray, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> np.ndarray:
    return np.nan_to_num(x, True, nan, posinf, neginf)


ELEMENTWISE: dict[str, tuple] = {
    "asinh": one(np.arcsinh, X),
    "acosh": one(np.arccosh, LARGE),
    "atanh": one(np.arctanh, INSIDE),
    "deg2rad": one(np.deg2rad, X),
    "rad2deg": one(np.rad2deg, X),
    "copysign": two(np.copysign, X, Y),
    "nextafter": (np.nextafter, ((X, Y),)),
    "heaviside": (np.heaviside, ((np.array([-1.0, 0.0, 2.0]), X[0]),)),
    "gcd": (np.gcd, ((WORDS, BITS),)),
    "lcm": (np.lcm, ((WORDS, BITS),)),
    "logaddexp2": pair(np.logaddexp2, X, Y),
    "_frexp": (np.frexp, ((X,),)),
    "_div_floor": two(np.floor_divide, 3 * X, OTHER),
    "_div_trunc": (lambda x, y: np.trunc(x / y).astype(x.dtype), ((3 * X, OTHER), (WORDS, BITS))),
    "isposinf": (np.isposinf, ((HOLES,),)),
    "isneginf": (np.isneginf, ((HOLES,),)),
    "isreal": (np.isreal, ((X,), (np.array([1 + 0j, 1j]),))),
    "nan_to_num": (filled, ((X,), (HOLES,), (HOLES, 1.0, 2.0, -3.0))),
    # Complex numbers
    "angle": (np.angle, ((X,), (Z,))),
    "conj_physical": (np.conj, ((Z,),)),
    "view_as_real": (lambda z: np.stack([z.real, z.imag], -1), ((Z,),)),
    "view_as_complex": (lambda x: x[..., 0] + 1j * x[..., 1], ((numbers(-1, 1, 3, 2),),)),
    "complex": (lambda x, y: x + 1j * y, ((X, Y), (X, Y[0]))),
    "polar": (lambda r, t: r * np.exp(1j * t), ((POSITIVE, Y), (POSITIVE, Y[0]))),
    # Drawn numbers do not depend on what they were drawn with
    "_drawn": (lambda x, drawn: drawn, ((X, POSITIVE),)),
    "_bernoulli": (lambda p, drawn: drawn, ((PART, POSITIVE),)),
    "_poisson": (lambda rate, drawn: drawn, ((OTHER, POSITIVE),)),
    "_normal": (lambda mean, std, drawn: drawn, ((X, OTHER, POSITIVE),)),
    # Special functions
    "erfinv": one(special.erfinv, INSIDE),
    "special_erfcx": one(special.erfcx, X),
    "special_ndtr": one(special.ndtr, X),
    "special_ndtri": one(special.ndtri, PART),
    "special_log_ndtr": one(special.log_ndtr, X),
    "logit": (
        lambda x, eps=None: special.logit(x if eps is None else x.clip(eps, 1 - eps)),
        ((PART,), (PART, 0.3)),
    ),
    "sinc": one(sinc, X),
    "special_entr": one(special.entr),
    "xlogy": two(special.xlogy),
    "special_xlog1py": two(special.xlog1py),
    "lgamma": one(special.gammaln),
    "digamma": one(special.digamma),
    "_polygamma": (lambda x, n: special.polygamma(n, x), ((POSITIVE, 1), (POSITIVE, 3))),
    "special_zeta": (special.zeta, ((LARGE, OTHER), (2.5, OTHER))),
    "igamma": (special.gammainc, ((POSITIVE, OTHER),)),
    "igammac": (special.gammaincc, ((POSITIVE, OTHER),)),
    "i0": one(special.i0, X),
    "special_i1": one(special.i1, X),
    "special_i0e": one(special.i0e, X),
    "special_i1e": one(special.i1e, X),
    "special_airy_ai": one(lambda x: special.airy(x)[0], X),
    "special_bessel_j0": one(lambda x: special.jv(0, x), X),
    "special_bessel_j1": one(lambda x: special.jv(1, x), X),
    "special_bessel_y0": one(lambda x: special.yv(0, x)),
    "special_bessel_y1": one(lambda x: special.yv(1, x)),
    "special_modified_bessel_i0": one(lambda x: special.iv(0, x)),
    "special_modified_bessel_i1": one(lambda x: special.iv(1, x)),
    "special_modified_bessel_k0": one(lambda x: special.kv(0, x)),
    "special_modified_bessel_k1": one(lambda x: special.kv(1, x)),
    "special_scaled_modified_bessel_k0": one(lambda x: special.kve(0, x)),
    "special_scaled_modified_bessel_k1": one(lambda x: special.kve(1, x)),
    "special_spherical_bessel_j0": one(lambda x: special.spherical_jn(0, x), X),
    "special_hermite_polynomial_h": polynomial(special.hermite),
    "special_hermite_polynomial_he": polynomial(special.hermitenorm),
    "special_laguerre_polynomial_l": polynomial(special.laguerre),
    "special_legendre_polynomial_p": polynomial(special.legendre),
}
ELEMENTWISE |= {f"special_chebyshev_polynomial_{k}": polynomial(f) for k, f in CHEBYSHEV.items()}
ELEMENTWISE |= {
    f"special_shifted_chebyshev_polynomial_{k}": polynomial(f, shifted=True)
    for k, f in CHEBYSHEV.items()
}

_UNARY = """
    abs acos acosh angle asin asinh atan atanh clone conj conj_physical cos cosh exp exp2
    expm1 imag log log10 log1p log2 mean neg prod real reciprocal rsqrt sgn sigmoid sin sinc sinh
    sqrt square std sum tan tanh var view_as_real
"""

# More calls of ops that are in a table already: of complex numbers, alone and beside real ones
OF_COMPLEX: dict[str, tuple] = dict.fromkeys(_UNARY.split(), ((Z,), (W[0],)))
OF_COMPLEX |= dict.fromkeys(("add", "sub", "mul", "div", "pow"), ((Z, W), (Z, Y), (X, W[0])))
OF_COMPLEX |= dict.fromkeys(("cumsum", "cumprod", "flip"), ((Z, 0), (W, 1)))
OF_COMPLEX |= {
    "pow": ((Z, W), (W, 2), (Z, 0.5), (X[0] + 3, W), (Z, 3.0)),
    "logaddexp": ((Z, W),),
    "addcmul": ((Z, W, Y), (X, Z, W, 0.5)),
    "addcdiv": ((Z, W, OTHER), (X, Z, W, 0.5)),
    "lerp": ((Z, W, 0.3), (Z, W, PART)),
    "where": ((X > 0, Z, W), (X > 0, X, W)),
    "matmul": ((Z, SQUARE), (SQUARE, ROW)),
    "mm": ((Z, SQUARE),),
    "reshape": ((Z, (3, 2)),),
    "cat": (([Z, W],),),
    "_index": ((Z, (np.array([1, 0, 1]),)),),
}  # fmt: skip
