"""Files between PyTorch and us, both ways."""

from __future__ import annotations

import io
import random
from functools import partial
from typing import Any

import safetensors.torch
import torch

import elastic.tensor as ours
from elastic.tensor import safetensors as our_safetensors
from elastic.tensor import serialization
from tests.conformance.bridge import to_ours, to_torch
from tests.conformance.verdict import Verdict


def theirs_of_ours(obj: Any) -> Any:
    """What PyTorch reads from a file of ours."""
    file = io.BytesIO()
    serialization.save(obj, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


def ours_of_theirs(obj: Any, legacy: bool = False) -> Any:
    """What we read from a file of PyTorch's."""
    file = io.BytesIO()
    torch.save(obj, file, _use_new_zipfile_serialization=not legacy)
    return serialization.load(io.BytesIO(file.getvalue()))


def some_tensor(rng: random.Random, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of any shape and strides, perhaps a part of a larger one."""
    shape = [rng.choice([0, 1, 2, 3, 5]) for _ in range(rng.randrange(4))]
    t = torch.randint(0, 2 if dtype is torch.bool else 100, shape).to(dtype)
    for _ in range(rng.randrange(3)):
        if t.ndim:
            dim = rng.randrange(t.ndim)
            t = rng.choice(
                [lambda t, d: t.transpose(0, d), lambda t, d: t.narrow(d, 0, (t.size(d) + 1) // 2),
                 lambda t, d: t.unsqueeze(d).expand(*[-1] * d, 3, *[-1] * (t.ndim - d)),
                 lambda t, d: t[tuple([slice(None)] * d + [slice(None, None, 2)])]]
            )(t, dim)  # fmt: skip
    return t


def tensors_of_any_form(dtype: torch.dtype, seed: int) -> None:
    """Any shape, strides and sharing."""
    rng = random.Random(f"{dtype}{seed}")
    torch.manual_seed(seed)
    t = some_tensor(rng, dtype)
    for got in (ours_of_theirs(t), ours_of_theirs(t, legacy=True)):
        assert tuple(got.shape) == tuple(t.shape)
        if t.numel():
            assert got.stride() == t.stride()
        torch.testing.assert_close(to_torch(got), t, rtol=0, atol=0)
    mine = got
    back = theirs_of_ours(mine)
    torch.testing.assert_close(back, t, rtol=0, atol=0)
    if t.numel():
        assert back.stride() == mine.stride()


def a_model_and_its_optimizer_go_there_and_back() -> None:
    """A model and its optimizer go there and back."""
    model = ours.nn.Sequential(ours.nn.Linear(3, 4), ours.nn.BatchNorm1d(4), ours.nn.Linear(4, 1))
    optimizer = ours.optim.Adam(model.parameters(), lr=0.1)
    twin = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)
    )
    twin_optimizer = torch.optim.Adam(twin.parameters(), lr=0.5)
    x = ours.randn(8, 3)
    model(x).sum().backward()
    optimizer.step()
    found = theirs_of_ours({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    assert found["model"]._metadata[""] == {"version": 1}
    twin.load_state_dict(found["model"])
    twin_optimizer.load_state_dict(found["optimizer"])
    assert twin_optimizer.param_groups[0]["lr"] == 0.1
    for each in (model, twin):
        each.eval()
    torch.testing.assert_close(to_torch(model(x)), twin(to_torch(x)).detach())
    back = ours_of_theirs({"model": twin.state_dict(), "optimizer": twin_optimizer.state_dict()})
    model.load_state_dict(back["model"])
    optimizer.load_state_dict(back["optimizer"])


def safetensors_both_ways() -> None:
    """Safetensors both ways."""
    tensors = {
        d.name: torch.tensor([[0, 1, 1]]).to(getattr(torch, d.name))
        for d in ours.dtypes.ALL
        if d is not ours.complex128
    }
    for name, t in our_safetensors.load(safetensors.torch.save(tensors)).items():
        torch.testing.assert_close(to_torch(t), tensors[name])
    mine = {name: to_ours(t) for name, t in tensors.items()}
    for name, t in safetensors.torch.load(our_safetensors.save(mine)).items():
        torch.testing.assert_close(t, tensors[name])


def refusals_are_told_in_the_same_words() -> None:
    """Refusals are told in the same words."""
    file = io.BytesIO()
    torch.save(torch.nn.Linear(1, 1), file)
    texts = []
    for load in (torch.load, serialization.load):
        try:
            load(io.BytesIO(file.getvalue()))
        except Exception as error:  # noqa: BLE001  # which one is the question
            texts.append((type(error), str(error)))
    assert texts[0] == texts[1]


DTYPES = {d.name: getattr(torch, d.name) for d in ours.dtypes.ALL}
FORMS = 20
"""Tensors of each dtype."""
OTHERS = {
    "a model and its optimizer": a_model_and_its_optimizer_go_there_and_back,
    "safetensors": safetensors_both_ways,
    "refusals": refusals_are_told_in_the_same_words,
}


def names() -> list[str]:
    """The dtypes of tensors, then what else files hold."""
    return [*DTYPES, *OTHERS]


def examine(name: str) -> Verdict:
    """Send it there and back."""
    verdict = Verdict(name)
    if name in OTHERS:
        verdict.note(name, OTHERS[name])
        return verdict
    for seed in range(FORMS):
        verdict.note(f"{name} seed {seed}", partial(tensors_of_any_form, DTYPES[name], seed))
    return verdict
