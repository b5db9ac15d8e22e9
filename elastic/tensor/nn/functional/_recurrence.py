"""One recurrent layer in one direction, all its time steps, as one op.

Rows of all steps stand one after the other, step by step: `sizes` tells how many each step has, and
never rises (that is a packed sequence; a plain batch has equal sizes). Inside the loop everything
is turned, (features, rows): then each gate is one block of memory.

A cell has its gates in PyTorch's order and three rules: forward and backward of one step on arrays,
and the step made of ops, for gradients that are themselves differentiated.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from elastic.tensor import autograd
from elastic.tensor._dispatch import op
from elastic.tensor._registry import TENSORS


class Cell(NamedTuple):
    """How one time step goes, and how many blocks of `hidden` rows it keeps for backward."""

    gates: int
    kept: int
    forward: Callable  # (xp, slot, z from input, h, c) -> (h, c)
    backward: Callable  # (xp, slot, dh, dc) -> (dz for input, dz for hidden, dh, dc)
    composed: Callable  # (F, z from input, z from hidden, h, c) -> (h, c)


def _sigmoid_here(xp: Any, z: Any) -> None:
    # tanh is the fastest of numpy's functions, and sigmoid is tanh of the half.
    z *= 0.5
    xp.tanh(z, out=z)
    z *= 0.5
    z += 0.5


def _blocks(slot: Any, count: int) -> list:
    size = len(slot) // count
    return [slot[k * size : (k + 1) * size] for k in range(count)]


def _lstm_forward(xp: Any, slot: Any, z_x: Any, h: Any, c: Any) -> tuple:
    i, f, g, o, squashed, before = _blocks(slot, 6)
    z = slot[: 4 * len(i)]
    z += z_x
    _sigmoid_here(xp, z[: 2 * len(i)])
    xp.tanh(g, out=g)
    _sigmoid_here(xp, o)
    before[...] = c
    c = f * c
    c += i * g
    xp.tanh(c, out=squashed)
    return o * squashed, c


def _lstm_backward(xp: Any, slot: Any, dh: Any, dc: Any) -> tuple:
    i, f, g, o, squashed, before = _blocks(slot, 6)
    size = len(i)
    slope = squashed * squashed
    xp.subtract(1, slope, out=slope)
    slope *= o
    slope *= dh
    dc = slope if dc is None else xp.add(slope, dc, out=slope)
    dz = xp.empty((4 * size, dh.shape[1]), dh.dtype)
    xp.multiply(dc, g, out=dz[:size])
    xp.multiply(dc, before, out=dz[size : 2 * size])
    xp.multiply(dh, squashed, out=dz[3 * size :])
    for part in (slice(0, 2 * size), slice(3 * size, 4 * size)):
        spread = 1 - slot[part]
        spread *= slot[part]
        dz[part] *= spread
    turn = g * g
    xp.subtract(1, turn, out=turn)
    turn *= i
    xp.multiply(dc, turn, out=dz[2 * size : 3 * size])
    dc *= f
    return dz, dz, None, dc


def _lstm_composed(F: Any, z_x: Any, z_h: Any, h: Any, c: Any) -> tuple:
    i, f, g, o = _parts(F, z_x + z_h, 4)
    c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
    return F.sigmoid(o) * F.tanh(c), c


def _gru_forward(xp: Any, slot: Any, z_x: Any, h: Any, c: Any) -> tuple:
    r, u, z_n, n, before = _blocks(slot, 5)
    size = len(r)
    both = slot[: 2 * size]
    both += z_x[: 2 * size]
    _sigmoid_here(xp, both)
    xp.multiply(r, z_n, out=n)
    n += z_x[2 * size :]
    xp.tanh(n, out=n)
    before[...] = h
    out = before - n
    out *= u
    out += n
    return out, None


def _gru_backward(xp: Any, slot: Any, dh: Any, dc: Any) -> tuple:
    r, u, z_n, n, before = _blocks(slot, 5)
    size = len(r)
    from_input = xp.empty((3 * size, dh.shape[1]), dh.dtype)
    dn = from_input[2 * size :]
    xp.multiply(n, n, out=dn)
    xp.subtract(1, dn, out=dn)
    dn *= 1 - u
    dn *= dh
    xp.multiply(dn, z_n, out=from_input[:size])
    xp.multiply(before - n, dh, out=from_input[size : 2 * size])
    both = slot[: 2 * size]
    spread = 1 - both
    spread *= both
    from_input[: 2 * size] *= spread
    from_hidden = from_input.copy()
    from_hidden[2 * size :] *= r
    return from_input, from_hidden, dh * u, None


def _gru_composed(F: Any, z_x: Any, z_h: Any, h: Any, c: Any) -> tuple:
    (r_x, u_x, n_x), (r_h, u_h, n_h) = (_parts(F, z, 3) for z in (z_x, z_h))
    u = F.sigmoid(u_x + u_h)
    n = F.tanh(n_x + F.sigmoid(r_x + r_h) * n_h)
    return n + u * (h - n), None


def _rnn(squash: Callable, slope: Callable, composed: Callable) -> Cell:
    def forward(xp: Any, slot: Any, z_x: Any, h: Any, c: Any) -> tuple:
        slot += z_x
        return squash(xp, slot), None

    def backward(xp: Any, slot: Any, dh: Any, dc: Any) -> tuple:
        dz = slope(slot)
        dz = dz * dh
        return dz, dz, None, None

    return Cell(1, 1, forward, backward, composed)


CELLS = {
    "lstm": Cell(4, 6, _lstm_forward, _lstm_backward, _lstm_composed),
    "gru": Cell(3, 5, _gru_forward, _gru_backward, _gru_composed),
    "rnn_tanh": _rnn(
        lambda xp, z: xp.tanh(z, out=z),
        lambda h: 1 - h * h,
        lambda F, z_x, z_h, h, c: (F.tanh(z_x + z_h), None),
    ),
    "rnn_relu": _rnn(
        lambda xp, z: xp.maximum(z, 0, out=z),
        lambda h: h > 0,
        lambda F, z_x, z_h, h, c: (F.relu(z_x + z_h), None),
    ),
}


def _parts(F: Any, z: Any, count: int) -> list:
    size = z.shape[-1] // count
    return [F.narrow(z, -1, k * size, size) for k in range(count)]


def _steps(sizes: Sequence[int], reverse: bool) -> list[tuple[int, int]]:
    """(first row, end) of each time step in the order of time, or against it."""
    ends = list(itertools.accumulate(sizes))
    steps = list(zip([0, *ends[:-1]], ends, strict=True))
    return steps[::-1] if reverse else steps


class _State:
    """h or c of the sequences that run: (hidden, rows), some of all that there are."""

    def __init__(self, all: Any):
        self.all = all
        self.now = all

    def of(self, rows: int) -> Any:
        """The state of the first `rows` sequences: some have ended, or begin now."""
        if self.now is not None and self.now.shape[1] != rows:
            self.now = self.end()[:, :rows].copy()
        return self.now

    def end(self) -> Any:
        """The states of all sequences, as they stand."""
        if self.now is not self.all:
            self.all[:, : self.now.shape[1]] = self.now
        return self.all


def _turned(x: Any) -> Any:
    return None if x is None else x.T.copy()


def _slot(memory: Any, features: int, start: int, end: int, keep: bool) -> Any:
    """The memory of one step, (features, rows) in one block; all share it if none is kept."""
    start, end = (start, end) if keep else (0, end - start)
    return memory[features * start : features * end].reshape(features, end - start)


def _biases(xp: Any, kind: str, b_ih: Any, b_hh: Any, rows: int) -> tuple:
    """What to add to z from the input, and to the last gate's z from h, which a GRU scales."""
    if b_ih is None:
        return None, None
    own = None
    if kind == "gru":
        hidden = len(b_hh) // 3
        own = xp.repeat(b_hh[2 * hidden :, None], rows, 1)
        b_hh = xp.concatenate([b_hh[: 2 * hidden], xp.zeros(hidden, b_hh.dtype)])
    return xp.repeat((b_ih + b_hh)[:, None], rows, 1), own


