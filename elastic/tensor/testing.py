"""What tests of tensors ask: PyTorch's `testing` namespace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = ["assert_close"]

_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Nothing, where |actual - expected| <= atol + rtol * |expected| for each pair of elements.

    Both are tensors, numbers, or sequences and mappings of these. The tolerances belong to the
    dtypes unless both are given. Raises: AssertionError, which says how far they are apart.
    """
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(
            f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}."
        )
    attributes = {"device": check_device, "dtype": check_dtype, "stride": check_stride}
    text = _compared(actual, expected, "", attributes, (rtol, atol, equal_nan))
    if text:
        raise AssertionError(msg(text) if callable(msg) else text if msg is None else msg)


def _compared(a: Any, b: Any, path: str, attributes: dict[str, bool], near: tuple) -> str:
    """The first difference between what lies at `path`; "" where there is none."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        text, places = _keys(a, b), list(a)
    elif _is_list(a) and _is_list(b):
        same = len(a) == len(b)
        text = "" if same else f"The length of the sequences mismatch: {len(a)} != {len(b)}"
        places = list(range(len(a)))
    else:
        text, places = _leaves(a, b, attributes, near), []
    if text:
        return text + (f"\n\nThe failure occurred for item {path}" if path else "")
    found = (_compared(a[k], b[k], f"{path}[{k!r}]", attributes, near) for k in places)
    return next(filter(None, found), "")


def _leaves(a: Any, b: Any, attributes: dict[str, bool], near: tuple) -> str:
    kinds = (Tensor, np.ndarray)
    if isinstance(a, kinds) and isinstance(b, kinds):
        a, b = torch.as_tensor(a), torch.as_tensor(b)
        return _attributes(a, b, attributes) or _difference(a, b, *near)
    if isinstance(a, bool) and isinstance(b, bool):
        return "" if a is b else f"Booleans mismatch: {a} is not {b}"
    if _is_number(a) and _is_number(b):
        return _difference(_scalar(a), _scalar(b), *near)
    if a is None and b is None:
        return ""
    raise TypeError(
        f"No comparison pair was able to handle inputs of type {type(a)} and {type(b)}."
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, complex)) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _scalar(value: Any) -> Tensor:
    kinds = {int: torch.int64, float: torch.float64, complex: torch.complex128}
    return torch.tensor(value, dtype=kinds[type(value)])


def _keys(a: Mapping, b: Mapping) -> str:
    if a.keys() == b.keys():
        return ""
    lines = ["The keys of the mappings do not match:"]
    if missing := sorted(b.keys() - a.keys(), key=str):
        lines.append(f"Missing keys in the actual mapping: {missing}")
    if more := sorted(a.keys() - b.keys(), key=str):
        lines.append(f"Additional keys in the actual mapping: {more}")
    return "\n".join(lines)


def _attributes(a: Tensor, b: Tensor, wanted: dict[str, bool]) -> str:
    """What is wrong with shapes, dtypes and the like; "" when nothing is."""
    for name in ("shape", *[each for each, asked in wanted.items() if asked]):
        title = "stride()" if name == "stride" else name
        left, right = (
            each.stride() if name == "stride" else getattr(each, name) for each in (a, b)
        )
        if left != right:
            return f"The values for attribute '{title}' do not match: {left} != {right}."
    return ""


def _difference(
    a: Tensor, b: Tensor, rtol: float | None, atol: float | None, equal_nan: bool
) -> str:
    """How far elements are apart that are not close; "" when all are."""
    if rtol is None or atol is None:
        own = [_TOLERANCES.get(each.dtype.name, (0.0, 0.0)) for each in (a, b)]
        rtol, atol = max(each[0] for each in own), max(each[1] for each in own)
    dtype = torch.promote_types(a.dtype, b.dtype)
    a, b = a.detach().cpu().to(dtype), b.detach().cpu().to(dtype)
    far = ~torch.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)
    if not far.any():
        return ""
    exact = not rtol and not atol
    if dtype is torch.bool:
        a, b = a.long(), b.long()
    away = (a - b).abs()
    relative = away / b.abs()
    away, relative = away.masked_fill(~far, 0), relative.masked_fill(~far, 0)
    return _told(a, b, far, (away, relative), (atol, rtol), exact)


def _told(a: Tensor, b: Tensor, far: Tensor, found: tuple, allowed: tuple, exact: bool) -> str:
    limits = ["" if exact else f" (up to {each} allowed)" for each in allowed]
    if getattr(a, "ndim", 0) == 0:
        values = [each.item() for each in found]
        head = f"Scalars are not {'equal' if exact else 'close'}!\n\nExpected {b.item()} but got "
        lines = zip(("Absolute", "Relative"), values, limits, strict=True)
        return f"{head}{a.item()}.\n" + "\n".join(
            f"{name} difference: {value}{limit}" for name, value, limit in lines
        )
    count, total = int(far.sum()), far.numel()
    text = f"Tensor-likes are not {'equal' if exact else 'close'}!\n\n"
    text += f"Mismatched elements: {count} / {total} ({count / total:.1%})"
    for name, values, limit in zip(("absolute", "relative"), found, limits, strict=True):
        worst = int(values.argmax())
        place = tuple(int(each) for each in torch.unravel_index(torch.tensor(worst), a.shape))
        text += f"\nGreatest {name} difference: {values.flatten()[worst].item()} at index "
        text += f"{place}{limit}"
    return text
