"""Recurrent networks: layers and directions of `_recurrence`, and single steps.

They are `torch.lstm`, `torch.gru_cell` and the like; users take `nn.LSTM` and `nn.GRUCell`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor._registry import TENSORS
from elastic.tensor.nn.functional._dropout import dropout as dropped
from elastic.tensor.nn.functional._recurrence import composed, recurrence

__all__: list[str] = []  # not in nn.functional: they belong to the namespace itself


def network(
    kind: str,
    rows: Tensor,
    sizes: Sequence[int],
    h0: Tensor,
    c0: Tensor | None,
    weights: Sequence[Sequence[Tensor | None]],
    directions: int = 1,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Returns (output rows, last h, last c) of several layers, of one or two directions.

    `weights` has (w_ih, w_hh, b_ih, b_hh, w_hr) of each layer and direction. Shapes: rows (N, I),
    `sizes` of them a step; h0 (layers * directions, B, H).
    """
    cs = [None] * len(weights) if c0 is None else c0
    last: list = []
    for k in range(0, len(weights), directions):
        if k and dropout:
            rows = dropped(rows, dropout)
        found = [
            _layer(kind, rows, h0[j], cs[j], weights[j], sizes, reverse=j > k)
            for j in range(k, k + directions)
        ]
        last += [each[1:] for each in found]
        rows = found[0][0] if directions == 1 else torch.cat([each[0] for each in found], 1)
    states = [torch.stack([each[n] for each in last]) for n in range(1 if c0 is None else 2)]
    return rows, states[0], None if c0 is None else states[1]


def _layer(
    kind: str,
    rows: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    weights: Sequence[Tensor | None],
    sizes: Sequence[int],
    reverse: bool,
) -> tuple:
    if weights[4] is not None:
        return composed(TENSORS, rows, h0, c0, list(weights), kind, tuple(sizes), reverse)
    return _fused(kind, rows, h0, c0, weights, sizes, reverse)


def _fused(
    kind: str, rows: Tensor, h0: Tensor, c0: Any, weights: Sequence, sizes: Any, reverse: bool
) -> tuple:
    wants_x = rows.requires_grad
    inputs = (rows, h0, c0, *weights[:4])
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    out, h, _, *c = recurrence(*inputs, kind, tuple(sizes), reverse, keep, wants_x)
    return out, h, *c


def called(kind: str, *args: Any) -> tuple:
    """Returns (output, states ...) of a call as of PyTorch's `torch.lstm`, padded or packed."""
    packed = isinstance(args[3], (tuple, list))
    input, *rest = args
    sizes: Any = rest.pop(0).tolist() if packed else None
    hx, params, has_biases, layers, p, train, bidirectional, *batch_first = rest
    steps = input.transpose(0, 1) if batch_first and batch_first[0] else input
    h, c = hx if kind == "lstm" else (hx, None)
    directions = 2 if bidirectional else 1
    each = len(params) // (layers * directions)
    weights = [_five(params[k : k + each], has_biases) for k in range(0, len(params), each)]
    rows = steps if packed else steps.reshape(-1, steps.shape[2])
    counts: Any = sizes if packed else (steps.shape[1],) * len(steps)
    out, *states = network(kind, rows, counts, h, c, weights, directions, p if train else 0.0)
    if not packed:
        out = out.reshape(*steps.shape[:2], -1)
        out = out.transpose(0, 1) if batch_first and batch_first[0] else out
    return out, *[state for state in states if state is not None]


def _five(params: Any, has_biases: bool) -> tuple:
    """(w_ih, w_hh, b_ih, b_hh, w_hr) from those that there are."""
    biases = params[2:4] if has_biases else (None, None)
    rest = params[4 if has_biases else 2 :]
    return *params[:2], *biases, rest[0] if rest else None


def step(
    kind: str,
    input: Tensor,
    h: Tensor,
    c: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple:
    """Returns (h, c) after one step, or (h,). Shapes: input (B, I), h and c (B, H)."""
    _check_step(input, w_ih.shape[1], w_hh.shape[1], h, c)
    out, _, *rest = _fused(kind, input, h, c, (w_ih, w_hh, b_ih, b_hh), (len(input),), False)
    return out, *rest


def _check_step(input: Tensor, features: int, hidden: int, *states: Tensor | None) -> None:
    if input.shape[1] != features:
        raise RuntimeError(
            f"input has inconsistent input_size: got {input.shape[1]} expected {features}"
        )
    for k, state in enumerate(states):
        if state is None:
            continue
        if len(input) != len(state):
            raise RuntimeError(
                f"Input batch size {len(input)} doesn't match hidden{k} batch size {len(state)}"
            )
        if state.shape[1] != hidden:
            raise RuntimeError(
                f"hidden{k} has inconsistent hidden_size: got {state.shape[1]}, expected {hidden}"
            )
