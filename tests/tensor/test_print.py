"""Printing, to PyTorch's letter."""

from __future__ import annotations

from tests.tensor.golden import check

test_text = check("printing")
