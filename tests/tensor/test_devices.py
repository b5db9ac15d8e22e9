"""The same ops on a GPU: on a stand-in for cupy everywhere, on cupy where there is a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.tensor import Tensor, backend
from elastic.tensor._registry import TENSORS
from tests import fake_cupy
from tests.tensor.test_ops import TABLE, arrays_of, as_tensors, leaves

HAS_GPU = backend.gpu_count() > 0
DEVICES = ["stand-in", *([pytest.param("gpu", marks=[pytest.mark.gpu])] if HAS_GPU else [])]


@pytest.fixture(params=DEVICES)
def gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """cupy, or what stands in for it."""
    if request.param == "gpu":
        yield
        return
    with fake_cupy.installed():
        yield


def on_gpu(value: Any) -> Any:
    """`value` with all its tensors and arrays on the GPU."""
    if isinstance(value, Tensor):
        return value.detach().cuda().requires_grad_(value.requires_grad)
    if isinstance(value, np.ndarray):
        return backend.to_device(value, torch.device("cuda"))
    if isinstance(value, (list, tuple)):
        return type(value)(on_gpu(each) for each in value)
    return value


def outputs_of(name: str, args: list) -> list[Tensor]:
    """What an op gives, as a list."""
    result = getattr(TENSORS, name)(*args)
    return list(result) if isinstance(result, tuple) else [result]


def gradients_of(outputs: list[Tensor], inputs: list[Tensor]) -> list:
    """The gradients of all differentiable outputs, from ones."""
    roots = [out for out in outputs if out.requires_grad]
    seeds = [torch.ones_like(out) for out in roots]
    return list(torch.autograd.grad(roots, inputs, seeds, allow_unused=True)) if roots else []


def check_same(found: list, expected: list) -> None:
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.is_cuda
            array = arrays_of(a.cpu())
            np.testing.assert_allclose(array, arrays_of(b), rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("name", sorted(set(TABLE) - {"_transfer"}))
def test_every_op_stays_on_its_device(name: str) -> None:
    for arguments in TABLE[name].arguments:
        args = as_tensors(name, arguments)
        there = on_gpu(args)
        expected, found = outputs_of(name, args), outputs_of(name, there)
        check_same(found, expected)
        check_same(gradients_of(found, leaves(there)), gradients_of(expected, leaves(args)))


@pytest.mark.usefixtures("gpu")
def test_there_and_back() -> None:
    assert torch.cuda.is_available()
    assert torch.cuda.device_count() >= 1
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for there in (x.cuda(), x.to("cuda"), x.to(torch.device("cuda", 0)), x.cuda(0)):
        assert (there.is_cuda, str(there.device)) == (True, "cuda:0")
    y = (x.cuda() * 2).cpu()
    assert not y.is_cuda
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert repr(x.detach().cuda()) == "tensor([1., 2.], device='cuda:0')"
    assert float(x.cuda()[0]) == 1.0
    assert x.detach().cuda().cpu().numpy().tolist() == [1, 2]


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    "make",
    [
        lambda d: torch.ones(2, device=d),
        lambda d: torch.zeros(2, device=d),
        lambda d: torch.full((2,), 3.0, device=d),
        lambda d: torch.arange(3, device=d),
        lambda d: torch.eye(2, device=d),
        lambda d: torch.linspace(0, 1, 3, device=d),
        lambda d: torch.tensor([1, 2], device=d),
        lambda d: torch.randn(3, device=d),
        lambda d: torch.randint(0, 5, (3,), device=d),
        lambda d: torch.ones(2).to(d).new_zeros(3),
        lambda d: torch.zeros_like(torch.ones(2, device=d)),
        lambda d: torch.nn.Linear(2, 3).to(d).weight,
        lambda d: torch.nn.Linear(2, 3).to(d)(torch.ones(1, 2, device=d)),
        lambda d: torch.ones(3, device=d)[torch.tensor([0, 2], device=d)],
        lambda d: torch.ones(3, device=d)[torch.ones(3, device=d) > 0],
        lambda d: torch.cat([torch.ones(3, device=d), torch.ones(2, device=d)]),
    ],
)
def test_makers_put_tensors_on_the_gpu(make: Any) -> None:
    assert make("cuda").device == torch.device("cuda", 0)


@pytest.mark.usefixtures("gpu")
def test_what_the_gpu_tells_of_itself() -> None:
    torch.cuda.init()
    torch.cuda.synchronize()
    torch.cuda.manual_seed_all(0)
    assert torch.cuda.is_initialized()
    assert torch.cuda.current_device() == 0
    with torch.cuda.device(0):
        torch.cuda.set_device("cuda:0")
        assert torch.cuda.current_device() == 0
    about = torch.cuda.get_device_properties()
    assert torch.cuda.get_device_name("cuda:0") == about.name
    assert torch.cuda.get_device_capability(0) == (about.major, about.minor)
    assert 0 <= torch.cuda.memory_allocated() <= torch.cuda.memory_reserved()
    assert torch.cuda.max_memory_allocated() >= torch.cuda.memory_allocated()
    free, total = torch.cuda.mem_get_info()
    assert 0 < free <= total == about.total_memory
    torch.cuda.reset_peak_memory_stats()


@pytest.mark.usefixtures("gpu")
def test_a_model_trains_on_the_gpu() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    x, y = torch.randn(16, 3), torch.randn(16, 1)
    losses = {}
    for where in ("cpu", "cuda"):
        torch.manual_seed(0)
        twin = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        twin.load_state_dict(model.state_dict())
        twin.to(where)
        optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(twin(x.to(where)), y.to(where))
            loss.backward()
            optimizer.step()
        losses[where] = loss.item()
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-5)


@pytest.mark.usefixtures("gpu")
def test_what_is_refused_across_devices() -> None:
    there = torch.ones(2, device="cuda")
    with pytest.raises(TypeError, match=r"can't convert cuda:0 device type tensor to numpy. Use"):
        there.numpy()
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device, but"):
        there + torch.ones(2)
    assert (there + torch.tensor(2.0)).tolist() == [3, 3]  # a number may come from the host


@pytest.mark.skipif(HAS_GPU, reason="what is said without a GPU")
def test_without_a_gpu() -> None:
    assert not torch.cuda.is_available()
    assert torch.cuda.device_count() == 0
    assert torch.cuda.memory_allocated() == torch.cuda.max_memory_reserved() == 0
    torch.cuda.empty_cache()
    asking = (
        lambda: torch.ones(1).cuda(),
        lambda: torch.ones(1, device="cuda"),
        torch.cuda.current_device,
        torch.cuda.get_device_name,
        torch.cuda.synchronize,
    )
    for ask in asking:
        with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
            ask()
