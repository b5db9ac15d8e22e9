"""PyTorch's `special` namespace: the special functions, and scipy's names of common ones."""

from __future__ import annotations

from elastic.tensor import _bind
from elastic.tensor._registry import REGISTRY

_PREFIX = "special_"
_words = str.split

# Our name of each function that stands in the main namespace too
_SHARED = {
    "gammainc": "igamma", "gammaincc": "igammac", "gammaln": "lgamma", "multigammaln": "mvlgamma",
    "expit": "sigmoid", "psi": "digamma",
}  # fmt: skip
_SAME = _words("""
    digamma erf erfc erfinv exp2 expm1 i0 log1p log_softmax logit logsumexp polygamma round sinc
    softmax xlogy
""")
_SHARED |= {name: name for name in _SAME}

_functions = _bind.functions()
_own = {name: entry.call for name, entry in REGISTRY.items() if name.startswith(_PREFIX)}
globals().update({name.removeprefix(_PREFIX): function for name, function in _own.items()})
globals().update({name: _functions[ours] for name, ours in _SHARED.items()})

__all__ = sorted([*_SHARED, *[name.removeprefix(_PREFIX) for name in _own]])