def _recurrence(
    xp: Any,
    x: Any,
    h0: Any,
    c0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    kind: str,
    sizes: tuple,
    reverse: bool = False,
    keep: bool = True,
    wants_x: bool = True,
) -> tuple:
    """(output rows, last h, what backward reads, last c of an LSTM)."""
    cell, hidden = CELLS[kind], w_hh.shape[1]
    features = cell.kept * hidden
    memory = xp.empty(features * (len(x) if keep else max(sizes)), x.dtype)
    bias_x, bias_h = _biases(xp, kind, b_ih, b_hh, max(sizes))
    out = xp.empty((len(x), hidden), x.dtype)
    hs, cs = _State(_turned(h0)), _State(_turned(c0))
    for start, end in _steps(sizes, reverse):
        slot = _slot(memory, features, start, end, keep)
        h, c = hs.of(end - start), cs.of(end - start)
        z_h = xp.matmul(w_hh, h, out=slot[: cell.gates * hidden])
        z_x = xp.matmul(w_ih, x[start:end].T)
        if bias_x is not None:
            z_x += bias_x[:, : end - start]
        if bias_h is not None:
            z_h[2 * hidden :] += bias_h[:, : end - start]
        hs.now, cs.now = cell.forward(xp, slot, z_x, h, c)
        out[start:end] = hs.now.T
    results = out, _turned(hs.end()), memory
    return results if c0 is None else (*results, _turned(cs.end()))


