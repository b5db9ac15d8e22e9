"""Programs around modules against what PyTorch 2.13.0 gives: same words, numbers and gradients."""

from __future__ import annotations

import json

import numpy as np
import pytest

import elastic.tensor as torch
from tests.tensor.nn.programs import GOLDEN, PROGRAMS, computed

RECORDED = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_gives_what_it_gives_on_pytorch(name):
    for ours, theirs in zip(computed(torch, name), RECORDED[name], strict=True):
        if isinstance(theirs, str):
            assert ours == theirs
        else:
            assert ours[0] == theirs[0]
            np.testing.assert_allclose(ours[1], theirs[1], rtol=2e-4, atol=1e-5)
