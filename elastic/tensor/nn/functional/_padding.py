"""Padding: zeros or another value, the edge again, a mirror image, or round and round."""

from __future__ import annotations

from collections.abc import Sequence

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._registry import TENSORS as ops

__all__ = ["pad"]

_SUPPORTED = """
Supported combinations for non-constant padding:
  - 2D or 3D input: padding size = 2 (pads last dimension)
  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)
  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"""


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Return input with pad[0] cells before and pad[1] after the last dimension, and so on.

    The next pair belongs to the dimension before. Negative numbers take cells away. Modes other
    than "constant" pad the last 1 to 3 dimensions of an input with or without a batch.
    Raises: RuntimeError where the numbers do not fit, NotImplementedError for other modes.
    """
    _check_pairs(input, pad)
    if mode == "constant":
        return torch.constant_pad_nd(input, pad, 0 if value is None else value)
    if value:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    count = len(pad) // 2
    if count not in (1, 2, 3) or input.dim() not in (count + 1, count + 2):
        raise NotImplementedError(
            f"Padding size {len(pad)} is not supported for {input.dim()}D input tensor.{_SUPPORTED}"
        )
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    pairs = [(pad[2 * k], pad[2 * k + 1]) for k in reversed(range(count))]
    if mode == "circular":
        _check_round(input, pairs)
    else:
        _check_edges(input, pairs, mode)
    sizes = input.shape[input.dim() - count :]
    rules = tuple(
        ("pad", n, n + before + after, before, mode)
        for n, (before, after) in zip(sizes, pairs, strict=True)
    )
    return ops._resample(input, rules)


def _check_pairs(input: Tensor, pad: Sequence[int]) -> None:
    if not isinstance(pad, (tuple, list)):
        raise TypeError(
            f"pad(): argument 'pad' (position 2) must be tuple of ints, not {type(pad).__name__}"
        )
    for k, n in enumerate(pad):
        if isinstance(n, float):
            raise TypeError(
                "pad(): argument 'pad' (position 2) must be tuple of ints, "
                f"but found element of type float at pos {k}"
            )
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * input.dim():
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got "
            f"padding length {len(pad)} and input of dimension {input.dim()}"
        )


def _check_round(input: Tensor, pairs: list) -> None:
    sizes = input.shape[input.dim() - len(pairs) :]
    for n, pair in zip(sizes, pairs, strict=True):
        if any(each > n for each in pair):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if n + sum(pair) < 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension")


def _check_edges(input: Tensor, pairs: list, mode: str) -> None:
    count = len(pairs)
    first = input.dim() - count
    if any(n == 0 for n in input.shape[1 if first == 2 else 0 :]):
        raise RuntimeError(
            f"Expected {count + 1}D or {count + 2}D (batch mode) tensor with possibly 0 batch size "
            f"and other non-zero dimensions for input, but got: {list(input.shape)}"
        )
    for k in reversed(range(count)) if mode == "reflect" else ():
        if any(each >= input.shape[first + k] for each in pairs[k]):
            place = 2 * (count - k) + 2
            raise RuntimeError(
                f"Argument #{place}: Padding size should be less than the corresponding input "
                f"dimension, but got: padding {tuple(pairs[k])} at dimension {first + k} of input "
                f"{list(input.shape)}"
            )
    sizes = list(input.shape[first:])
    grown = [n + sum(pair) for n, pair in zip(sizes, pairs, strict=True)]
    if any(n < 1 for n in grown):
        axes = "DHW"[3 - count :]
        told = [
            " ".join(f"{axis}: {n}" for axis, n in zip(axes, each, strict=True))
            for each in (sizes, grown)
        ]
        raise RuntimeError(f"input ({told[0]}) is too small. Calculated output {told[1]}")
