"""Folds, views, joining, choice and placement, as PyTorch answers it."""

from __future__ import annotations

import pytest

from tests.tensor.golden_shapes import check

pytestmark = pytest.mark.filterwarnings("ignore")

test_folds = check("folds")
test_views = check("views")
test_choice = check("choice")
