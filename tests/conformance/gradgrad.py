"""PyTorch's operator database in second order: the gradients of gradients, against ours.

The first samples of each operator, in float64 and complex128: a weighted sum of its gradients is
differentiated again, with respect to all inputs and, where the database compares the outputs as
they are, to the cotangents of these.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any

import torch

import elastic.tensor as ours
from elastic.tensor import Tensor
from tests.conformance.bridge import tensors_in, to_ours
from tests.conformance.operators import (
    CALLS,
    UNINITIALISED,
    Missing,
    Side,
    comparable,
    on_both,
    resolve,
    same_gradient,
    sides,
)
from tests.conformance.verdict import Verdict

SAMPLES = 6
LARGEST = 10_000  # elements of the first input
DTYPES = (torch.float64, torch.complex128)
LIMITS = {"rtol": 1e-6, "atol": 1e-8}  # of these dtypes; a sample may have inputs of others

# Where PyTorch's own tests expect its second order to be wrong: norms of zeros have none, and the
# loss of chunks takes its gradients for constants.
UNSUPPORTED = {
    "linalg_norm_subgradients_at_zero",
    "nn_functional_linear_cross_entropy_chunked",
    "nn_functional_linear_cross_entropy_chunked_none",
}


def names() -> list[str]:
    """The operators whose gradients PyTorch can differentiate."""
    return sorted({name for dtype in DTYPES for name in comparable(dtype) if entries(name, dtype)})


def entries(name: str, dtype: torch.dtype) -> list:
    """The entries of one operator that have a second order in `dtype`."""
    return [
        entry
        for entry in comparable(dtype).get(name, ())
        if entry.supports_gradgrad
        and entry.formatted_name not in UNSUPPORTED
        and entry.name not in UNINITIALISED
        and dtype in entry.supported_backward_dtypes("cpu")
    ]


def examine(name: str) -> Verdict:
    """Compare one operator on the first samples of its entries."""
    verdict = Verdict(name)
    try:
        function = resolve(name)
    except Missing:
        verdict.missing = True
        return verdict
    for dtype in DTYPES:
        for entry in entries(name, dtype):
            call = CALLS.get(f"{name}.{entry.variant_test_name}", function)
            torch.manual_seed(0)
            samples = filter(is_small, entry.sample_inputs("cpu", dtype, requires_grad=True))
            for k, sample in enumerate(islice(samples, SAMPLES)):
                what = f"{entry.formatted_name} {dtype} sample {k}, {sample}"
                verdict.note(what, partial(compare, entry, call, sample))
    return verdict


def is_small(sample: Any) -> bool:
    """Whether a sample costs little time."""
    first = tensors_in(sample.input)
    return not first or first[0].numel() <= LARGEST


def compare(entry: Any, call: Any, sample: Any) -> None:
    """Run one sample on both. Raises: whatever ours raised, or AssertionError when they differ."""
    given, mine, expected, got = on_both(entry, call, sample)
    if not any(t.requires_grad for t in tensors_in(expected)):
        return
    theirs, own = sides(sample, given, mine, expected, got)
    as_they_are = sample.output_process_fn_grad(expected) is expected
    for side in (theirs, own) if as_they_are else ():
        for each in side.cotangents:
            each.requires_grad_()
    try:
        wanted = twice(torch, theirs)
    except (RuntimeError, NotImplementedError):
        return  # PyTorch cannot either
    found = twice(ours, own)
    places = theirs.leaves + theirs.cotangents
    for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
        same_gradient(
            f"second gradient {k}", places[k], a, b, **LIMITS if places[k].dtype in DTYPES else {}
        )


def twice(library: Any, side: Side) -> list:
    """The gradients of a weighted sum of the gradients: of each input, then of each cotangent."""
    grad = library.autograd.grad
    first = grad(side.outputs, side.leaves, side.cotangents, create_graph=True, allow_unused=True)
    places = [t for t in side.leaves + side.cotangents if t.requires_grad]
    outputs = [g for g in first if g is not None and g.requires_grad]
    if not outputs:
        return [None] * len(places)
    return grad(outputs, places, [weights(g) for g in outputs], allow_unused=True)


def weights(like: Any) -> Any:
    """Fixed weights for the elements of a gradient, of the library that it is from."""
    dtype = torch.complex128 if like.is_complex() else torch.float64
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randn(tuple(like.shape), generator=generator, dtype=dtype)
    return to_ours(drawn) if isinstance(like, Tensor) else drawn
