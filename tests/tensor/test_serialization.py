"""Files: what PyTorch wrote, what we write, and what is refused."""

from __future__ import annotations

import copy
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.tensor import nn, optim, safetensors
from elastic.tensor.serialization import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    load,
    safe_globals,
    save,
)

FILES = Path(__file__).parent / "files"


def saved(obj: Any, **settings: Any) -> bytes:
    file = io.BytesIO()
    save(obj, file, **settings)
    return file.getvalue()


def again(obj: Any, **settings: Any) -> Any:
    return load(io.BytesIO(saved(obj)), **settings)


class Pair:
    """A class that no file may make unless it is allowed."""

    def __init__(self, a: Any, b: Any):
        self.a, self.b = a, b

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pair) and (self.a, self.b) == (other.a, other.b)

    __hash__ = None  # type: ignore[assignment]


class Attack:
    def __reduce__(self) -> tuple:
        return os.system, ("echo harm",)


class Marked(torch.Tensor):
    """A subclass with an attribute."""


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pt"])
def test_a_file_of_pytorch(name: str) -> None:
    found = load(FILES / name)
    for dtype, t in found["dtypes"].items():
        assert str(t.dtype) == f"torch.{dtype}"
        assert t.tolist() == [1, 1]
    found["base"][1] = 100  # memory is shared as it was
    assert found["part"].tolist() == [100, 2]
    assert found["turned"].tolist() == [[0, 3], [100, 4], [2, 5]]
    assert found["turned"].stride() == (1, 3)
    assert (found["scalar"].item(), found["empty"].shape) == (7, (0, 3))
    assert found["leaf"].requires_grad
    assert type(found["parameter"]) is nn.Parameter
    assert not found["parameter"].requires_grad
    model = nn.Linear(2, 3)
    assert str(model.load_state_dict(found["model"])) == "<All keys matched successfully>"
    assert found["model"]._metadata == {"": {"version": 1}}
    assert model(torch.ones(2)).tolist() == pytest.approx([1.2, 5.2, 9.2])
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    optimizer.load_state_dict(found["optimizer"])
    assert optimizer.param_groups[0]["momentum"] == 0.9
    assert found["plain"] == [1, 2.5, "text", None, True, (1, (2,)), {3}, 10**20, 1 + 2j, b"bytes"]
    assert found["words"] == [torch.Size([2, 3]), torch.float64, torch.device("cuda", 1)]


def test_it_is_in_the_namespace() -> None:
    assert (torch.save, torch.load) == (save, load)
    assert torch.serialization.load is load


def test_whole_models_of_pytorch_are_refused_by_default() -> None:
    text = (
        r"(?s)Weights only load failed\. This file can still be loaded.*WeightsUnpickler error: "
        r"Unsupported global: GLOBAL torch\.nn\.modules\.linear\.Linear was not an allowed global "
        r"by default\. Please use `torch\.serialization\.add_safe_globals"
    )
    with pytest.raises(pickle.UnpicklingError, match=text):
        load(FILES / "whole_model.pt")


@pytest.mark.parametrize("dtype", torch.dtypes.ALL, ids=str)
def test_every_dtype_comes_back(dtype: torch.dtype) -> None:
    t = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    got = again(t)
    assert got.dtype is dtype
    assert got.tolist() == t.tolist()


def test_views_share_memory_and_are_written_once() -> None:
    base = torch.arange(1000.0)
    data = saved([base, base[10:], base.view(10, 100).t()])
    assert len(data) < 6000
    first, rest, turned = load(io.BytesIO(data))
    first[10] = -1
    assert rest[0] == turned[10, 0] == -1
    assert turned.stride() == (1, 100)


def test_pickle_and_deepcopy_keep_what_is_shared() -> None:
    base = torch.arange(4.0)
    first, rest = pickle.loads(pickle.dumps([base, base[1:]]))
    first[1] = 9
    assert rest[0] == 9
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.state_dict().keys() == model.state_dict().keys()
        assert twin[0].weight is not model[0].weight
        assert torch.equal(twin(torch.ones(3, 2)), model(torch.ones(3, 2)))


def test_a_tensor_of_negative_strides_or_of_the_graph_is_saved_as_a_leaf() -> None:
    flipped = torch.from_numpy(np.arange(3.0)[::1]).flip(0)
    computed = torch.ones(2, requires_grad=True) * 2
    got = again([flipped, computed, torch.ones(1).expand(3)])
    assert [t.tolist() for t in got] == [[2, 1, 0], [2, 2], [1, 1, 1]]
    assert got[1].requires_grad
    assert got[1].is_leaf


