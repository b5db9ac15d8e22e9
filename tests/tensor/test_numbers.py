"""Numbers, dtypes and what is refused, making tensors and chance, as PyTorch answers it."""

from __future__ import annotations

from tests.tensor.golden_numbers import check

test_numbers = check("numbers")
test_creation = check("creation")
test_chance = check("chance")
test_facts = check("facts")
