"""autocast: the dtypes that PyTorch 2.13 gives, casts of parameters, and who is not concerned."""

from __future__ import annotations

import threading

import pytest

import elastic.tensor as torch
from elastic.tensor import _dispatch, nn
from elastic.tensor.nn import functional as F

torch.manual_seed(0)
F32 = torch.rand(4, 4)
HALF = (torch.rand(4, 4) * 0.5 + 0.1).bfloat16()
CLASSES = torch.tensor([0, 1, 2, 3])
SIGNS = torch.tensor([1, -1, 1, -1])
BATCH = F32.reshape(1, 4, 4)

LOWER = {
    "mm": lambda: torch.mm(F32, F32),
    "operator": lambda: F32 @ F32,
    "vector": lambda: F32 @ F32[0],
    "bmm": lambda: torch.bmm(BATCH, BATCH),
    "addmm": lambda: torch.addmm(F32, F32, F32),
    "baddbmm": lambda: BATCH.baddbmm(BATCH, BATCH),
    "einsum": lambda: torch.einsum("ij,jk->ik", F32, F32),
    "linear": lambda: F.linear(F32, F32, F32[0]),
    "layer": lambda: nn.Linear(4, 3)(F32),
    "conv1d": lambda: F.conv1d(BATCH, BATCH, F32[0, :1]),
    "transposed": lambda: F.conv_transpose2d(BATCH[None], BATCH[None]),
    "lstm": lambda: nn.LSTM(4, 4)(BATCH)[0],
    "rnn": lambda: nn.RNN(4, 4)(BATCH)[1],
    "prelu": lambda: F.prelu(F32, F32[0, :1]),
    "other half": lambda: F32.half() @ F32.half(),
}

WIDE = {
    "prod": lambda: torch.prod(HALF),
    "mse_loss": lambda: F.mse_loss(HALF, HALF),
    "l1_loss": lambda: nn.L1Loss()(HALF, HALF),
    "huber_loss": lambda: F.huber_loss(HALF, HALF),
    "nll_loss": lambda: F.nll_loss(HALF, CLASSES),
    "cross_entropy": lambda: nn.CrossEntropyLoss()(HALF, CLASSES),
    "smoothed": lambda: F.cross_entropy(HALF, CLASSES, label_smoothing=0.1),
    "kl_div": lambda: F.kl_div(HALF, HALF, reduction="sum"),
    "bce": lambda: F.binary_cross_entropy(HALF, HALF),
    "bce logits": lambda: F.binary_cross_entropy_with_logits(HALF, HALF),
    "triplet": lambda: F.triplet_margin_loss(HALF, HALF, HALF),
    "cosine": lambda: F.cosine_embedding_loss(HALF, HALF, SIGNS),
    "pool": lambda: F.avg_pool3d(HALF.reshape(1, 1, 4, 2, 2), 2),
    "add": lambda: F32 + HALF,
    "cat": lambda: torch.cat([F32, HALF]),
    "gru": lambda: nn.GRU(4, 4)(BATCH)[0],
    "mv": lambda: torch.mv(F32, F32[0]),
    "bilinear": lambda: F.bilinear(F32, F32, torch.rand(2, 4, 4)),
}

AS_GIVEN = {
    "softmax": lambda: torch.softmax(HALF, 0),
    "exp": lambda: torch.exp(HALF),
    "sum": lambda: HALF.sum(),
    "layer_norm": lambda: F.layer_norm(HALF, (4,), F32[0], F32[0]),
    "group_norm": lambda: F.group_norm(HALF, 2, F32[0], F32[0]),
    "batch_norm": lambda: F.batch_norm(HALF, F32[0].clone(), F32[1].clone(), F32[0], F32[0], True),
}

DTYPES = {torch.bfloat16: LOWER, torch.float32: WIDE}
CALLS = [
    pytest.param(call, dtype, id=name)
    for dtype, table in (*DTYPES.items(), (torch.bfloat16, AS_GIVEN))
    for name, call in table.items()
]


@pytest.mark.parametrize(("call", "dtype"), CALLS)
def test_dtypes_are_pytorchs(call, dtype):
    with torch.autocast("cpu"):
        assert call().dtype is dtype


@pytest.mark.parametrize("name", ["mm", "operator", "linear", "addmm", "conv1d"])
def test_values_are_those_of_half_precision(name):
    exact = LOWER[name]()
    with torch.autocast("cpu"):
        half = LOWER[name]()
    assert torch.allclose(half.float(), exact, rtol=2e-2)
    assert not torch.equal(half.float(), exact)
    assert torch.equal(LOWER[name](), exact)