def test_attributes_of_parameters_and_classes_of_tensors_come_back() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.note = [1]
    assert again(parameter).note == [1]
    t = torch.ones(2)
    t.note = "mine"
    assert again(t).note == "mine"
    marked = torch.Tensor._make_subclass(Marked, torch.ones(2))
    marked.note = 3
    got = again(marked, weights_only=False)
    assert (type(got), got.note, got.tolist()) == (Marked, 3, [1, 1])


def test_words_come_back() -> None:
    words = [torch.strided, torch.float16, torch.device("cpu"), torch.Size([1])]
    assert again(words) == words
    assert again(words)[0] is torch.strided


def test_a_state_dict_is_an_ordered_dict_with_metadata() -> None:
    got = again(nn.Sequential(nn.Linear(1, 1)).state_dict())
    assert type(got) is OrderedDict
    assert list(got) == ["0.weight", "0.bias"]
    assert got._metadata["0"] == {"version": 1}


def test_the_archive_has_pytorchs_records_at_multiples_of_64(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save({"a": torch.ones(3), "b": torch.zeros(100)}, path)
    raw = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist()]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("model/byteorder") == b"little"
    wanted = "data.pkl .format_version .storage_alignment byteorder data/0 data/1 version"
    assert names == [f"model/{n}" for n in [*wanted.split(), ".data/serialization_id"]]
    assert raw.index(np.ones(3, np.float32).tobytes()) % 64 == 0


def test_mapped_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save([torch.arange(5), torch.ones(2, 2).t()], path)
    numbers, ones = load(path, mmap=True)
    numbers += 1  # a private copy: the file stays what it is
    assert numbers.tolist() == [1, 2, 3, 4, 5]
    assert len(saved(ones)) < 3000  # its own storage, not the whole file
    assert load(path)[0].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="f must be a file path in order to use the mmap argument"):
        load(io.BytesIO(path.read_bytes()), mmap=True)
    with pytest.raises(RuntimeError, match="mmap can only be used with files saved with"):
        load(FILES / "legacy.pt", mmap=True)


def test_an_archive_of_a_big_endian_machine() -> None:
    source, target = io.BytesIO(saved(torch.tensor([1.5, 2.0]))), io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename.endswith("byteorder"):
                data = b"big"
            if "data/0" in info.filename:
                data = np.array([1.5, 2.0], ">f4").tobytes()
            new.writestr(info.filename, data)
    target.seek(0)
    assert load(target).tolist() == [1.5, 2.0]


def test_classes_must_be_allowed() -> None:
    data = saved(Pair(1, torch.ones(1)))
    with pytest.raises(pickle.UnpicklingError, match=r"GLOBAL .*\.Pair was not an allowed global"):
        load(io.BytesIO(data))
    with safe_globals([Pair]):
        assert load(io.BytesIO(data)).a == 1
    assert get_safe_globals() == []
    add_safe_globals([(Pair, f"{Pair.__module__}.Pair")])
    assert load(io.BytesIO(data)).a == 1
    clear_safe_globals()
    assert load(io.BytesIO(data), weights_only=False) == Pair(1, torch.ones(1))
    with pytest.raises(ValueError, match="Expected tuple of length 2"):
        add_safe_globals([(Pair,)])


def test_a_call_of_the_system_is_refused(capfd: pytest.CaptureFixture) -> None:
    data = saved(Attack())
    with pytest.raises(pickle.UnpicklingError, match="whose module posix is blocked"):
        load(io.BytesIO(data))
    with pytest.raises(pickle.UnpicklingError, match="blocked"), safe_globals([Attack, os.system]):
        load(io.BytesIO(data))
    assert capfd.readouterr().out == ""


def hostile(body: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body)
        archive.writestr("archive/data/0", b"\0" * 8)
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"cbuiltins\neval\n.", "Unsupported global: GLOBAL eval was not"),
        (b"X\x01\x00\x00\x00a)R.", "Trying to call reduce for unrecognized function a"),
        (b"X\x01\x00\x00\x00a)\x81.", "Can only create new object for nn.Parameter or classes"),
        (b"}}b.", "Can only build Tensor, Parameter, OrderedDict or types allowlisted"),
        (b"}Na.", "Can only append to lists, but got <class 'dict'>"),
        (b"}(Ne.", "Can only extend lists, but got <class 'dict'>"),
        (b"](NNu.", "Can only SETITEMS for dict"),
        (b"e.", "the pickle is damaged"),
        (b"]NNs.", "Can only SETITEM for dict, collections.OrderedDict, collections.Counter"),
        (b"X\x01\x00\x00\x00aQ.", "persistent_load id must be tuple or int, but got <class 'str'>"),
        (b"X\x01\x00\x00\x00a\x85Q.", "Only persistent_load of storage is allowed"),
        (b"\x93.", "Unsupported operand 147"),
    ],
)
def test_what_a_hostile_pickle_cannot_do(body: bytes, text: str) -> None:
    with pytest.raises((pickle.UnpicklingError, TypeError), match=text):
        load(io.BytesIO(hostile(body)))


