"""Layers: reprs, first weights, and what they pass on to their formulas, as in PyTorch 2.13.0."""

from __future__ import annotations

import pytest

import elastic.tensor as torch
from elastic.tensor import nn
from elastic.tensor.nn import functional as F

REPRS = {
    "Linear(in_features=2, out_features=3, bias=False)": nn.Linear(2, 3, bias=False),
    "Identity()": nn.Identity(3, unused=4),
    "BatchNorm1d(3, eps=0.1, momentum=None, affine=False, bias=False, track_running_stats=True)": (
        nn.BatchNorm1d(3, eps=0.1, momentum=None, affine=False)
    ),
    "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=False)": (
        nn.BatchNorm2d(3, track_running_stats=False)
    ),
    "LayerNorm((3, 4), eps=1e-05, elementwise_affine=True, bias=False)": (
        nn.LayerNorm((3, 4), bias=False)
    ),
    "GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)": nn.GroupNorm(2, 4),
    "RMSNorm((4,), eps=None, elementwise_affine=True)": nn.RMSNorm(4),
    "Dropout(p=0.1, inplace=True)": nn.Dropout(0.1, True),
    "Dropout2d(p=0.5, inplace=False)": nn.Dropout2d(),
    "ReLU()": nn.ReLU(),
    "ReLU(inplace=True)": nn.ReLU(inplace=True),
    "ReLU6()": nn.ReLU6(),
    "LeakyReLU(negative_slope=0.2, inplace=True)": nn.LeakyReLU(0.2, True),
    "ELU(alpha=1.0)": nn.ELU(),
    "SELU()": nn.SELU(),
    "GELU(approximate='tanh')": nn.GELU("tanh"),
    "SiLU(inplace=True)": nn.SiLU(True),
    "Mish()": nn.Mish(),
    "Sigmoid()": nn.Sigmoid(),
    "LogSigmoid()": nn.LogSigmoid(),
    "Tanh()": nn.Tanh(),
    "Softplus(beta=2, threshold=20.0)": nn.Softplus(2),
    "Softsign()": nn.Softsign(),
    "Softmax(dim=1)": nn.Softmax(1),
    "LogSoftmax(dim=-1)": nn.LogSoftmax(-1),
    "Softmin(dim=0)": nn.Softmin(0),
    "GLU(dim=-1)": nn.GLU(),
    "PReLU(num_parameters=3)": nn.PReLU(3),
    "Hardtanh(min_val=-2, max_val=2, inplace=True)": nn.Hardtanh(-2, 2, True),
    "Hardsigmoid()": nn.Hardsigmoid(),
    "Hardswish()": nn.Hardswish(),
    "Flatten(start_dim=1, end_dim=-1)": nn.Flatten(),
    "Unflatten(dim=1, unflattened_size=(2, 3))": nn.Unflatten(1, (2, 3)),
    "Embedding(3, 4, padding_idx=2)": nn.Embedding(3, 4, padding_idx=-1),
    "CrossEntropyLoss()": nn.CrossEntropyLoss(weight=torch.ones(3)),
    "MSELoss()": nn.MSELoss(),
}


@pytest.mark.parametrize("text", REPRS)
def test_repr_is_pytorchs(text):
    assert repr(REPRS[text]) == text


def test_repr_of_a_parameter():
    assert repr(nn.Parameter(torch.zeros(2))) == (
        "Parameter containing:\ntensor([0., 0.], requires_grad=True)"
    )


def _flat(tensors):
    return [value for tensor in tensors for value in tensor.reshape(-1).tolist()]


def test_linear_draws_pytorchs_weights():
    torch.manual_seed(7)
    drawn = _flat(nn.Linear(3, 2).parameters())
    assert drawn == pytest.approx(
        [0.040325075, -0.34779212, 0.18384182, 0.18116128, -0.30858037, -0.086531632]
        + [-0.33822793, 0.14980665],
        rel=1e-7,
    )


def test_embedding_draws_pytorchs_weights_and_zeroes_the_padding():
    torch.manual_seed(7)
    drawn = _flat([nn.Embedding(2, 3, padding_idx=1).weight])
    assert drawn == pytest.approx([-0.14679509, 0.78614128, 0.94682163, 0, 0, 0], rel=1e-7)