def test_float64_and_whole_numbers_stay():
    with torch.autocast("cpu"):
        assert (F32.double() @ F32.double()).dtype is torch.float64
        assert (CLASSES @ CLASSES).dtype is torch.int64
        assert torch.mm(F32, F32, out=torch.empty(4, 4)).dtype is torch.float32


def test_losses_and_norms_are_rounded_once():
    with torch.autocast("cpu"):
        loss = F.cross_entropy(HALF, CLASSES)
        norm = F.layer_norm(HALF, (4,), F32[0], F32[1])
    assert loss.item() == F.cross_entropy(HALF.float(), CLASSES).item()
    assert torch.equal(norm, F.layer_norm(HALF.float(), (4,), F32[0], F32[1]).bfloat16())


def test_gradients_have_the_parameters_dtype():
    layer = nn.Linear(4, 4)
    with torch.autocast("cpu"):
        loss = F.mse_loss(layer(F32), F32)
    loss.backward()
    assert layer.weight.grad.dtype is torch.float32


def test_a_parameter_is_cast_once_in_a_context():
    weight = F32.clone().requires_grad_()

    def casts(product):
        return [edge for edge, _ in product.grad_fn.next_functions]

    with torch.autocast("cpu"):
        first, second = casts(torch.mm(weight, weight))
        assert first is second
        with torch.autocast("cpu", cache_enabled=False):
            first, second = casts(torch.mm(weight, weight))
            assert first is not second
    assert weight.grad is None


def test_a_cast_made_without_a_graph_is_not_kept():
    layer = nn.Linear(4, 4)
    with torch.autocast("cpu"):
        with torch.no_grad():
            layer(F32)
        layer(F32).sum().backward()
    assert layer.weight.grad is not None


def test_contexts_nest_and_end():
    apply = _dispatch.apply
    with torch.autocast("cpu", dtype=torch.float16):
        assert (F32 @ F32).dtype is torch.float16
        assert torch.get_autocast_dtype("cpu") is torch.float16
        with torch.autocast("cpu", enabled=False):
            assert (F32 @ F32).dtype is torch.float32
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")
    assert torch.get_autocast_dtype("cpu") is torch.bfloat16
    assert (F32 @ F32).dtype is torch.float32
    assert _dispatch.apply is apply


def test_an_error_ends_a_context():
    with pytest.raises(ZeroDivisionError), torch.autocast("cpu"):
        raise ZeroDivisionError
    assert not torch.is_autocast_cpu_enabled()
    assert F.mse_loss(HALF, HALF).dtype is torch.bfloat16


def test_other_threads_are_not_concerned():
    found = []
    with torch.autocast("cpu"):
        other = threading.Thread(target=lambda: found.append(torch.mm(F32, F32).dtype))
        other.start()
        other.join()
    assert found == [torch.float32]


def test_a_decorator():
    @torch.autocast("cpu")
    def product(x):
        return x @ x

    assert product(F32).dtype is torch.bfloat16
    assert product(F32).dtype is torch.bfloat16
    with pytest.raises(TypeError, match=r"requires a callable, but got Tensor"):
        torch.autocast("cpu")(F32)


def test_what_it_cannot_do_is_told():
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`, got"):
        torch.autocast(3)
    with pytest.raises(RuntimeError, match="at start of device string: xxx"):
        torch.autocast("xxx")
    with pytest.warns(UserWarning, match=r"CPU Autocast only supports dtypes of torch.bfloat16, t"):
        context = torch.autocast("cpu", dtype=torch.float32)
    with context:
        assert not torch.is_autocast_enabled("cpu")


class Product(torch.autograd.Function):
    """x @ x, which notes what its methods got."""

    seen: list = []  # noqa: RUF012

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, x):
        Product.seen += [x.dtype, torch.is_autocast_enabled("cpu")]
        ctx.save_for_backward(x)
        return x @ x

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, g):
        Product.seen.append(torch.is_autocast_enabled("cpu"))
        (x,) = ctx.saved_tensors
        return g @ x.T + x.T @ g


def test_a_function_may_choose_its_dtype():
    x = HALF.clone().requires_grad_()
    with torch.autocast("cpu"):
        out = Product.apply(x)
    out.sum().backward()
    assert Product.seen == [torch.float32, False, False]
    assert (out.dtype, x.grad.dtype) == (torch.float32, torch.bfloat16)


def test_the_old_names_warn():
    from elastic.tensor.cpu.amp import autocast

    with pytest.warns(FutureWarning, match=r"use `torch.amp.autocast\('cpu', args...\)` instead"):
        context = autocast()
    with context:
        assert (F32 @ F32).dtype is torch.bfloat16
