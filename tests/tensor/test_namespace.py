"""What `import elastic.tensor as torch` brings, and what it does not load."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import pytest

import elastic.tensor as torch
from elastic.tensor.ops.__main__ import main


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


def test_the_data_of_utils_is_told_where_it_is() -> None:
    assert not hasattr(torch.utils, "data")
    with pytest.raises(
        AttributeError, match=r"elastic\.data takes the place of torch\.utils\.data"
    ):
        torch.utils.data  # noqa: B018


def test_the_table_of_ops_says_when_no_op_fits() -> None:
    with pytest.raises(SystemExit, match="no op fits nosuch other; without a pattern all"):
        main(["nosuch", "other"])


def test_functions_and_models_that_hold_them_can_be_pickled() -> None:
    functions = (
        torch.relu,
        torch.nn.functional.relu,
        torch.nn.functional.gelu,
        torch.rand,
        torch.cat,
    )
    assert pickle.loads(pickle.dumps(functions)) == functions
    layer = torch.nn.TransformerEncoderLayer(2, 1, 4, activation=torch.nn.functional.gelu).eval()
    x = torch.ones(1, 1, 2)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer(x))


def test_libraries_can_be_imported_as_modules():
    import elastic.tensor.backends.cudnn as cudnn

    from elastic.tensor.utils import dlpack

    assert cudnn is torch.backends.cudnn
    assert dlpack.from_dlpack is torch.from_dlpack
    assert torch.to_dlpack(torch.ones(2)) is not None