def _recurrence_vjp(
    F: Any,
    g: Any,
    x: Any,
    h0: Any,
    c0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    kind: str,
    sizes: tuple,
    reverse: bool,
    wants_x: bool,
    out: tuple,
) -> list:
    if F is TENSORS:
        return _composed_vjp(F, g, (x, h0, c0, w_ih, w_hh, b_ih, b_hh), kind, sizes, reverse)
    g = g if g.__class__ is dict else {0: g}
    given = (x, h0, c0, w_ih, w_hh, kind, sizes, reverse)
    dz_x, dz_h, dh, dc = F._recurrence_back(*given, out[2], g.get(0), g.get(1), g.get(3))
    before = F._shifted_rows(out[0], h0, sizes, reverse)
    ones = F.ones_like(x[:, 0])  # a product with ones is a faster sum
    return [
        F.matmul(F.t(dz_x), w_ih) if wants_x else None,
        dh,
        dc if c0 is not None else None,
        F.matmul(dz_x, x),
        F.matmul(dz_h, before),
        *[None if b_ih is None else F.matmul(dz, ones) for dz in (dz_x, dz_h)],
    ]


def _recurrence_back(
    xp: Any,
    x: Any,
    h0: Any,
    c0: Any,
    w_ih: Any,
    w_hh: Any,
    kind: str,
    sizes: tuple,
    reverse: bool,
    memory: Any,
    d_out: Any,
    d_last_h: Any,
    d_last_c: Any,
) -> tuple:
    """Gradients of what the gates get from the input and from h, (features, rows); of h0 and c0."""
    cell, (rows, hidden) = CELLS[kind], h0.shape
    dz_x = xp.empty((cell.gates * hidden, len(x)), x.dtype)
    dz_h = xp.empty_like(dz_x) if kind == "gru" else dz_x
    zeros = partial(xp.zeros, (hidden, rows), x.dtype)
    dhs = _State(zeros() if d_last_h is None else _turned(d_last_h))
    dcs = _State(None if c0 is None else zeros() if d_last_c is None else _turned(d_last_c))
    for start, end in _steps(sizes, not reverse):
        slot = _slot(memory, cell.kept * hidden, start, end, True)
        dh, dc = dhs.of(end - start), dcs.of(end - start)
        if d_out is not None:
            dh = dh + d_out[start:end].T
        z_x, z_h, direct, dcs.now = cell.backward(xp, slot, dh, dc)
        dz_x[:, start:end] = z_x
        if z_h is not z_x:
            dz_h[:, start:end] = z_h
        dhs.now = xp.matmul(w_hh.T, z_h)
        if direct is not None:
            dhs.now += direct
    dc0 = xp.zeros(0, x.dtype) if c0 is None else _turned(dcs.end())
    return dz_x, dz_h, _turned(dhs.end()), dc0


