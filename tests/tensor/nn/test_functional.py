"""Formulas of layers and losses against values and gradients recorded from PyTorch 2.13.0."""

from __future__ import annotations

import json

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.tensor.nn import functional as F
from tests.tensor.nn.cases import CASES, GOLDEN, computed

RECORDED = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients_are_pytorchs(name):
    for ours, theirs in zip(computed(torch, name), RECORDED[name], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)


def test_dropout_draws_pytorchs_mask():
    torch.manual_seed(3)
    dropped = F.dropout(torch.ones(8), 0.5)
    assert dropped.tolist() == [2.0, 2.0, 0.0, 2.0, 0.0, 0.0, 2.0, 2.0]


def test_dropout_leaves_its_input_alone_unless_training_with_a_probability():
    x = torch.ones(4)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 1.0).tolist() == [0.0] * 4


def test_dropout_in_place_writes_its_input():
    torch.manual_seed(0)
    x = torch.ones(100)
    assert F.dropout(x, 0.5, inplace=True) is x
    assert sorted(set(x.tolist())) == [0.0, 2.0]


@pytest.mark.parametrize(
    ("spatial", "shape"), [(1, (2, 3, 4)), (2, (2, 3, 2, 2)), (3, (3, 2, 1, 2))]
)
def test_channel_dropout_drops_whole_channels(spatial, shape):
    torch.manual_seed(1)
    dropped = getattr(F, f"dropout{spatial}d")(torch.ones(shape), 0.5)
    channels = dropped.reshape(-1, *shape[len(shape) - spatial :]).flatten(1)
    for channel in channels.tolist():
        assert len(set(channel)) == 1


def test_one_hot_counts_the_classes_itself():
    assert F.one_hot(torch.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert F.one_hot(torch.tensor([0]), 2).tolist() == [[1, 0]]


def test_softmax_without_dim_warns_and_guesses():
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"):
        assert torch.allclose(F.softmax(torch.zeros(2, 4)), torch.full((2, 4), 0.25))


def test_mse_loss_of_other_shapes_warns():
    with pytest.warns(UserWarning, match=r"target size \(torch.Size\(\[2, 1\]\)\)"):
        F.mse_loss(torch.zeros(2), torch.zeros(2, 1))


def test_kl_div_mean_warns_that_it_is_not_the_mathematical_value():
    with pytest.warns(UserWarning, match="batchmean"):
        F.kl_div(torch.zeros(2, 2), torch.ones(2, 2))


LOGITS = torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: F.cross_entropy(LOGITS, torch.tensor([0, 9, 1])), IndexError, "Target 9 is out"),
        (lambda: F.cross_entropy(LOGITS, torch.tensor([0, 1])), ValueError, "to match target"),
        (lambda: F.cross_entropy(LOGITS, torch.zeros(3)), RuntimeError, "but got Float"),
        (lambda: F.cross_entropy(LOGITS, torch.zeros(3, 1).long()), RuntimeError, "got .3, 1."),
        (
            lambda: F.cross_entropy(LOGITS, torch.zeros(3).long(), label_smoothing=2.0),
            RuntimeError,
            "label_smoothing must be between",
        ),
        (lambda: F.mse_loss(LOGITS, LOGITS, reduction="all"), ValueError, "all is not a valid"),
        (lambda: F.huber_loss(LOGITS, LOGITS, delta=0), RuntimeError, "non-positive"),
        (lambda: F.smooth_l1_loss(LOGITS, LOGITS, beta=-1), RuntimeError, "negative"),
        (lambda: F.binary_cross_entropy(LOGITS, LOGITS[:2]), ValueError, "same size"),
        (lambda: F.binary_cross_entropy(LOGITS + 2, LOGITS), RuntimeError, "between 0 and 1"),
        (
            lambda: F.binary_cross_entropy_with_logits(LOGITS, LOGITS[0]),
            ValueError,
            "same as input",
        ),
        (lambda: F.dropout(LOGITS, 1.5), ValueError, "between 0 and 1, but got 1.5"),
        (lambda: F.dropout1d(LOGITS[0]), RuntimeError, "Expected 2D or 3D input"),
        (lambda: F.gelu(LOGITS, "x"), RuntimeError, "either none or tanh"),
        (lambda: F.glu(LOGITS[:, :3]), RuntimeError, "Halving dimension must be even"),
        (lambda: F.layer_norm(LOGITS, (3,)), RuntimeError, r"shape \[\*, 3\]"),
        (lambda: F.group_norm(LOGITS, 3), RuntimeError, "divisible by num_groups"),
        (
            lambda: F.batch_norm(LOGITS[:1], None, None, training=True),
            ValueError,
            "more than 1 value per channel",
        ),
    ],
)
def test_bad_input_is_told_in_pytorchs_words(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
