"""Derivatives of functions: Jacobians, Hessians and their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import elastic.tensor as torch
from elastic.tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

_OUTPUTS = "outputs of the user-provided function"


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """The outputs of `func`, and `v` times its Jacobian (in the form of `inputs`).

    With `strict`, an output that does not depend on an input is an error instead of a zero.
    """
    with torch.enable_grad():
        several_in, args = _tuple_of(inputs, "inputs", "vjp")
        args = _tracked(args, create_graph)
        several_out, outputs = _called(func, args, "vjp", strict)
        vector = _vector_for_outputs(v, outputs, several_out, create_graph)
        found = _gradients(outputs, args, vector, create_graph)
        product = _filled(found, args, strict, create_graph, "back")
    ends = _finished(outputs, create_graph), _finished(product, create_graph)
    return _unpacked(ends[0], several_out), _unpacked(ends[1], several_in)


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """The outputs of `func`, and its Jacobian times `v` (in the form of the outputs).

    Backward runs twice: the gradient is linear in its cotangent, with the Jacobian as derivative.
    """
    with torch.enable_grad():
        several_in, args = _tuple_of(inputs, "inputs", "jvp")
        args = _tracked(args, create_graph)
        if v is None:
            if len(args) != 1 or args[0].numel() != 1:
                raise RuntimeError(
                    "The vector v can only be None if the input to the user-provided function is "
                    "a single Tensor with a single element."
                )
            vector: tuple = (None,)
        else:
            vector = _given(v, "jvp", args, several_in, create_graph)
        several_out, outputs = _called(func, args, "jvp", strict)
        found, duals = pushed_forward(outputs, args, vector, create_graph, strict)
        del duals
        product = _filled(found, outputs, strict, create_graph, "back_trick")
    ends = _finished(outputs, create_graph), _finished(product, create_graph)
    return _unpacked(ends[0], several_out), _unpacked(ends[1], several_out)


def pushed_forward(
    outputs: tuple, args: tuple, vector: tuple, create_graph: bool, strict: bool = False
) -> tuple[tuple, tuple]:
    """The Jacobian of computed `outputs` times `vector`, None where there is no path; and the
    cotangents that it went through.
    """
    # A vjp is linear, so it is differentiated anywhere; not at 0, of which some take a logarithm.
    duals = tuple(torch.ones_like(out, requires_grad=True) for out in outputs)
    pulled = _gradients(outputs, args, duals, True)
    _check_tracked(pulled, "grad_inputs", strict)
    return _gradients(pulled, duals, vector, create_graph), duals


def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of `func`: shape of the output, then of the input; nested tuples for several.

    `vectorize` is accepted; rows are computed one after the other either way.
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your '
            'function has more outputs than inputs, "forward-mode" tends to be more performant. '
            'Otherwise, prefer to use "reverse-mode".'
        )
    _check_strategy(strategy, create_graph, strict, vectorize)
    with torch.enable_grad():
        several_in, args = _tuple_of(inputs, "inputs", "jacobian")
        args = _tracked(args, create_graph)
        several_out, outputs = _called(func, args, "jacobian", strict)
        if vectorize and strict:
            raise RuntimeError(
                "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not "
                "supported together. Please either set `strict=False` or `vectorize=False`."
            )
        rows = tuple(
            _jacobian_of_one(i, out, args, create_graph, strict) for i, out in enumerate(outputs)
        )
    blocks = tuple(_unpacked(_finished(row, create_graph), several_in) for row in rows)
    return _unpacked(blocks, several_out)


def _check_strategy(strategy: str, create_graph: bool, strict: bool, vectorize: bool) -> None:
    if strategy == "reverse-mode":
        return
    for flag, what in ((create_graph, "create_graph"), (strict, "strict")):
        if flag:
            kind = NotImplementedError if what == "create_graph" else RuntimeError
            raise kind(
                f'torch.autograd.functional.jacobian: `{what}=True` and `strategy="forward-mode"` '
                f"are not supported together (yet). Please either set `{what}=False` or "
                '`strategy="reverse-mode"`.'
            )
    if not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian is"
            "only implemented for `vectorize=True`."
        )


def _jacobian_of_one(i: int, out: Tensor, args: tuple, graph: bool, strict: bool) -> tuple:
    """The Jacobian of one output with respect to each of `args`."""
    columns: list[list[Tensor]] = [[] for _ in args]
    flat = out.reshape(-1)
    for j in range(out.numel()):
        found = _gradients((flat[j],), args, (None,), graph, True)
        for k, (g, x) in enumerate(zip(found, args, strict=True)):
            if g is None and strict:
                raise RuntimeError(
                    f"Output {i} of the user-provided function is independent of input {k}. This "
                    "is not allowed in strict mode."
                )
            if g is not None and strict and graph and not g.requires_grad:
                raise RuntimeError(
                    "The jacobian of the user-provided function is independent of input "
                    f"{i}. This is not allowed in strict mode when create_graph=True."
                )
            columns[k].append(torch.zeros_like(x) if g is None else g)
    shapes = [tuple(out.shape) + tuple(x.shape) for x in args]
    return tuple(
        torch.stack(rows).reshape(shape) if rows else torch.zeros(shape, dtype=out.dtype)
        for rows, shape in zip(columns, shapes, strict=True)
    )


def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of `func`, which returns one number: the Jacobian of its Jacobian."""
    several, args = _tuple_of(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def first(*given: Tensor) -> tuple:
        found = jacobian(_single(func, "hessian", strict), given, create_graph=True)
        _check_tracked(found, "jacobian", strict)
        return found

    found = jacobian(first, args, create_graph, strict, vectorize)
    return _unpacked(tuple(_unpacked(row, several) for row in found), several)


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """The output of `func`, which returns one number, and `v` times its Hessian."""
    with torch.enable_grad():
        several, args = _tuple_of(inputs, "inputs", "vhp")
        args = _tracked(args, create_graph)
        vector = _vector_for_inputs(v, args, several, create_graph, "vhp")
        outputs = (_single(func, "vhp", strict)(*args),)
        first = _gradients(outputs, args, (None,), True)
        _check_tracked(first, "jacobian", strict)
        first = _filled(first, args, False, True, "back")
        found = _gradients(first, args, vector, create_graph)
        product = _filled(found, args, strict, create_graph, "double_back")
    ends = _finished(outputs, create_graph), _finished(product, create_graph)
    return ends[0][0], _unpacked(ends[1], several)


def hvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """The output of `func`, which returns one number, and its Hessian times `v`."""
    with torch.enable_grad():
        several, args = _tuple_of(inputs, "inputs", "hvp")
        args = _tracked(args, create_graph)
        vector = _vector_for_inputs(v, args, several, create_graph, "hvp")
        outputs = (_single(func, "hvp", strict)(*args),)
        first = _gradients(outputs, args, (None,), True)
        _check_tracked(first, "jacobian", strict)
        first = _filled(first, args, False, True, "back")
        found, _ = pushed_forward(first, args, vector, create_graph)
        product = _filled(found, args, strict, create_graph, "double_back_trick")
    ends = _finished(outputs, create_graph), _finished(product, create_graph)
    return ends[0][0], _unpacked(ends[1], several)


def _tuple_of(value: Any, what: str, name: str) -> tuple[bool, tuple]:
    """Whether `value` is a tuple, and it as one. Raises: TypeError for what is no tensor."""
    several = isinstance(value, tuple)
    for k, each in enumerate(value if several else (value,)):
        if not isinstance(each, Tensor):
            where = f"value at index {k}" if several else f"given {what}"
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the "
                f"{where} has type {type(each)}."
            )
    return several, value if several else (value,)


