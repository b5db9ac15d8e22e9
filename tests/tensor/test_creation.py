"""Making tensors, and sharing memory with numpy."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import elastic.tensor as torch


def test_numpy_shares_memory_both_ways() -> None:
    array = np.zeros(3, np.float32)
    x = torch.from_numpy(array)
    array[0] = 5
    x[1] = 6
    assert x.tolist() == array.tolist() == [5, 6, 0]
    assert x.numpy() is array
    assert np.asarray(x) is array
    assert torch.as_tensor(array).numpy() is array
    assert not np.shares_memory(torch.tensor(array).numpy(), array)
    assert np.array(x).base is None


def test_dlpack_shares_memory_both_ways() -> None:
    x = torch.arange(3.0)
    array = np.from_dlpack(x)
    y = torch.from_dlpack(array)
    x[0] = 9
    assert y.tolist() == array.tolist() == [9, 1, 2]
    with pytest.raises(BufferError, match="require gradient"):
        np.from_dlpack(torch.ones(1, requires_grad=True))


def test_raw_values_are_always_arrays() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = (x * x + 1).sum()
    y.backward()
    for t in (x, y, x.grad, torch.arange(3.0).sum(), torch.arange(3)[1], x.detach() * 2):
        assert type(t._array) is np.ndarray


def test_copies_and_pickles() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    x.sum().backward()
    x.note = "kept"
    twin = copy.deepcopy(x)
    assert twin.grad.tolist() == [1, 1]
    assert twin.note == "kept"
    assert twin.requires_grad
    assert not np.shares_memory(twin.detach().numpy(), x.detach().numpy())
    thawed = pickle.loads(pickle.dumps([x, x.detach().bfloat16(), torch.arange(6).view(2, 3).t()]))
    assert thawed[0].requires_grad
    assert thawed[1].dtype is torch.bfloat16
    assert thawed[2].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_shared_tensors_stay_shared_in_a_deep_copy() -> None:
    x = torch.ones(2, requires_grad=True)
    a, b = copy.deepcopy([x, x])
    assert a is b


def test_a_subclass_is_made_on_the_memory_of_a_tensor() -> None:
    class Weight(torch.Tensor):
        pass

    data = torch.ones(3)
    w = torch.Tensor._make_subclass(Weight, data, True)
    assert isinstance(w, Weight)
    assert w.requires_grad
    assert w.is_leaf
    assert np.shares_memory(w.detach().numpy(), data.numpy())
    out = w * 2
    assert type(out) is torch.Tensor
    out.sum().backward()
    assert w.grad.tolist() == [2, 2, 2]
    assert type(copy.deepcopy(w)) is Weight


def test_without_a_gpu_cuda_says_so() -> None:
    from elastic.tensor import backend

    if backend.gpu_count():
        pytest.skip("there is a GPU")
    assert not torch.cuda.is_available()
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        torch.ones(1).cuda()
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        torch.zeros(1, device="cuda")
    assert torch.ones(1).to("cpu").device == torch.device("cpu")


def test_unknown_keywords_are_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        torch.zeros(2, colour="red")
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        torch.ones(2).flatten(colour="red")
    with pytest.raises(TypeError, match="missing required argument: 'dim'"):
        torch.ones(2).unsqueeze()


def test_numpys_names_of_parameters_work() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    assert torch.sum(x, axis=1, keepdims=True).tolist() == [[3], [12]]
    assert torch.amax(input=x, dim=0).tolist() == [3, 4, 5]
    assert torch.eq(input=x, other=x).all()
