"""Layers and functions over space against what PyTorch 2.13.0 answers to the same questions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import elastic.tensor as torch
from tests.tensor.nn.spatial import FILE, KINDS, lines

RECORDED = json.loads(FILE.read_text())
ASKED = [(kind, q) for kind, (_, text) in KINDS.items() for q in lines(text)]


def check(ours: Any, theirs: Any) -> None:
    """The same structure and texts, and numbers up to the rounding of the record."""
    if isinstance(theirs, list) and theirs and isinstance(theirs[0], (int, float)):
        np.testing.assert_allclose(ours, theirs, rtol=5e-5, atol=1e-5)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            check(a, b)
    else:
        assert ours == theirs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "question"), ASKED)
def test_the_answer_is_pytorchs(kind: str, question: str) -> None:
    ask, _ = KINDS[kind]
    check(ask(torch, question), RECORDED[kind][question])


def test_a_sync_batch_norm_takes_the_place_of_others() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2, momentum=0.5))
    norm = model[1]
    converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert isinstance(converted[1], torch.nn.SyncBatchNorm)
    assert converted[1].weight is norm.weight
    assert converted[1].running_var is norm.running_var
    assert converted[1].momentum == 0.5


def test_an_instance_norm_of_other_channels_warns() -> None:
    with pytest.warns(UserWarning, match="does not match num_features"):
        torch.nn.InstanceNorm1d(3)(torch.randn(1, 2, 4))


@pytest.mark.parametrize("name", ["upsample", "upsample_nearest", "upsample_bilinear"])
def test_old_names_of_interpolate_warn(name: str) -> None:
    with pytest.warns(UserWarning, match=f"{name}` is deprecated"):
        getattr(torch.nn.functional, name)(torch.ones(1, 1, 2, 2), size=4)


def test_grids_without_a_word_on_corners_warn() -> None:
    functional = torch.nn.functional
    with pytest.warns(UserWarning, match="align_corners=False since 1.3.0"):
        grid = functional.affine_grid(torch.eye(2, 3).reshape(1, 2, 3), (1, 1, 2, 2))
    with pytest.warns(UserWarning, match="align_corners=False since 1.3.0"):
        functional.grid_sample(torch.ones(1, 1, 2, 2), grid)
