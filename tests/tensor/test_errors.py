"""Wrong calls: the error types and texts that users of PyTorch search for."""

from __future__ import annotations

from tests.tensor.golden import check

test_texts = check("errors")
