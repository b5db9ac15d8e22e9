"""Writes the files of PyTorch that the tests read: run it with a Python that has PyTorch 2.13."""

from __future__ import annotations

from pathlib import Path

import torch

DTYPES = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128"


def content() -> dict:
    """One of everything that files of weights hold."""
    base = torch.arange(6.0)
    model = torch.nn.Linear(2, 3)
    with torch.no_grad():
        model.weight.copy_(base.view(3, 2))
        model.bias.fill_(0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    return {
        "dtypes": {name: torch.ones(2).to(getattr(torch, name)) for name in DTYPES.split()},
        "base": base,
        "part": base[1:3],
        "turned": base.view(2, 3).t(),
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "leaf": torch.ones(2, requires_grad=True),
        "parameter": torch.nn.Parameter(torch.zeros(2), requires_grad=False),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "plain": [1, 2.5, "text", None, True, (1, (2,)), {3}, 10**20, 1 + 2j, b"bytes"],
        "words": [torch.Size([2, 3]), torch.float64, torch.device("cuda", 1)],
    }


if __name__ == "__main__":
    here = Path(__file__).parent
    torch.save(content(), here / "zip.pt")
    torch.save(content(), here / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save([1, torch.nn.Linear(1, 1)], here / "whole_model.pt")
