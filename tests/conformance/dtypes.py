"""PyTorch's operator database in every dtype that its CPU knows, against ours.

The first two samples of each entry in each dtype: same structure, dtype, shape and values; of
complex numbers also the gradients.
"""

from __future__ import annotations

from functools import partial
from itertools import islice

import torch

from tests.conformance.bridge import DTYPES
from tests.conformance.operators import CALLS, Missing, comparable, compare, resolve
from tests.conformance.verdict import Verdict

SAMPLES = 2


def names() -> list[str]:
    """All operators, of whatever dtype."""
    return sorted(comparable(None))


def examine(name: str) -> Verdict:
    """Compare one operator on the first samples of each dtype."""
    verdict = Verdict(name)
    try:
        function = resolve(name)
    except Missing:
        verdict.missing = True
        return verdict
    for entry in comparable(None)[name]:
        call = CALLS.get(f"{name}.{entry.variant_test_name}", function)
        for dtype in sorted(entry.dtypes & DTYPES.keys(), key=str):
            examine_dtype(entry, call, dtype, verdict)
    return verdict


def examine_dtype(entry, call, dtype: torch.dtype, verdict: Verdict) -> None:
    """Add the faults of one entry in one dtype to `verdict`."""
    differentiable = (
        dtype.is_complex
        and entry.supports_autograd
        and dtype in entry.supported_backward_dtypes("cpu")
    )
    torch.manual_seed(0)
    samples = entry.sample_inputs("cpu", dtype, requires_grad=differentiable)
    for k, sample in enumerate(islice(samples, SAMPLES)):
        what = f"{entry.formatted_name} {dtype} sample {k}"
        verdict.note(what, partial(compare, entry, call, sample))