def test_embedding_from_pretrained_is_frozen_unless_asked():
    table = torch.arange(6.0).reshape(3, 2)
    layer = nn.Embedding.from_pretrained(table)
    assert layer(torch.tensor([2, 0])).tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert not layer.weight.requires_grad
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad


# Every activation and loss is its function with its settings: value 1 is out of the ordinary.
SAME = [
    (nn.ELU(0.3), lambda x: F.elu(x, 0.3)),
    (nn.LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
    (nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh")),
    (nn.GLU(0), lambda x: F.glu(x, 0)),
    (nn.Hardtanh(-0.3, 0.4), lambda x: F.hardtanh(x, -0.3, 0.4)),
    (nn.Hardsigmoid(), F.hardsigmoid),
    (nn.Hardswish(), F.hardswish),
    (nn.LogSigmoid(), F.logsigmoid),
    (nn.LogSoftmax(0), lambda x: F.log_softmax(x, 0)),
    (nn.Mish(), F.mish),
    (nn.PReLU(), lambda x: F.leaky_relu(x, 0.25)),
    (nn.ReLU(), F.relu),
    (nn.ReLU6(), F.relu6),
    (nn.SELU(), F.selu),
    (nn.SiLU(), F.silu),
    (nn.Sigmoid(), F.sigmoid),
    (nn.Softmax(0), lambda x: F.softmax(x, 0)),
    (nn.Softmin(0), lambda x: F.softmin(x, 0)),
    (nn.Softplus(2.0, 1.0), lambda x: F.softplus(x, 2.0, 1.0)),
    (nn.Softsign(), F.softsign),
    (nn.Tanh(), F.tanh),
    (nn.Flatten(0), lambda x: x.reshape(-1)),
    (nn.Unflatten(1, (2, 2)), lambda x: x.reshape(2, 2, 2)),
    (nn.Unflatten(-1, (4, 1)), lambda x: x.reshape(2, 4, 1)),
    (nn.RMSNorm(4, eps=0.1), lambda x: F.rms_norm(x, (4,), eps=0.1)),
    (nn.LayerNorm(4, eps=0.1), lambda x: F.layer_norm(x, (4,), eps=0.1)),
    (nn.GroupNorm(2, 4, eps=0.1), lambda x: F.group_norm(x, 2, eps=0.1)),
    (nn.Identity(), lambda x: x),
]


@pytest.mark.parametrize(("layer", "function"), SAME, ids=lambda v: type(v).__name__)
def test_a_layer_is_its_function_with_its_settings(layer, function):
    x = torch.linspace(-7, 8, 8).reshape(2, 4)
    assert torch.allclose(layer(x), function(x), rtol=1e-6, atol=0)


LOSSES = [
    (nn.L1Loss(reduction="sum"), lambda x, y: F.l1_loss(x, y, reduction="sum")),
    (nn.MSELoss(reduction="none"), lambda x, y: F.mse_loss(x, y, reduction="none")),
    (nn.SmoothL1Loss(beta=0.5), lambda x, y: F.smooth_l1_loss(x, y, beta=0.5)),
    (nn.HuberLoss(delta=0.5), lambda x, y: F.huber_loss(x, y, delta=0.5)),
    (
        nn.KLDivLoss(reduction="sum", log_target=True),
        lambda x, y: F.kl_div(x, y, reduction="sum", log_target=True),
    ),
    (nn.BCELoss(reduction="sum"), lambda x, y: F.binary_cross_entropy(x, y, reduction="sum")),
    (
        nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)),
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(3.0)),
    ),
    (
        nn.CrossEntropyLoss(torch.tensor([1.0, 2.0]), reduction="sum", label_smoothing=0.1),
        lambda x, y: F.cross_entropy(
            x, y, torch.tensor([1.0, 2.0]), reduction="sum", label_smoothing=0.1
        ),
    ),
]


@pytest.mark.parametrize(("loss", "function"), LOSSES, ids=lambda v: type(v).__name__)
def test_a_loss_is_its_function_with_its_settings(loss, function):
    x = torch.tensor([[0.25, 0.5], [0.75, 0.125]])
    y = torch.tensor([[0.5, 0.75], [0.25, 0.5]])
    assert torch.equal(loss(x, y), function(x, y))