def _unpacked(values: tuple, several: bool) -> Any:
    return values if several else values[0]


def _tracked(args: tuple, create_graph: bool, wants: bool = True) -> tuple:
    """New tensors for `args`: the same ones may also be captured by the user's function."""
    return tuple(
        x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_(wants)
        for x in args
    )


def _finished(values: tuple, create_graph: bool) -> tuple:
    return values if create_graph else tuple(each.detach() for each in values)


def _called(func: Callable, args: tuple, name: str, strict: bool) -> tuple[bool, tuple]:
    several, outputs = _tuple_of(func(*args), _OUTPUTS, name)
    _check_tracked(outputs, "outputs", strict)
    return several, outputs


def _single(func: Callable, name: str, strict: bool) -> Callable:
    """`func`, checked to return one tensor of one element."""

    def called(*args: Tensor) -> Tensor:
        several, outputs = _called(func, args, name, strict)
        if several:
            raise RuntimeError(f"The function given to {name} should return a single Tensor")
        if outputs[0].numel() != 1:
            raise RuntimeError(
                f"The Tensor returned by the function given to {name} should contain a single "
                "element"
            )
        return outputs[0].reshape(())

    return called


def _given(v: Any, name: str, other: tuple, several: bool, create_graph: bool) -> tuple:
    """The vector `v`, of the form of `other`."""
    _, vector = _tuple_of(v, "v", name)
    vector = _tracked(vector, create_graph, False)
    if len(other) != len(vector):
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(other)} but got {len(vector)}."
            if several
            else "The given v should contain a single Tensor."
        )
    for k, (a, b) in enumerate(zip(vector, other, strict=True)):
        if a.shape != b.shape:
            where = f"Entry {k} in " if several else ""
            raise RuntimeError(f"{where}v has invalid size: should be {b.shape} but got {a.shape}.")
    return vector


