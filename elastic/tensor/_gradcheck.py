"""Gradients against central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from elastic.tensor._engine import grad
from elastic.tensor._tensor import Tensor, wrap


class GradcheckError(RuntimeError):
    """An analytical gradient differs from the numerical one."""


def gradcheck(
    func: Callable,
    inputs: Tensor | Sequence,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether backward of `func` agrees with central differences. Inputs should be float64.

    Raises: GradcheckError, unless `raise_exception` is False.
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    outputs = _outputs(func, inputs)
    for k, out in enumerate(outputs):
        for j, x in enumerate(inputs):
            if not (isinstance(x, Tensor) and x.requires_grad):
                continue
            expected = _numerical(func, inputs, x, k, eps)
            got = _analytical(out, x, expected.shape)
            if not np.allclose(got, expected, rtol, atol):
                if not raise_exception:
                    return False
                raise GradcheckError(
                    f"Jacobian mismatch for output {k} with respect to input {j},\n"
                    f"numerical:{expected}\nanalytical:{got}"
                )
    return True


def gradgradcheck(func: Callable, inputs: Tensor | Sequence, **settings: Any) -> bool:
    """Whether the gradient of the gradient of `func` agrees with central differences."""
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    wanted = [k for k, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    seeds = _seeds(_outputs(func, inputs))

    def first_order(*args: Any) -> tuple:
        outputs = _outputs(func, args[: len(inputs)])
        found = grad(
            outputs,
            [args[k] for k in wanted],
            args[len(inputs) :],
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return tuple(g for g in found if g.requires_grad)

    return gradcheck(first_order, (*inputs, *seeds), **settings)


def _seeds(outputs: tuple) -> list[Tensor]:
    rng = np.random.RandomState(0)
    shapes = [(out._array.shape, out._array.dtype) for out in outputs]
    return [wrap(np.asarray(rng.randn(*s)).astype(d)).requires_grad_() for s, d in shapes]


def _outputs(func: Callable, inputs: Sequence) -> tuple:
    out = func(*inputs)
    out = (out,) if isinstance(out, Tensor) else tuple(out)
    return tuple(each for each in out if isinstance(each, Tensor) and each.requires_grad)


def _numerical(func: Callable, inputs: tuple, x: Tensor, output: int, eps: float) -> np.ndarray:
    """The Jacobian by central differences: one row an element of `x`."""
    array, rows = x._array, []
    for place in np.ndindex(array.shape):
        value = array[place]
        sides = []
        for step in (eps, -eps):
            array[place] = value + step
            sides.append(_outputs(func, inputs)[output]._array.copy())
        array[place] = value
        rows.append((sides[0] - sides[1]).reshape(-1) / (2 * eps))
    return np.stack(rows) if rows else np.zeros((0, 0))


def _analytical(out: Tensor, x: Tensor, shape: tuple) -> np.ndarray:
    columns = []
    for i in range(out._array.size):
        seed = np.zeros(out._array.shape, out._array.dtype)
        seed.reshape(-1)[i] = 1
        (g,) = grad(out, x, wrap(seed), retain_graph=True, allow_unused=True)
        columns.append(np.zeros(x._array.size) if g is None else g._array.reshape(-1))
    return np.stack(columns, 1) if columns else np.zeros(shape)
