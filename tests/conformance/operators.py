"""PyTorch's operator database against ours: every sample, forward and gradients.

Each sample of each operator (`op_db` of torch.testing, float32) runs on both libraries from the
same values, strides and seed. Right is an operator whose results have the same structure, dtypes,
shapes and values, and whose gradients of every input agree, on all its samples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch.testing._internal import common_methods_invocations
from torch.testing._internal.common_methods_invocations import op_db

import elastic.tensor as ours
from elastic.tensor import Tensor
from tests.conformance.bridge import tensors_in, to_ours, to_torch
from tests.conformance.verdict import Verdict

# Not PyTorch's public, dense interface: private names, CUDA's jiterator, sparse, masked tensors.
LEFT_OUT = ("_", "jiterator", "torch.", "sparse", "to_sparse", "masked.")
UNINITIALISED = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}
UNINITIALISED |= {"empty_permuted", "resize_", "resize_as_"}

# Where the database calls an operator with its arguments in another order than users do.
CALLS: dict[str, Callable] = {
    "where": lambda x, condition, other, **named: ours.where(condition, x, other, **named),
    "nn.functional.embedding": lambda weight, indices, **named: ours.nn.functional.embedding(
        indices, weight, **named
    ),
    "nn.functional.embedding_bag": lambda weight, indices, **named: (
        ours.nn.functional.embedding_bag(indices, weight, **named)
    ),
    "normal.in_place": Tensor.normal_,
    "normal.number_mean": lambda std, mean, *rest, **named: ours.normal(mean, std, *rest, **named),
    "rand_like": ours.randn_like,
    "zero_": lambda x: x.clone().zero_(),
    **{
        name: getattr(Tensor, f"{name}_")
        for name in ("cauchy", "exponential", "geometric", "log_normal", "uniform")
    },
    "slice": lambda x, dim=0, start=None, end=None, step=1: x[
        (*[slice(None)] * (dim % x.ndim), slice(start, end, step))
    ],
    "T": lambda x: x.T,
    "H": lambda x: x.H,
    "mT": lambda x: x.mT,
    "mH": lambda x: x.mH,
    "einsum": lambda operands, equation: ours.einsum(equation, *operands),
    "linalg.lstsq.grad_oriented": lambda *args, **named: ours.linalg.lstsq(*args, **named)[:2],
    "pca_lowrank": lambda a, b, **named: ours.pca_lowrank(a @ b.mT, **named),
    "svd_lowrank": lambda a, b, **named: ours.svd_lowrank(a @ b.mT, **named),
    "linalg.pinv.singular": lambda a, b: ours.linalg.pinv(a @ b.mT),
    "max_pool2d_with_indices_backward": lambda x, **named: _max_pool2d_backward(x, **named),
}


# The database seeds PyTorch's generator again before each random operator; ours would not see that.
common_methods_invocations.wrapper_set_seed = lambda op, *args, **named: op(*args, **named)


def _max_pool2d_backward(x: Tensor, **named: Any) -> Tensor:
    out, indices = ours.nn.functional.max_pool2d_with_indices(x, **named)
    named["stride"] = named["stride"] or named["kernel_size"]
    del named["return_indices"]
    ones = ours.ones_like(out)
    return ours.max_pool2d_with_indices_backward(ones, x, indices=indices, **named)


class Missing(Exception):
    """We have no operator of that name."""


def names() -> list[str]:
    """The operators that can be compared."""
    return sorted(comparable())


@cache
def comparable(dtype: torch.dtype | None = torch.float32) -> dict[str, list]:
    """The entries of the database that can be compared in `dtype` (or any), by operator."""
    found: dict[str, list] = {}
    for entry in op_db:
        if not is_left_out(entry.name) and (dtype is None or dtype in entry.dtypes):
            found.setdefault(entry.name, []).append(entry)
    return found


def is_left_out(name: str) -> bool:
    """Whether an operator is no part of the public, dense interface."""
    return name.startswith(LEFT_OUT) and not name.startswith("__")


def resolve(name: str) -> Callable:
    """Our operator of that name: a function of the namespace, or a method. Raises: Missing."""
    if name in CALLS:
        return CALLS[name]
    place: Any = ours
    *path, last = name.split(".")
    for part in path:
        place = getattr(place, part, None)
    found = getattr(place, last, None)
    if not callable(found) or isinstance(found, (type, ours.dtype)):
        found = getattr(Tensor, name, None)
    if not callable(found):
        raise Missing(name)
    return found


def examine(name: str, dtype: torch.dtype = torch.float32) -> Verdict:
    """Compare one operator on all samples of its entries."""
    verdict = Verdict(name)
    try:
        function = resolve(name)
    except Missing:
        verdict.missing = True
        return verdict
    for entry in comparable()[name]:
        differentiable = entry.supports_autograd and dtype in entry.supported_backward_dtypes("cpu")
        torch.manual_seed(0)
        for k, sample in enumerate(entry.sample_inputs("cpu", dtype, requires_grad=differentiable)):
            call = CALLS.get(f"{name}.{entry.variant_test_name}", function)
            what = f"{entry.formatted_name} sample {k}, {sample}"
            verdict.note(what, partial(compare, entry, call, sample))
    return verdict


def compare(entry: Any, function: Callable, sample: Any) -> None:
    """Run one sample on both. Raises: whatever ours raised, or AssertionError when they differ."""
    given, mine, theirs, got = on_both(entry, function, sample)
    if entry.name in UNINITIALISED:
        return same_form(got, theirs)
    leaf = detached(to_torch(got))
    check(leaf, detached(theirs), entry, sample)
    if any(t.requires_grad for t in tensors_in(theirs)):
        compare_gradients(*sides(sample, given, mine, theirs, got))
    return None


def on_both(entry: Any, function: Callable, sample: Any) -> tuple:
    """The arguments for PyTorch, those for us, PyTorch's result and ours."""
    given = (sample.input, sample.args, sample.kwargs)
    mine = to_ours(given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(7)
        theirs = entry.op(sample.input, *sample.args, **sample.kwargs)
        ours.manual_seed(7)
        got = function(mine[0], *mine[1], **mine[2])
    return given, mine, theirs, got


def detached(value: Any) -> Any:
    """`value` with its tensors cut off the graph."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, (tuple, list)):
        return tuple(detached(each) for each in value)
    return value


def check(got: Any, expected: Any, entry: Any, sample: Any) -> None:
    """Same structure, dtype, shape and values, in the form that the database compares."""
    forms = [tensors_in(each) for each in (got, expected)]
    if not forms[1]:
        assert got == expected or got != got, f"{got!r} is not {expected!r}"
        return
    assert len(forms[0]) == len(forms[1]), f"{len(forms[0])} results, not {len(forms[1])}"
    for a, b in zip(*forms, strict=True):
        assert a.dtype == b.dtype, f"dtype {a.dtype}, not {b.dtype}"
        assert a.shape == b.shape, f"shape {a.shape}, not {b.shape}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        processed = [sample.output_process_fn_grad(each) for each in (got, expected)]
    for a, b in zip(*map(tensors_in, processed), strict=True):
        torch.testing.assert_close(a, b, equal_nan=True, **tolerance(a.dtype))


def tolerance(dtype: torch.dtype) -> dict[str, float]:
    """How far results of float32 may be apart: sums are made in another order."""
    if dtype in (torch.float32, torch.complex64):
        return {"rtol": 2e-4, "atol": 2e-5}
    if dtype in (torch.float16, torch.bfloat16, torch.complex32):
        return {"rtol": 2e-2, "atol": 2e-2}
    return {"rtol": 1e-7, "atol": 1e-7}


def same_form(got: Any, expected: Any) -> None:
    """Results with arbitrary contents: dtype, shape and strides."""
    for a, b in zip(tensors_in(got), tensors_in(expected), strict=True):
        assert str(a.dtype) == str(b.dtype), f"dtype {a.dtype}, not {b.dtype}"
        assert tuple(a.shape) == tuple(b.shape), f"shape {a.shape}, not {b.shape}"


class Side(NamedTuple):
    """What one library differentiates: the inputs, the outputs, and the cotangents of these."""

    leaves: list
    outputs: list
    cotangents: list


def sides(sample: Any, given: Any, mine: Any, expected: Any, got: Any) -> tuple[Side, Side]:
    """PyTorch's side and ours, with cotangents of the form that the database compares."""
    leaves, my_leaves = ([t for t in tensors_in(x) if t.requires_grad] for x in (given, mine))
    assert len(leaves) == len(my_leaves), "an input lost its requires_grad"
    pairs = [
        (a, b)
        for a, b in zip(tensors_in(expected), tensors_in(got), strict=True)
        if a.requires_grad or b.requires_grad
    ]
    for a, b in pairs:
        assert a.requires_grad == b.requires_grad, f"requires_grad is {b.requires_grad}"
    outputs, my_outputs = [a for a, _ in pairs], [b for _, b in pairs]
    # Their own outputs become leaves, so that cotangents for ours come out of the same formula.
    my_form = replaced(expected, iter([to_torch(b).requires_grad_() for b in my_outputs]))
    cotangents = [
        pulled_back(sample, form, [t for t in tensors_in(form) if t.requires_grad])
        for form in (expected, my_form)
    ]
    return (
        Side(leaves, outputs, cotangents[0]),
        Side(my_leaves, my_outputs, to_ours(cotangents[1])),
    )


def compare_gradients(theirs: Side, mine: Side) -> None:
    """The gradients of all inputs."""
    wanted = torch.autograd.grad(
        theirs.outputs, theirs.leaves, theirs.cotangents, allow_unused=True
    )
    found = ours.autograd.grad(mine.outputs, mine.leaves, mine.cotangents, allow_unused=True)
    for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
        same_gradient(f"gradient {k}", theirs.leaves[k], a, b)


def replaced(value: Any, stand_ins: Any) -> Any:
    """`value` with its differentiable tensors replaced by the next of `stand_ins`."""
    if isinstance(value, torch.Tensor):
        return next(stand_ins) if value.requires_grad else value
    if isinstance(value, (tuple, list)):
        return type(value)([replaced(each, stand_ins) for each in value])
    return value


def pulled_back(sample: Any, result: Any, outputs: list) -> list:
    """The cotangents of `outputs` for drawn cotangents of the form that the database compares."""
    form = [t for t in tensors_in(sample.output_process_fn_grad(result)) if t.requires_grad]
    generator = torch.Generator().manual_seed(3)
    drawn = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in form]
    found = torch.autograd.grad(form, outputs, drawn, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(output) if each is None else each
        for each, output in zip(found, outputs, strict=True)
    ]


def same_gradient(what: str, leaf: torch.Tensor, found: Any, wanted: Any, **limits: float) -> None:
    """One gradient: None and zeros mean the same."""
    zero = torch.zeros_like(leaf)
    a = zero if found is None else to_torch(found)
    b = zero if wanted is None else wanted
    assert a.dtype == b.dtype, f"{what} has dtype {a.dtype}, not {b.dtype}"
    limits = limits or {"rtol": 2e-3, "atol": 2e-4}
    torch.testing.assert_close(a, b, equal_nan=True, msg=lambda text: f"{what}: {text}", **limits)
