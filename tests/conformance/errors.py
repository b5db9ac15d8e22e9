"""The calls that PyTorch's operator database says are wrong, and what is to be said of them.

Ours must raise an error of the same type, whose text the database's pattern finds.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

from tests.conformance.bridge import to_ours
from tests.conformance.operators import CALLS, Missing, comparable, resolve
from tests.conformance.verdict import Verdict


def names() -> list[str]:
    """All operators, of whatever dtype."""
    return sorted(comparable(None))


def examine(name: str) -> Verdict:
    """Make each wrong call of one operator."""
    verdict = Verdict(name)
    try:
        function = resolve(name)
    except Missing:
        verdict.missing = True
        return verdict
    for entry in comparable(None)[name]:
        if entry.error_inputs_func is None:
            continue
        call = CALLS.get(f"{name}.{entry.variant_test_name}", function)
        for k, wrong in enumerate(entry.error_inputs("cpu")):
            verdict.samples += 1
            said = fault(entry, call, wrong)
            if said:
                verdict.faults.append(f"{entry.formatted_name} error {k}: {said}")
    return verdict


def fault(entry: Any, call: Callable, wrong: Any) -> str:
    """What is not right about our answer to a wrong call; nothing if all is."""
    sample = wrong.sample_input
    expected = f"{wrong.error_type.__name__}: {wrong.error_regex}"
    try:
        args, named = to_ours(((sample.input, *sample.args), sample.kwargs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(*args, **named)
    except Exception as error:  # noqa: BLE001  # the type is what we are here to see
        if isinstance(error, wrong.error_type) and re.search(wrong.error_regex, str(error)):
            return ""
        return f"{type(error).__name__}: {str(error)[:300]!r} and not {expected}\n    {sample}"
    if not refuses(entry.op, sample):
        return ""
    return f"nothing was raised, and not {expected}\n    {sample}"


def refuses(function: Callable, sample: Any) -> bool:
    """Whether PyTorch refuses the call: some that the database says are wrong it takes."""
    try:
        function(sample.input, *sample.args, **sample.kwargs)
    except Exception:  # noqa: BLE001  # that it raises is all that is asked
        return True
    return False
