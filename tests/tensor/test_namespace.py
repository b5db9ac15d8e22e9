"""What `import elastic.tensor as torch` brings, and what it does not load."""

from __future__ import annotations

import inspect
import subprocess
import sys

import elastic.tensor as torch


def test_all_names_exist_and_are_sorted() -> None:
    assert [name for name in torch.__all__ if not hasattr(torch, name)] == []
    assert torch.__all__ == sorted(set(torch.__all__))


def test_every_public_name_is_pinned() -> None:
    extra = {
        name
        for name, value in vars(torch).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name not in torch.__all__
    }
    assert extra == {"annotations", "Any"}


def test_import_is_light() -> None:
    code = (
        "import sys, elastic.tensor as torch\n"
        "torch.ones(3).requires_grad_().exp().sum().backward()\n"
        "print([m for m in ('cupy', 'scipy', 'grpc', 'elastic.tensor.nn') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr


def test_nn_and_optim_are_reached_by_name() -> None:
    assert torch.nn.__name__ == "elastic.tensor.nn"
    assert torch.optim.__name__ == "elastic.tensor.optim"