def test_classes_of_losses_pass_on_what_to_ignore():
    x, y = torch.zeros(2, 3), torch.tensor([1, 2])
    assert nn.CrossEntropyLoss(ignore_index=1, reduction="none")(x, y).tolist()[0] == 0.0
    assert nn.NLLLoss(ignore_index=2, reduction="none")(x, y).tolist()[1] == 0.0


# ---- norms with running statistics -------------------------------------------------------------


@pytest.mark.parametrize(
    ("momentum", "mean", "var"),
    [(0.1, [0.38, 0.57], [1.19, 1.19]), (None, [2.0, 3.0], [2.0, 2.0])],
)
def test_batch_norm_keeps_running_statistics(momentum, mean, var):
    norm = nn.BatchNorm1d(2, momentum=momentum)
    norm(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert norm.running_mean.tolist() == pytest.approx([0.2, 0.3] if momentum else [2.0, 3.0])
    norm(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert norm.running_mean.tolist() == pytest.approx(mean)
    assert norm.running_var.tolist() == pytest.approx(var)
    assert norm.num_batches_tracked.item() == 2
    assert norm.num_batches_tracked.dtype is torch.int64


def test_batch_norm_in_evaluation_uses_and_keeps_the_statistics():
    norm = nn.BatchNorm1d(1).eval()
    assert norm(torch.tensor([[4.0], [2.0]])).tolist() == [
        [pytest.approx(4.0, rel=1e-4)],
        [pytest.approx(2.0, rel=1e-4)],
    ]
    assert norm.num_batches_tracked.item() == 0


def test_batch_norm_without_statistics_always_uses_the_batch():
    norm = nn.BatchNorm1d(1, track_running_stats=False).eval()
    assert list(norm.state_dict()) == ["weight", "bias"]
    assert norm(torch.tensor([[4.0], [2.0]])).mean().item() == pytest.approx(0.0)


def test_batch_norm_with_statistics_switched_off_leaves_them_alone():
    norm = nn.BatchNorm1d(1)
    norm.track_running_stats = False
    norm(torch.tensor([[4.0], [2.0]]))
    assert norm.running_mean.item() == 0.0
    assert norm.num_batches_tracked.item() == 0


def test_batch_norm_can_start_again():
    norm = nn.BatchNorm1d(1)
    norm(torch.tensor([[4.0], [2.0]]))
    norm.reset_running_stats()
    assert (norm.running_mean.item(), norm.running_var.item()) == (0.0, 1.0)
    assert norm.num_batches_tracked.item() == 0


def test_batch_norm_loads_a_state_from_before_it_counted_batches():
    norm = nn.BatchNorm1d(1)
    norm.num_batches_tracked.fill_(5)
    state = norm.state_dict()
    del state["num_batches_tracked"]
    state._metadata.clear()
    norm.load_state_dict(state)
    assert norm.num_batches_tracked.item() == 0


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: nn.BatchNorm1d(2)(torch.zeros(2, 2, 2, 2)), ValueError, "expected 2D or 3D input"),
        (lambda: nn.BatchNorm2d(2)(torch.zeros(2, 2)), ValueError, r"4D input \(got 2D input\)"),
        (lambda: nn.BatchNorm1d(2)(torch.zeros(1, 2)), ValueError, "more than 1 value per channel"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "must be divisible by num_groups"),
        (lambda: nn.Dropout(2), ValueError, "between 0 and 1, but got 2"),
        (lambda: nn.Hardtanh(1, 0), AssertionError, r"max_val \(0\) must be greater"),
        (lambda: nn.Embedding(2, 2, 5), AssertionError, "Padding_idx must be within"),
        (
            lambda: nn.Embedding.from_pretrained(torch.ones(2)),
            AssertionError,
            "expected to be 2-dimensional",
        ),
    ],
)
def test_bad_settings_are_told(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_dropout_layers_follow_training_mode():
    torch.manual_seed(0)
    for layer, shape in [
        (nn.Dropout(), (8, 8)),
        (nn.Dropout1d(), (8, 8, 1)),
        (nn.Dropout2d(), (8, 8, 1, 1)),
        (nn.Dropout3d(), (8, 8, 1, 1, 1)),
    ]:
        x = torch.ones(shape)
        assert set(_flat([layer(x)])) == {0.0, 2.0}
        assert layer.eval()(x) is x