def test_a_tensor_may_not_reach_beyond_its_storage() -> None:
    with zipfile.ZipFile(io.BytesIO(saved(torch.ones(2)))) as archive:
        body = archive.read("archive/data.pkl")[2:].replace(b"K\x02\x85q", b"K\x64\x85q", 1)
    with pytest.raises(RuntimeError, match=r"sizes \[100\].*out of bounds for storage of size 8"):
        load(io.BytesIO(hostile(body)))


def test_damaged_files_are_told() -> None:
    data = saved({"a": torch.arange(100)})
    for length in (10, 300, len(data) // 2, len(data) - 3):
        with pytest.raises(RuntimeError, match="failed finding central directory"):
            load(io.BytesIO(data[:length]))
    flipped = bytearray(data)
    flipped[data.index(np.arange(100).tobytes()) + 8] ^= 1
    with pytest.raises(RuntimeError, match=r"data/0: file read failed.*most likely damaged"):
        load(io.BytesIO(bytes(flipped)))
    with pytest.raises(EOFError, match="Ran out of input"):
        load(io.BytesIO())
    with pytest.raises(RuntimeError, match="Invalid magic number; corrupt file"):
        load(io.BytesIO(b"abc"))
    legacy = (FILES / "legacy.pt").read_bytes()
    with pytest.raises(RuntimeError, match="cut short"):
        load(io.BytesIO(legacy[:-3]))


def test_map_location() -> None:
    data = saved(torch.ones(2))
    seen = []

    def keep(storage: Any, place: str) -> Any:
        seen.append((len(storage), place))
        return storage

    for where in ("cpu", torch.device("cpu"), {"cuda:0": "cpu"}, keep, lambda s, place: None):
        assert load(io.BytesIO(data), map_location=where).tolist() == [1, 1]
    assert seen == [(8, "cpu")]
    with pytest.raises(RuntimeError, match="don't know how to restore data location of"):
        load(io.BytesIO(data), map_location="moon")


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is said without a GPU")
def test_map_location_without_a_gpu() -> None:
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device but"):
        load(io.BytesIO(saved(torch.ones(2))), map_location="cuda")


def test_arguments_are_checked(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match=r"expected 'f' to be string, path, or a file-like"):
        save({}, 3)
    with pytest.raises(RuntimeError, match=r"Parent directory .* does not exist"):
        save({}, tmp_path / "none" / "file.pt")
    x = torch.zeros(4)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        save([x, torch.from_numpy(x.numpy().view(np.int32))], io.BytesIO())
    with pytest.raises(AttributeError, match=r"You can only torch.load from a file that is seek"):
        load(3)
    with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_mod"):
        load(io.BytesIO(saved(1)), pickle_module=pickle, weights_only=True)
    with pytest.warns(UserWarning, match="pickle_load_args only works if"):
        load(io.BytesIO(saved(1)), encoding="latin1")
    assert load(io.BytesIO(saved(Pair(1, 2))), pickle_module=pickle) == Pair(1, 2)


def test_a_newer_pickle_protocol_is_told() -> None:
    data = saved([torch.ones(1)], pickle_protocol=3)
    with pytest.warns(UserWarning, match="Detected pickle protocol 3 in the checkpoint"):
        assert load(io.BytesIO(data))[0].tolist() == [1]


def test_safetensors(tmp_path: Path) -> None:
    dtypes = [d for d in torch.dtypes.ALL if d is not torch.complex128]
    tensors = {str(d): torch.tensor([[0, 1, 1]]).to(d) for d in dtypes}
    path = tmp_path / "weights.safetensors"
    safetensors.save_file(tensors, path, {"format": "pt"})
    for got in (safetensors.load_file(path), load(path), safetensors.load(path.read_bytes())):
        assert {name: (t.dtype, t.tolist()) for name, t in got.items()} == {
            name: (t.dtype, t.tolist()) for name, t in tensors.items()
        }
    x = torch.ones(2, 3)
    with pytest.raises(ValueError, match="non contiguous tensor: `x`"):
        safetensors.save({"x": x.t()})
    with pytest.raises(RuntimeError, match="Some tensors share memory"):
        safetensors.save({"x": x, "y": x[0]})
    with pytest.raises(ValueError, match=r"expected torch.Tensor but received <class 'int'>"):
        safetensors.save({"x": 1})
