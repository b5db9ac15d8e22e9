"""GradScaler: scales, steps left out, and texts, as in PyTorch 2.13.0."""

from __future__ import annotations

import pickle

import pytest

import elastic.tensor as torch
from elastic.tensor import nn, optim
from elastic.tensor.amp import GradScaler

INF = float("inf")


def trained(scaler, slopes):
    """The parameter and the scale after steps with these gradients."""
    param = nn.Parameter(torch.zeros(1))
    optimizer = optim.SGD([param], lr=1.0)
    found = []
    for slope in slopes:
        optimizer.zero_grad()
        scaler.scale((param * slope).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        found.append((param.item(), scaler.get_scale()))
    return found


def test_a_step_with_an_infinity_is_left_out_and_the_scale_shrinks():
    scaler = GradScaler("cpu", init_scale=8.0, growth_interval=2)
    assert trained(scaler, [1.0, 1.0, INF, 1.0, 1.0]) == [
        (-1.0, 8.0),
        (-2.0, 16.0),
        (-2.0, 8.0),
        (-3.0, 8.0),
        (-4.0, 16.0),
    ]


def test_it_begins_as_pytorchs():
    assert GradScaler("cpu").state_dict() == {
        "scale": 65536.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 2000,
        "_growth_tracker": 0,
    }


def test_gradients_may_be_unscaled_before_the_step():
    param = nn.Parameter(torch.ones(2))
    optimizer = optim.SGD([param], lr=1.0)
    scaler = GradScaler("cpu", init_scale=4.0)
    losses = scaler.scale([param.sum(), (param.sum(),)])
    assert [losses[0].item(), losses[1][0].item()] == [8.0, 8.0]
    losses[0].backward()
    scaler.unscale_(optimizer)
    assert param.grad.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert param.tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called since the last"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) is being called after step\(\)"):
        scaler.unscale_(optimizer)
    with pytest.raises(AssertionError, match="may only be pickled at the beginning"):
        pickle.dumps(scaler)


@pytest.mark.parametrize("begun", [False, True])
def test_it_goes_on_from_its_state(begun):
    first = GradScaler("cpu", init_scale=8.0, growth_interval=3)
    trained(first, [1.0, 1.0])
    second = GradScaler("cpu")
    if begun:
        trained(second, [1.0])
    second.load_state_dict(first.state_dict())
    copy = pickle.loads(pickle.dumps(first))
    results = [trained(each, [1.0]) for each in (first, second, copy)]
    assert results == [[(-1.0, 16.0)]] * 3


def test_a_scale_may_be_given():
    scaler = GradScaler("cpu")
    scaler.scale(torch.ones(1))
    scaler.update(3.0)
    assert scaler.get_scale() == 3.0
    scaler.update(torch.tensor(5.0))
    assert scaler.get_scale() == 5.0
    with pytest.raises(AssertionError, match="new_scale should be a float or a 1-element"):
        scaler.update(torch.ones(2))


def test_disabled_it_does_nothing():
    scaler = GradScaler("cpu", enabled=False)
    assert trained(scaler, [1.0]) == [(-1.0, 1.0)]
    assert scaler.state_dict() == {}
    assert not scaler.is_enabled()


def test_without_a_gpu_it_is_disabled():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.warns(UserWarning, match=r"CUDA is not available.  Disabling"):
        assert not GradScaler().is_enabled()


def test_misuse_is_told_in_pytorchs_words():
    param = nn.Parameter(torch.ones(1, dtype=torch.float16))
    optimizer = optim.SGD([param])
    scaler = GradScaler("cpu")
    with pytest.raises(AssertionError, match=r"Attempted step but _scale is None.  This may indic"):
        scaler.step(optimizer)
    scaler.scale(torch.ones(1))
    with pytest.raises(AssertionError, match=r"No inf checks were recorded for this optimizer."):
        scaler.step(optimizer)
    with pytest.raises(AssertionError, match=r"No inf checks were recorded prior to update."):
        GradScaler.update(scaler)
    with pytest.raises(RuntimeError, match="Closure use is not currently supported"):
        scaler.step(optimizer, closure=len)
    with pytest.raises(RuntimeError, match="The source state dict is empty"):
        scaler.load_state_dict({})
    with pytest.raises(ValueError, match="outputs must be a Tensor or an iterable of Tensors"):
        scaler.scale(3)
    for settings in ({"growth_factor": 1.0}, {"backoff_factor": 1.0}):
        with pytest.raises(AssertionError, match="factor must be"):
            GradScaler("cpu", **settings)
    scaler = GradScaler("cpu")
    scaler.scale(param.sum()).backward()
    with pytest.raises(ValueError, match=r"Attempting to unscale FP16 gradients."):
        scaler.unscale_(optimizer)