def _shifted_rows(xp: Any, out: Any, h0: Any, sizes: tuple, reverse: bool) -> Any:
    """For each row of the output the h before it."""
    before = xp.empty_like(out)
    last = h0
    for start, end in _steps(sizes, reverse):
        count = min(end - start, len(last))
        before[start : start + count] = last[:count]
        before[start + count : end] = h0[count : end - start]
        last = out[start:end]
    return before


def _composed_vjp(F: Any, g: Any, inputs: tuple, kind: str, sizes: tuple, reverse: bool) -> list:
    """The gradients as part of the graph: of the same layer, made of ops."""
    # Gradients are those of aliases: through what an input was computed from flows no more.
    x, h0, c0, *weights = (None if t is None else F._alias(t) for t in inputs)
    results = composed(F, x, h0, c0, [*weights, None], kind, sizes, reverse)
    g = g if g.__class__ is dict else {0: g}
    wanted = [t for t in (x, h0, c0, *weights) if t is not None and t.requires_grad]
    numbers = {0: 0, 1: 1, 3: 2}
    used = [k for k in g if k in numbers]
    found = autograd.grad(
        [results[numbers[k]] for k in used],
        wanted,
        [g[k] for k in used],
        create_graph=True,
        allow_unused=True,
    )
    by_place = {id(t): each for t, each in zip(wanted, found, strict=True)}
    return [by_place.get(id(t)) for t in (x, h0, c0, *weights)]


def composed(
    F: Any, x: Any, h0: Any, c0: Any, weights: list, kind: str, sizes: tuple, reverse: bool
) -> tuple:
    """(output rows, last h, last c) of the layer, made of ops step by step.

    The last of `weights`, if there is one, projects h.
    """
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    steps = _steps(sizes, reverse)
    h, c = (_first(F, state, steps[0][1] - steps[0][0]) for state in (h0, c0))
    ended: list = []
    outputs = []
    for start, end in steps:
        rows = end - start
        if rows < h.shape[0]:  # sequences end
            ended.append((F.narrow(h, 0, rows, h.shape[0] - rows), _rest(F, c, rows)))
        elif rows > h.shape[0]:
            h, c = (_grown(F, a, b, rows) for a, b in ((h, h0), (c, c0)))
        h, c = (_first(F, state, rows) for state in (h, c))
        z_x = F._linear(F.narrow(x, 0, start, rows), w_ih, b_ih)
        h, c = CELLS[kind].composed(F, z_x, F._linear(h, w_hh, b_hh), h, c)
        h = h if w_hr is None else F._linear(h, w_hr)
        outputs.append(h)
    rows = F.cat(outputs[::-1] if reverse else outputs, 0)
    ends = [(h, c), *ended[::-1]]
    last = [F.cat([e[k] for e in ends], 0) for k in range(1 if c is None else 2)]
    return rows, *last


def _first(F: Any, state: Any, rows: int) -> Any:
    return None if state is None else F.narrow(state, 0, 0, rows)


def _rest(F: Any, c: Any, rows: int) -> Any:
    return None if c is None else F.narrow(c, 0, rows, c.shape[0] - rows)


def _grown(F: Any, state: Any, first: Any, rows: int) -> Any:
    if state is None:
        return None
    have = state.shape[0]
    return F.cat([state, F.narrow(first, 0, have, rows - have)], 0)


recurrence = op("_recurrence", _recurrence, joint=_recurrence_vjp)
op("_recurrence_back", _recurrence_back)
op("_shifted_rows", _shifted_rows)
