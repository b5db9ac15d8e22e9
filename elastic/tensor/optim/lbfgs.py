"""LBFGS: quasi-Newton steps from the last gradients, for functions without noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import elastic.tensor as torch
from elastic.tensor import Tensor
from elastic.tensor.optim.optimizer import Optimizer, check_settings, settings

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Steps along the inverse curvature times the gradient, from the last `history_size` steps.

    A step calls its closure, which computes the loss and its gradients anew, up to `max_eval`
    times. There is one parameter group; all gradients are one vector to it.
    Source: Nocedal and Wright, "Numerical Optimization", 2006, algorithms 3.5, 3.6 and 7.4.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        defaults = settings(locals())
        check_settings(lr=lr)
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Take up to `max_iter` steps; return the loss before the first of them."""
        with torch.no_grad():
            return self._step(torch.enable_grad()(closure))

    def _step(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        state["func_evals"] += 1
        run = _Run(float(first_loss), self._gradient(), 1)
        if _largest(run.grad) <= group["tolerance_grad"]:
            return first_loss
        for k in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction, rate = _direction(state, run, group)
            slope = run.grad.dot(direction)
            if slope > -group["tolerance_change"]:
                break
            loss_before, is_last = run.loss, k == group["max_iter"]
            run, rate = self._move(closure, run, rate, direction, is_last)
            state["t"] = rate
            if is_last or self._is_done(run, direction, rate, loss_before):
                break
        return first_loss

    def _move(
        self, closure: Callable, run: _Run, rate: float, direction: Tensor, last: bool
    ) -> tuple[_Run, float]:
        """Take one step; return the loss and gradient there, and how far it went."""
        group, state = self.param_groups[0], self.state[self._params[0]]
        if group["line_search_fn"] is None:
            self._add(rate, direction)
            if last:
                return run, rate
            state["func_evals"] += 1
            return _Run(float(closure()), self._gradient(), run.evals + 1), rate
        if group["line_search_fn"] != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        search = _Search(self._evaluation(closure, direction), run, direction)
        point = search.find(rate, group["max_eval"] - run.evals)
        self._add(point.rate, direction)
        state["func_evals"] += search.evals
        return _Run(point.loss, point.grad, run.evals + search.evals), point.rate

    def _evaluation(self, closure: Callable, direction: Tensor) -> Callable:
        """Return the function that gives loss and gradient at a distance from here."""
        start = [param.clone() for param in self._params]

        def evaluate(rate: float) -> tuple[float, Tensor]:
            self._add(rate, direction)
            found = float(closure()), self._gradient()
            for param, value in zip(self._params, start, strict=True):
                param.copy_(value)
            return found

        return evaluate

    def _is_done(self, run: _Run, direction: Tensor, rate: Any, loss_before: float) -> bool:
        group = self.param_groups[0]
        smallest = group["tolerance_change"]
        return bool(
            run.evals >= group["max_eval"]
            or _largest(run.grad) <= group["tolerance_grad"]
            or _largest(direction * rate) <= smallest
            or abs(run.loss - loss_before) < smallest
        )

    def _gradient(self) -> Tensor:
        """Return the gradients of all parameters as one vector."""
        return torch.cat([_gradient_of(param) for param in self._params])

    def _add(self, rate: float, direction: Tensor) -> None:
        start = 0
        for param in map(_as_real, self._params):
            part = direction[start : start + param.numel()]
            param.add_(part.reshape(param.shape), alpha=rate)
            start += param.numel()


class _Run(NamedTuple):
    """Where a step stands: the loss, the gradient, and how often the closure was called."""

    loss: float
    grad: Tensor
    evals: int


def _as_real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _gradient_of(param: Tensor) -> Tensor:
    grad = torch.zeros_like(param) if param.grad is None else param.grad
    return _as_real(grad.to_dense() if getattr(grad, "is_sparse", False) else grad).reshape(-1)


def _largest(vector: Tensor) -> float:
    return vector.abs().max().item()


def _direction(state: dict[str, Any], run: _Run, group: dict[str, Any]) -> tuple[Tensor, float]:
    """Return where to go and how far at first, and keep both and the gradient in the state."""
    lr = group["lr"].item() if isinstance(group["lr"], Tensor) else group["lr"]
    grad = run.grad
    if state["n_iter"] == 1:
        direction = -grad
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        rate = min(1.0, 1.0 / grad.abs().sum().item()) * lr
    else:
        _remember(state, grad, group["history_size"])
        direction, rate = _two_loops(state, grad, group["history_size"]), lr
    state.update(d=direction, t=rate, prev_flat_grad=grad.clone(), prev_loss=run.loss)
    return direction, rate


def _remember(state: dict[str, Any], grad: Tensor, size: int) -> None:
    """Add the last step and what it did to the gradient, if the curvature along it is positive."""
    change, step = grad - state["prev_flat_grad"], state["d"] * state["t"]
    product = change.dot(step)
    if product <= 1e-10:
        return
    entries = {"old_dirs": change, "old_stps": step, "ro": 1.0 / product}
    for name, value in entries.items():
        if len(state[name]) == size:
            state[name].pop(0)
        state[name].append(value)
    state["H_diag"] = product / change.dot(change)


def _two_loops(state: dict[str, Any], grad: Tensor, size: int) -> Tensor:
    """Return minus the inverse curvature times the gradient."""
    history = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
    shares = state.setdefault("al", [None] * size)
    direction = -grad
    for i in range(len(history) - 1, -1, -1):
        change, step, ro = history[i]
        shares[i] = step.dot(direction) * ro
        direction = direction - change * shares[i]
    direction = direction * state["H_diag"]
    for share, (change, step, ro) in zip(shares, history, strict=False):
        direction = direction + step * (share - change.dot(direction) * ro)
    return direction


class _Point(NamedTuple):
    """A place on the line: how far along, the loss, the gradient, and the slope."""

    rate: float
    loss: float
    grad: Tensor
    slope: float


class _Search:
    """A search along `direction` for a point with enough descent and little slope left."""

    DESCENT, SLOPE, SHORTEST = 1e-4, 0.9, 1e-9

    def __init__(self, evaluate: Callable, run: _Run, direction: Tensor):
        self.evaluate = evaluate
        self.direction = direction
        self.start = _Point(0.0, run.loss, run.grad, run.grad.dot(direction).item())
        self.evals = 0

    def find(self, rate: float, limit: int) -> _Point:
        """Return the best point of up to `limit` tries; the first of them is at `rate`."""
        bracket = self._bracket(rate, limit)
        low = 0 if bracket[0].loss <= bracket[-1].loss else 1
        if len(bracket) == 1:
            return bracket[0]
        return self._zoom(bracket, low, limit)

    def _at(self, rate: float) -> _Point:
        self.evals += 1
        loss, grad = self.evaluate(rate)
        return _Point(rate, loss, grad, grad.dot(self.direction).item())

    def _is_too_high(self, point: _Point) -> bool:
        start = self.start
        return point.loss > start.loss + self.DESCENT * point.rate * start.slope

    def _is_flat(self, point: _Point) -> bool:
        return abs(point.slope) <= -self.SLOPE * self.start.slope

    def _bracket(self, rate: float, limit: int) -> list[_Point]:
        """Return two points with a good one between them, or a good one."""
        before, point = self.start, self._at(rate)
        for tries in range(limit):
            if self._is_too_high(point) or (tries > 1 and point.loss >= before.loss):
                return [before, point]
            if self._is_flat(point):
                return [point]
            if point.slope >= 0:
                return [before, point]
            bounds = point.rate + 0.01 * (point.rate - before.rate), point.rate * 10
            before, point = point, self._at(_cubic(before, point, bounds))
        return [self.start, point]

    def _zoom(self, bracket: list[_Point], low: int, limit: int) -> _Point:
        """Return a good point of the bracket, or its better end when the tries are used up."""
        stuck = False
        longest = _largest(self.direction)
        while self.evals - 1 < limit:
            ends = sorted(point.rate for point in bracket)
            if (ends[1] - ends[0]) * longest < self.SHORTEST:
                break
            rate, stuck = _inside(_cubic(bracket[0], bracket[1]), ends, stuck)
            point = self._at(rate)
            if self._is_too_high(point) or point.loss >= bracket[low].loss:
                bracket[1 - low] = point
                low = 0 if bracket[0].loss <= bracket[1].loss else 1
                continue
            if not self._is_flat(point):
                if point.slope * (bracket[1 - low].rate - bracket[low].rate) >= 0:
                    bracket[1 - low] = bracket[low]
                bracket[low] = point
                continue
            return point
        return bracket[low]


def _inside(rate: float, ends: list[float], stuck: bool) -> tuple[float, bool]:
    """Return a rate that is not at an end of the bracket twice in a row, and if it is at one."""
    margin = 0.1 * (ends[1] - ends[0])
    if min(ends[1] - rate, rate - ends[0]) >= margin:
        return rate, False
    if not stuck and ends[0] < rate < ends[1]:
        return rate, True
    nearer_end = abs(rate - ends[1]) < abs(rate - ends[0])
    return (ends[1] - margin if nearer_end else ends[0] + margin), False


def _cubic(a: _Point, b: _Point, bounds: tuple[float, float] | None = None) -> float:
    """Return where the cubic through two points, with their slopes, is lowest."""
    low, high = bounds or (min(a.rate, b.rate), max(a.rate, b.rate))
    bend = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.rate - b.rate)
    square = bend**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    if a.rate > b.rate:
        a, b = b, a
    root = square**0.5
    share = (b.slope + root - bend) / (b.slope - a.slope + 2 * root)
    return min(max(b.rate - (b.rate - a.rate) * share, low), high)