def _vector_for_outputs(v: Any, outputs: tuple, several: bool, create_graph: bool) -> tuple:
    if v is not None:
        return _given(v, "vjp", outputs, several, create_graph)
    if len(outputs) != 1 or outputs[0].numel() != 1:
        raise RuntimeError(
            "The vector v can only be None if the user-provided function returns a single Tensor "
            "with a single element."
        )
    return (None,)


def _vector_for_inputs(v: Any, args: tuple, several: bool, create_graph: bool, name: str) -> tuple:
    if v is not None:
        return _given(v, name, args, several, create_graph)
    if len(args) != 1 or args[0].numel() != 1:
        raise RuntimeError(
            "The vector v can only be None if the input to the user-provided function is a single "
            "Tensor with a single element."
        )
    return (None,)


def _gradients(
    outputs: tuple, args: tuple, vector: tuple, graph: bool, retain: bool | None = None
) -> tuple:
    """`autograd.grad`, with None for what has no gradient on either side."""
    pairs = [
        (out, w)
        for out, w in zip(outputs, vector, strict=True)
        if out is not None and out.requires_grad
    ]
    if not pairs:
        return (None,) * len(args)
    seeds = [torch.ones_like(out) if w is None else w for out, w in pairs]
    return torch.autograd.grad(
        [out for out, _ in pairs], args, seeds, retain, create_graph=graph, allow_unused=True
    )


_TRACKED = {
    "outputs": (
        "Output {} of the user-provided function does not require gradients. The outputs must be "
        "computed in a differentiable manner from the input when running in strict mode."
    ),
    "grad_inputs": (
        "The gradient with respect to input {} is independent of the inputs of the user-provided "
        "function. This is not allowed in strict mode."
    ),
    "jacobian": (
        "While computing the hessian, found that the jacobian of the user-provided function with "
        "respect to input {} is independent of the input. This is not allowed in strict mode. You "
        "should ensure that your function is twice differentiable and that the jacobian depends on "
        "the inputs (this would be violated by a linear function for example)."
    ),
}


def _check_tracked(values: tuple, kind: str, strict: bool) -> None:
    for k, value in enumerate(values if strict else ()):
        if value is None:
            raise RuntimeError(
                f"The output of the user-provided function is independent of input {k}. This is "
                "not allowed in strict mode."
            )
        if not value.requires_grad:
            raise RuntimeError(_TRACKED[kind].format(k))


_INDEPENDENT = {
    "back": (
        "The output of the user-provided function is independent of input {}. This is not allowed "
        "in strict mode."
    ),
    "back_trick": (
        "The gradient with respect to the input is independent of entry {} in the grad_outputs "
        "when using the double backward trick to compute forward mode gradients. This is not "
        "allowed in strict mode."
    ),
    "double_back": (
        "The jacobian of the user-provided function is independent of input {}. This is not "
        "allowed in strict mode."
    ),
    "double_back_trick": (
        "The hessian of the user-provided function is independent of entry {} in the "
        "grad_jacobian. This is not allowed in strict mode as it prevents from using the double "
        "backward trick to replace forward mode AD."
    ),
}


def _filled(found: tuple, like: tuple, strict: bool, create_graph: bool, stage: str) -> tuple:
    """`found` with zeros for what is None; with `strict` that is an error."""
    results = []
    for k, (g, x) in enumerate(zip(found, like, strict=True)):
        if g is None and strict:
            raise RuntimeError(_INDEPENDENT[stage].format(k))
        if g is not None and strict and create_graph and not g.requires_grad:
            what = "hessian" if "double" in stage else "jacobian"
            raise RuntimeError(
                f"The {what} of the user-provided function is independent of input {k}. This is "
                "not allowed in strict mode when create_graph=True."
            )
        results.append(torch.zeros_like(x) if g is None else g)
    return tuple(results)
