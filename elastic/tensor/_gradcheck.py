"""Gradients against central differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elastic.tensor import backend
from elastic.tensor._engine import grad
from elastic.tensor._grad_mode import no_grad
from elastic.tensor._registry import TENSORS
from elastic.tensor._tensor import Tensor, wrap


class GradcheckError(RuntimeError):
    """An analytical gradient differs from the numerical one, or is not what it should be."""


@dataclass(frozen=True)
class _Settings:
    eps: float = 1e-6
    atol: float = 1e-5
    rtol: float = 1e-3
    nondet_tol: float = 0.0
    check_undefined_grad: bool = True
    check_grad_dtypes: bool = False
    check_batched_grad: bool = False
    check_batched_forward_grad: bool = False
    check_forward_ad: bool = False
    check_backward_ad: bool = True


def gradcheck(
    func: Callable,
    inputs: Tensor | Sequence,
    *,
    raise_exception: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
    **settings: Any,
) -> bool:
    """Whether backward of `func` agrees with central differences. Inputs should be float64.

    Settings: `eps`, `atol`, `rtol`, `nondet_tol`, and which checks to make (`check_undefined_grad`,
    `check_grad_dtypes`, `check_batched_grad`, `check_forward_ad`, `check_backward_ad`). There is
    one mode only, the slow one; `fast_mode` and `masked` are accepted.

    Raises: GradcheckError, unless `raise_exception` is False.
    """
    asked = _Settings(**settings)
    if not (asked.check_forward_ad or asked.check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad")
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    try:
        _check_all(func, inputs, asked)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable,
    inputs: Tensor | Sequence,
    grad_outputs: Any = None,
    *,
    gen_non_contig_grad_outputs: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    **settings: Any,
) -> bool:
    """Whether the gradient of the gradient of `func` agrees with central differences.

    `grad_outputs` are random unless given. For the settings see `gradcheck`.
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    wanted = [k for k, x in enumerate(inputs) if _wants(x)]
    if grad_outputs is None:
        seeds = _seeds(_differentiable(func(*inputs)), gen_non_contig_grad_outputs)
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)

    def first_order(*args: Any) -> tuple:
        outputs = _differentiable(func(*args[: len(inputs)]))
        given = [args[k] for k in wanted]
        found = grad(outputs, given, args[len(inputs) :], create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    settings |= {"check_forward_ad": check_fwd_over_rev, "check_backward_ad": check_rev_over_rev}
    return gradcheck(first_order, (*inputs, *seeds), **settings)


def _seeds(outputs: tuple, gaps: bool) -> list[Tensor]:
    rng = np.random.RandomState(0)
    seeds = []
    for out in outputs:
        shape, dtype = out._array.shape, out._array.dtype
        values = rng.uniform(-1, 1, (*shape, 2) if gaps else shape)
        if dtype.kind == "c":
            values = values + 1j * rng.uniform(-1, 1, values.shape)
        array = values[..., 0] if gaps else np.asarray(values)
        seeds.append(wrap(backend.xp_of(out._array).asarray(array).astype(dtype, order="K")))
    return [seed.requires_grad_() for seed in seeds]


def _wants(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _differentiable(out: Any) -> tuple:
    out = (out,) if isinstance(out, Tensor) else tuple(out)
    return tuple(each for each in out if _wants(each))


def _check_all(func: Callable, inputs: tuple, asked: _Settings) -> None:
    _check_inputs(inputs)
    result = func(*inputs)
    outputs = _differentiable(result)
    if not outputs:
        _check_constant(func, inputs, result, asked)
        return
    if asked.check_backward_ad:
        for part, name in _parts(outputs):
            _check_part(_of_part(func, part), inputs, name, asked, asked.check_forward_ad)
        _check_zeros(outputs, inputs, asked)
    elif asked.check_forward_ad:
        _check_part(func, inputs, "", asked, True)
    for k, out in enumerate(outputs if asked.check_batched_grad else ()):
        _check_batched(k, out, inputs)


def _check_inputs(inputs: tuple) -> None:
    for k, x in enumerate(inputs):
        if not _wants(x):
            continue
        if x._array.dtype not in (np.float64, np.complex128):
            warnings.warn(
                f"Input #{k} requires gradient and is not a double precision floating point or "
                "complex. This check will likely fail if all the inputs are not of double "
                "precision floating point or complex. ",
                stacklevel=4,
            )
        if any(s == 0 and n > 1 for s, n in zip(x.stride(), x.shape, strict=True)):
            raise RuntimeError(
                f"The {k}th input has a dimension with stride 0. gradcheck only supports inputs "
                "that are non-overlapping to be able to compute the numerical gradients correctly. "
                "You should call .contiguous on the input before passing it to gradcheck."
            )
    if not any(_wants(x) for x in inputs):
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have requires_grad=True."
        )


def _check_constant(func: Callable, inputs: tuple, result: Any, asked: _Settings) -> None:
    outputs = (result,) if isinstance(result, Tensor) else tuple(result)
    for x in inputs:
        for k, out in enumerate(outputs):
            if not (_wants(x) and isinstance(out, Tensor) and out.is_floating_point()):
                continue
            found = _numerical(lambda *a, k=k: _tuple(func(*a))[k], inputs, x, asked.eps)
            if np.abs(found).max(initial=0) > 1e-10:
                raise GradcheckError("Numerical gradient for function expected to be zero")


def _tuple(value: Any) -> tuple:
    return (value,) if isinstance(value, Tensor) else tuple(value)


_COMPLEX = "While considering the {} part of complex outputs only, "


def _parts(outputs: tuple) -> list[tuple[str, str]]:
    """Which parts of the outputs are checked, and how a message begins: complex ones have two."""
    if any(out.is_complex() for out in outputs):
        return [("imag", _COMPLEX.format("imaginary")), ("real", _COMPLEX.format("real"))]
    return [("", "")]


def _of_part(func: Callable, part: str) -> Callable:
    """`func` with the `part` (real, imag) of its complex outputs."""
    if not part:
        return func

    def called(*args: Any) -> tuple:
        outputs = _differentiable(func(*args))
        return tuple(getattr(TENSORS, part)(t) if t.is_complex() else t for t in outputs)

    return called


def _check_part(
    func: Callable, inputs: tuple, prefix: str, asked: _Settings, forward: bool
) -> None:
    outputs = _differentiable(func(*inputs))
    for k, out in enumerate(outputs):
        for j, x in enumerate(inputs):
            if not _wants(x):
                continue
            expected = _numerical(
                lambda *a, k=k: _differentiable(func(*a))[k], inputs, x, asked.eps
            )
            if asked.check_backward_ad:
                got = _analytical(out, x, asked)
                _compare(got, expected, prefix, (k, j), "", asked)
            if forward and not x.is_complex():
                _compare(_forward(out, x), expected, prefix, (k, j), _FORWARD, asked)


def _output(func: Callable, k: int, *args: Any) -> Tensor:
    return _differentiable(func(*args))[k]


_FORWARD = "computed with forward mode "


def _compare(
    got: np.ndarray, expected: np.ndarray, prefix: str, place: tuple, mode: str, asked: _Settings
) -> None:
    if not np.allclose(got, expected, asked.rtol, asked.atol, equal_nan=True):
        raise GradcheckError(
            f"{prefix}Jacobian {mode}mismatch for output {place[0]} with respect to input "
            f"{place[1]},\nnumerical:{wrap(expected)}\nanalytical:{wrap(got)}\n"
        )


def _numerical(func: Callable, inputs: tuple, x: Tensor, eps: float) -> np.ndarray:
    """The Jacobian by central differences: one row an element of `x`."""
    rows = []
    for place in np.ndindex(x._array.shape):
        row: Any = 0
        for unit in (1, 1j) if x.is_complex() else (1,):
            sides = [_moved(func, inputs, x, place, unit * step) for step in (eps, -eps)]
            row = row + unit * (sides[0] - sides[1]) / (2 * eps)
        rows.append(row)
    return np.stack(rows) if rows else np.zeros((0, _count(func, inputs)))


def _count(func: Callable, inputs: tuple) -> int:
    return func(*inputs).numel()


def _moved(func: Callable, inputs: tuple, x: Tensor, place: tuple, step: complex) -> np.ndarray:
    """What `func` gives when one element of `x` is moved by `step`."""
    array = x._array
    value = array[place].copy()
    array[place] = value + step
    try:
        return backend.to_host(func(*inputs)._array).reshape(-1).astype(np.result_type(value))
    finally:
        array[place] = value


def _cotangents(out: Tensor) -> Iterator[Tensor]:
    xp = backend.xp_of(out._array)
    for k in range(out._array.size):
        seed = xp.zeros(out._array.size, out._array.dtype)
        seed[k] = 1
        yield wrap(seed.reshape(out._array.shape))


def _analytical(out: Tensor, x: Tensor, asked: _Settings) -> np.ndarray:
    """The Jacobian by backward, run twice for each element: both must agree."""
    columns = []
    for seed in _cotangents(out):
        twice = []
        for _ in range(2):
            (g,) = grad(out, x, seed, retain_graph=True, allow_unused=True)
            g = TENSORS.zeros_like(x) if g is None else g
            if asked.check_grad_dtypes and g.dtype is not x.dtype:
                raise GradcheckError("Gradient has dtype mismatch")
            if g.shape != x.shape:
                raise GradcheckError("Analytical gradient has incorrect size")
            twice.append(backend.to_host(g._array).reshape(-1))
        if np.abs(twice[0] - twice[1]).max(initial=0) > asked.nondet_tol:
            raise GradcheckError(
                "Backward is not reentrant, i.e., running backward with same input and grad_output "
                "multiple times gives different values, although analytical gradient matches "
                f"numerical gradient.The tolerance for nondeterminism was {asked.nondet_tol}."
            )
        columns.append(twice[0])
    return np.stack(columns, 1) if columns else np.zeros((x._array.size, 0))


def _forward(out: Tensor, x: Tensor) -> np.ndarray:
    """The Jacobian by forward mode, which is backward run twice."""
    from elastic.tensor.autograd.functional import pushed_forward

    rows = []
    for tangent in _cotangents(x):
        found = pushed_forward((out,), (x,), (tangent,), True)[0][0]
        found = TENSORS.zeros_like(out) if found is None else found
        rows.append(backend.to_host(found._array).reshape(-1))
    return np.stack(rows) if rows else np.zeros((0, out._array.size))


def _check_zeros(outputs: tuple, inputs: tuple, asked: _Settings) -> None:
    """Zero cotangents must give zero gradients, in the form of the inputs."""
    leaves = [x for x in inputs if _wants(x)]
    with no_grad():
        zeros = [TENSORS.zeros_like(out) for out in outputs]
    found = grad(outputs, leaves, zeros, retain_graph=True, allow_unused=True)
    for g, x in zip(found, leaves, strict=True):
        if g is None:
            continue
        if backend.to_host(g._array).any():
            raise GradcheckError("backward not multiplied by grad_output")
        if g.dtype is not x.dtype:
            raise GradcheckError("grad is incorrect type")
        if g.shape != x.shape:
            raise GradcheckError("grad is incorrect size")


def _check_batched(k: int, out: Tensor, inputs: tuple) -> None:
    """Gradients of a batch of cotangents must be the gradients one by one."""
    leaves = [x for x in inputs if _wants(x)]
    (first, second) = _seeds((out, out), False)
    batch = TENSORS.stack([first, second], 0).detach()
    together = grad(out, leaves, batch, retain_graph=True, allow_unused=True, is_grads_batched=True)
    for row, seed in enumerate((first, second)):
        alone = grad(out, leaves, seed, retain_graph=True, allow_unused=True)
        for j, (a, b) in enumerate(zip(together, alone, strict=True)):
            if a is not None and not np.allclose(a._array[row], b._array):
                raise GradcheckError(
                    f"For output {k} and input {j}: batched gradients differ from single ones"
                )
