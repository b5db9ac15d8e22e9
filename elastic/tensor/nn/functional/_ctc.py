"""Connectionist temporal classification: all ways to read a target out of a sequence of labels.

Source: Graves et al., "Connectionist Temporal Classification", 2006, sections 4.1 and 4.2.
"""

from __future__ import annotations

from typing import Any

from elastic.tensor._dispatch import op


def _paths(xp: Any, targets: Any, blank: int) -> tuple[Any, Any]:
    """Targets with blanks around each label, and where a step may leave out the blank before."""
    extended = xp.full((targets.shape[0], 2 * targets.shape[1] + 1), blank, targets.dtype)
    extended[:, 1::2] = targets
    jumps = xp.zeros(extended.shape, bool)
    jumps[:, 2:] = (extended[:, 2:] != blank) & (extended[:, 2:] != extended[:, :-2])
    return extended, jumps


def _moved(xp: Any, a: Any, by: int) -> Any:
    out = xp.full_like(a, -xp.inf)
    if by > 0:
        out[:, by:] = a[:, :-by]
    else:
        out[:, :by] = a[:, -by:]
    return out


def _step(xp: Any, a: Any, jumps: Any, direction: int) -> Any:
    """The logarithm of the probability of all ways into each place, from those before."""
    once = xp.logaddexp(a, _moved(xp, a, direction))
    if direction > 0:
        return xp.logaddexp(once, xp.where(jumps, _moved(xp, a, 2), -xp.inf))
    return xp.logaddexp(once, _moved(xp, xp.where(jumps, a, -xp.inf), -2))


def _emissions(xp: Any, log_probs: Any, extended: Any) -> Any:
    index = xp.broadcast_to(extended[None], (len(log_probs), *extended.shape))
    return xp.take_along_axis(log_probs, index, 2)


def _forward(xp: Any, emitted: Any, jumps: Any) -> Any:
    alpha = xp.full_like(emitted, -xp.inf)
    if len(emitted):
        alpha[0, :, :2] = emitted[0, :, :2]
    for t in range(1, len(emitted)):
        alpha[t] = _step(xp, alpha[t - 1], jumps, 1) + emitted[t]
    return alpha


def _likelihoods(xp: Any, alpha: Any, inputs: Any, lengths: Any) -> Any:
    """The logarithms of the probabilities of the targets."""
    rows = xp.arange(len(inputs))
    last = alpha[xp.maximum(inputs - 1, 0), rows]
    ends = xp.take_along_axis(last, 2 * lengths[:, None], 1)[:, 0]
    labels = xp.take_along_axis(last, xp.maximum(2 * lengths - 1, 0)[:, None], 1)[:, 0]
    total = xp.logaddexp(ends, xp.where(lengths > 0, labels, -xp.inf))
    return xp.where(inputs > 0, total, xp.where(lengths > 0, -xp.inf, 0)).astype(alpha.dtype)


def _ctc_loss(
    xp: Any,
    log_probs: Any,
    targets: Any,
    inputs: Any,
    lengths: Any,
    blank: int,
    zero_infinity: bool = False,
) -> Any:
    extended, jumps = _paths(xp, targets, blank)
    alpha = _forward(xp, _emissions(xp, log_probs, extended), jumps)
    loss = -_likelihoods(xp, alpha, inputs, lengths)
    return xp.where(xp.isinf(loss), 0, loss) if zero_infinity else loss


def _backward(xp: Any, emitted: Any, jumps: Any, inputs: Any, lengths: Any) -> Any:
    places = xp.arange(emitted.shape[2])
    start = (places == 2 * lengths[:, None]) | (places == 2 * lengths[:, None] - 1)
    beta = xp.full_like(emitted, -xp.inf)
    after = beta[0]
    for t in reversed(range(len(emitted))):
        ended = (inputs == t + 1)[:, None]
        ways = xp.where(ended, xp.where(start, 0, -xp.inf), _step(xp, after, jumps, -1))
        after = beta[t] = ways + emitted[t]
    return beta


def _ctc_back(
    xp: Any,
    log_probs: Any,
    targets: Any,
    inputs: Any,
    lengths: Any,
    blank: int,
    zero_infinity: bool,
    loss: Any,
    g: Any,
) -> Any:
    """The gradient for logits, of which `log_probs` is the log_softmax, as PyTorch defines it."""
    extended, jumps = _paths(xp, targets, blank)
    emitted = _emissions(xp, log_probs, extended)
    both = _forward(xp, emitted, jumps) + _backward(xp, emitted, jumps, inputs, lengths)
    own = (xp.arange(extended.shape[1]) <= 2 * lengths[:, None])[None]
    likelihood = _likelihoods(xp, _forward(xp, emitted, jumps), inputs, lengths)
    share = xp.where(own, xp.exp(both - emitted - likelihood[:, None]), 0)
    visits = xp.zeros_like(log_probs)
    for s in range(extended.shape[1]):
        place = xp.broadcast_to(extended[None, :, s, None], (len(log_probs), len(inputs), 1))
        old = xp.take_along_axis(visits, place, 2)
        xp.put_along_axis(visits, place, old + share[:, :, s, None], 2)
    grad = (xp.exp(log_probs) - visits) * g[:, None]
    dead = xp.arange(len(log_probs))[:, None] >= inputs
    if zero_infinity:
        dead = dead | xp.isinf(likelihood)
    return xp.where(dead[:, :, None], 0, grad).astype(log_probs.dtype)


ctc = op(
    "_ctc_loss",
    _ctc_loss,
    lambda F, g, log_probs, targets, inputs, lengths, blank, zero_infinity, out: F._ctc_back(
        log_probs, targets, inputs, lengths, blank, zero_infinity, out, g
    ),
)
op("_ctc_back", _ctc_back)
