"""How a tensor prints: to PyTorch's letter (torch/_tensor_str.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from elastic.tensor import backend, dtypes


@dataclass(frozen=True)
class Options:
    """What `set_printoptions` sets."""

    precision: int = 4
    threshold: int = 1000  # elements above which only the edges are shown
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None  # None: where the values ask for it


_PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=10**18),
}
_options = [Options()]


def set_printoptions(profile: str | None = None, **settings: Any) -> None:
    """Changes how tensors print: precision, threshold, edgeitems, linewidth, sci_mode.

    `sci_mode` is always set anew: without it each tensor decides.
    """
    start = _options[0] if profile is None else _PROFILES[profile]
    given = {name: value for name, value in settings.items() if value is not None}
    _options[0] = replace(start, **{"sci_mode": None} | given)


def tensor_repr(t: Any) -> str:
    """The tensor as PyTorch prints it."""
    prefix = "tensor(" if _is_plain(t) else f"{type(t).__name__}("
    text = "[]" if not t._array.size else _body(_printable(t), len(prefix))
    text = _with_suffixes(prefix + text, _suffixes(t), len(prefix))
    is_parameter = any(each.__name__ == "Parameter" for each in type(t).__mro__)
    return f"Parameter({text})" if is_parameter and not _is_plain(t) else text


def _is_plain(t: Any) -> bool:
    return type(t).__name__ in ("Tensor", "Parameter", "Buffer")


def _printable(t: Any) -> np.ndarray:
    array = backend.to_host(t._array)
    return array.astype(np.float32) if t.dtype is dtypes.bfloat16 else array


def _suffixes(t: Any) -> list[str]:
    default = dtypes.get_default_dtype()
    found = [f"device='{t.device}'"] if t.is_cuda else []
    if (not t._array.size and t._array.ndim != 1) or (t._array.size and not _options[0].edgeitems):
        found.append(f"size={tuple(t._array.shape)}")
    usual = {default} if not t._array.size else {default, dtypes.int64, dtypes.bool_}
    if t._array.size and t.is_complex():
        usual.add(dtypes.promote_types(default, dtypes.complex64))
    if t.dtype not in usual:
        found.append(f"dtype={t.dtype}")
    if t.grad_fn is not None:
        found.append(f"grad_fn=<{t.grad_fn.name()}>")
    elif t.requires_grad:
        found.append("requires_grad=True")
    return found


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + 2 > _options[0].linewidth:
            text += ",\n" + " " * indent + suffix
            used = indent + len(suffix)
        else:
            text += ", " + suffix
            used += len(suffix) + 2
    return text + ")"


def _body(array: np.ndarray, indent: int) -> str:
    shortened = array.size > _options[0].threshold
    shown = _edges(array) if shortened else array
    if array.dtype.kind == "c":
        formats = Numbers(shown.real), Numbers(shown.imag)
        return _lines(array, indent, shortened, _Complex(*formats))
    return _lines(array, indent, shortened, Numbers(shown))


def _edges(array: np.ndarray) -> np.ndarray:
    """The elements that a shortened print shows."""
    n = _options[0].edgeitems
    if not n:
        return array[:0].reshape(-1)
    for dim, length in enumerate(array.shape):
        if length > 2 * n:
            array = np.take(array, [*range(n), *range(length - n, length)], dim)
    return array


class Numbers:
    """The common format of the numbers of one tensor."""

    def __init__(self, array: np.ndarray):
        self.floating = array.dtype.kind == "f"
        self.scientific = False
        self.whole = True
        self.width = 1
        values = array.reshape(-1)
        if not self.floating:
            self.width = max([1, *(len(str(v)) for v in values.tolist())])
            return
        values = values[np.isfinite(values) & (values != 0)].astype(np.float64)
        if values.size:
            self._choose(values)

    def _choose(self, values: np.ndarray) -> None:
        sizes = np.abs(values)
        low, high = sizes.min(), sizes.max()
        self.whole = bool((values == np.ceil(values)).all())
        self.scientific = high / low > 1000.0 or high > 1.0e8 or (not self.whole and low < 1.0e-4)
        if _options[0].sci_mode is not None:
            self.scientific = _options[0].sci_mode
        self.width = max(self.width, *(len(self._text(v)) for v in values.tolist()))

    def _text(self, value: float) -> str:
        precision = _options[0].precision
        if self.scientific:
            return f"{value:.{precision}e}"
        if self.whole:
            return f"{value:.0f}" + ("." if math.isfinite(value) else "")
        return f"{value:.{precision}f}"

    def __call__(self, value: Any) -> str:
        """`value` as text of the common width."""
        text = self._text(value) if self.floating else str(value)
        return text.rjust(self.width)


class _Complex:
    def __init__(self, real: Numbers, imag: Numbers):
        self.real, self.imag = real, imag
        self.width = real.width + imag.width + 1

    def __call__(self, value: complex) -> str:
        imag = self.imag(value.imag).lstrip()
        sign = "" if imag.startswith("-") else "+"
        return self.real(value.real) + sign + imag + "j"


def _lines(array: np.ndarray, indent: int, shortened: bool, text: Any) -> str:
    if array.ndim == 0:
        return text(array.item())
    n = _options[0].edgeitems
    if shortened and not n:
        return "[...]"
    cut = shortened and len(array) > 2 * n
    if array.ndim == 1:
        values = [*array[:n].tolist(), *array[-n:].tolist()] if cut else array.tolist()
        words = [text(v) for v in values]
        return _vector(words[:n] + [" ..."] + words[n:] if cut else words, indent, text.width)
    rows = [*array[:n], *array[-n:]] if cut else list(array)
    parts = [_lines(row, indent + 1, shortened, text) for row in rows]
    if cut:
        parts.insert(n, "...")
    gap = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return "[" + gap.join(parts) + "]"


def _vector(words: list[str], indent: int, width: int) -> str:
    per_line = max(1, (_options[0].linewidth - indent) // (width + 2))
    lines = [", ".join(words[k : k + per_line]) for k in range(0, len(words), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
