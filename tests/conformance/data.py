"""Loading data on both libraries: the same batches for the same seed, and the same refusals.

A case is a function of a library (`torch`, and `data`: torch.utils.data or elastic.data). Both runs
must agree in what it returns (types, dtypes, shapes, values), the warnings it gives and the error
it raises, and leave the global generator at the same place.
"""

from __future__ import annotations

import collections
import functools
import multiprocessing
import os
import random
import re
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.utils.data

import elastic.data
import elastic.tensor
from tests.conformance.verdict import Verdict


@dataclass(frozen=True)
class Library:
    """One of the two that are compared."""

    torch: Any
    data: Any

    def generator(self, seed: int = 7) -> Any:
        """A generator that stands at `seed`."""
        return self.torch.Generator().manual_seed(seed)


THEIRS = Library(torch, torch.utils.data)
OURS = Library(elastic.tensor, elastic.data)


def names() -> list[str]:
    """All cases."""
    return list(CASES)


def examine(name: str) -> Verdict:
    """Run one case on both libraries and compare."""
    # A process of the pool may not have children of its own, which is what some cases are about.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    verdict = Verdict(name)
    verdict.note(name, partial(compare, CASES[name]))
    return verdict


def compare(case: Callable[[Library], Any]) -> None:
    """Raises: AssertionError when the outcomes on the two libraries differ."""
    theirs, ours = (outcome(case, library) for library in (THEIRS, OURS))
    assert ours == theirs, f"{ours}\nis not\n{theirs}"


def outcome(case: Callable[[Library], Any], library: Library) -> Any:
    """What a case returns or raises, what it warns of, and the next number of the generator."""
    library.torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    with warnings.catch_warnings(record=True, action="always") as given:
        try:
            found = plain(case(library))
        except Exception as error:  # noqa: BLE001  # compared with the other library's
            found = type(error).__name__, words(str(error))
    texts = [words(str(w.message)) for w in given if issubclass(w.category, UserWarning)]
    return found, texts, library.torch.rand(1).item()


def words(text: str) -> str:
    """A text without what differs from run to run, and a traceback without its middle."""
    lines = re.sub(r"pid(\(s\))? [\d, ]+", "pid N", text).splitlines()
    if "Original Traceback (most recent call last):" in lines:
        lines = [lines[0], lines[-1]]
    return "\n".join(lines)


def plain(value: Any) -> Any:
    """A value as types, numbers and texts that both libraries have in common."""
    if isinstance(value, (torch.Tensor, elastic.tensor.Tensor)):
        return "tensor", str(value.dtype), tuple(value.shape), value.tolist(), value.requires_grad
    kind = type(value).__name__
    if isinstance(value, np.ndarray):
        return kind, str(value.dtype), value.tolist()
    if isinstance(value, collections.abc.Mapping):
        return kind, [(key, plain(each)) for key, each in value.items()]
    if isinstance(value, (list, tuple, collections.UserList)):
        return kind, [plain(each) for each in value]
    return value if isinstance(value, (int, float, str, bytes, type(None))) else kind


# -- datasets ----------------------------------------------------------------------------------


@functools.cache
def classes(library: Library) -> Any:
    """Datasets on the classes of a library."""
    data, torch = library.data, library.torch

    class Rows(data.Dataset):
        def __init__(self, n=11, sample=lambda i: i):
            self.n, self.sample = n, sample

        def __len__(self):
            return self.n

        def __getitem__(self, i):
            return self.sample(i)

        def __repr__(self):
            return "Rows"

    class Together(Rows):
        def __getitems__(self, indices):
            return [-i for i in indices]

    class Stream(data.IterableDataset):
        def __init__(self, *sizes, promised=None):
            self.sizes, self.promised = sizes, promised

        def __iter__(self):
            info = data.get_worker_info()
            number = info.id if info else 0
            return iter(range(100 * number, 100 * number + self.sizes[number]))

        def __len__(self):
            return self.promised

        def __repr__(self):
            return "Stream"

    def images(i):
        return torch.full((3, 50, 50), float(i)), {"label": i, "name": str(i)}

    return types.SimpleNamespace(Rows=Rows, Together=Together, Stream=Stream, images=images)


def loaded(library: Library, dataset: Any, **options: Any) -> Any:
    """Two passes over a loader, and how long it said to be."""
    if isinstance(options.get("generator"), int):
        options["generator"] = library.generator(options["generator"])
    loader = library.data.DataLoader(dataset, **options)
    passes = [list(loader), list(loader)]
    return passes, len(loader) if hasattr(dataset, "__len__") else None


# -- cases -------------------------------------------------------------------------------------

CASES: dict[str, Callable[[Library], Any]] = {}


def case(name: str, function: Callable[[Library], Any]) -> None:
    """One line of the table. What stands before the first dot is its family in the report."""
    family, _, rest = name.partition(".")
    name = f"{family}.{rest.replace('.', ' ')}"
    assert name not in CASES, name
    CASES[name] = function


def twice(make: Callable[[Library], Any]) -> Callable[[Library], Any]:
    """Two passes over a sampler, and its length."""

    def run(library: Library) -> Any:
        sampler = make(library)
        return list(sampler), list(sampler), len(sampler)

    return run


SAMPLERS: dict[str, Callable[[Library], Any]] = {
    "sequential": lambda L: L.data.SequentialSampler("abcde"),
    "random": lambda L: L.data.RandomSampler(range(11)),
    "random.generator": lambda L: L.data.RandomSampler(range(11), generator=L.generator()),
    "random.fewer": lambda L: L.data.RandomSampler(range(11), num_samples=4),
    "random.more": lambda L: L.data.RandomSampler(range(11), num_samples=40),
    "random.replacement": lambda L: L.data.RandomSampler(range(11), True),
    "random.replacement.more": lambda L: L.data.RandomSampler(range(11), True, 100),
    "random.replacement.generator": lambda L: L.data.RandomSampler(
        range(11), True, 33, L.generator()
    ),
    "random.num_samples=0": lambda L: L.data.RandomSampler(range(11), num_samples=0),
    "random.num_samples=1.5": lambda L: L.data.RandomSampler(range(11), num_samples=1.5),
    "random.replacement=1": lambda L: L.data.RandomSampler(range(11), replacement=1),
    "random.empty": lambda L: L.data.RandomSampler([]),
    "subset": lambda L: L.data.SubsetRandomSampler([5, 3, 8, 1]),
    "subset.generator": lambda L: L.data.SubsetRandomSampler("abc", L.generator()),
    "weighted": lambda L: L.data.WeightedRandomSampler([0.1, 0.0, 0.6, 0.3], 20),
    "weighted.tensor": lambda L: L.data.WeightedRandomSampler(L.torch.arange(5.0), 9),
    "weighted.once": lambda L: L.data.WeightedRandomSampler([1, 2, 3], 3, replacement=False),
    "weighted.generator": lambda L: L.data.WeightedRandomSampler(
        [1, 2, 3], 9, generator=L.generator()
    ),
    "weighted.too many": lambda L: L.data.WeightedRandomSampler([1, 2, 3], 4, replacement=False),
    "weighted.num_samples=0": lambda L: L.data.WeightedRandomSampler([1], 0),
    "weighted.num_samples=True": lambda L: L.data.WeightedRandomSampler([1], True),
    "weighted.replacement=0": lambda L: L.data.WeightedRandomSampler([1], 1, 0),
    "weighted.2d": lambda L: L.data.WeightedRandomSampler([[1.0, 2.0]], 1),
    "batch": lambda L: L.data.BatchSampler(L.data.SequentialSampler(range(7)), 3, False),
    "batch.drop_last": lambda L: L.data.BatchSampler(range(7), 3, True),
    "batch.random": lambda L: L.data.BatchSampler(L.data.RandomSampler(range(7)), 3, False),
    "batch.batch_size=0": lambda L: L.data.BatchSampler(range(7), 0, False),
    "batch.batch_size=True": lambda L: L.data.BatchSampler(range(7), True, False),
    "batch.drop_last=1": lambda L: L.data.BatchSampler(range(7), 2, 1),
}
for name, make in SAMPLERS.items():
    case(f"sampler.{name}", twice(make))

for options in (
    {},
    {"shuffle": False},
    {"drop_last": True},
    {"seed": 5},
    {"num_replicas": 12},
    {"num_replicas": 12, "drop_last": True, "rank": 11},
    {"num_replicas": 40},
    {"rank": 3},
    {"rank": -1},
    {"num_replicas": None},
    {"rank": None},
):

    def distributed(library: Library, options: dict = options) -> Any:
        given = {"num_replicas": 3, "rank": 1} | options
        sampler = library.data.distributed.DistributedSampler(range(11), **given)
        first = list(sampler)
        sampler.set_epoch(2)
        return first, list(sampler), len(sampler), sampler.total_size

    case(f"sampler.distributed.{options}", distributed)

ORDERS: list[dict[str, Any]] = [
    {},
    {"batch_size": 4},
    {"batch_size": 4, "drop_last": True},
    {"batch_size": 3, "shuffle": True},
    {"batch_size": 3, "shuffle": True, "drop_last": True, "generator": 5},
    {"batch_size": None},
    {"batch_size": None, "shuffle": True},
    {"batch_size": 2, "sampler": [7, 1, 3]},
    {"batch_sampler": [[0, 1], [], [10]], "collate_fn": list},
]
SHARED = [{}, {"num_workers": 1}, {"num_workers": 2}, {"num_workers": 2, "prefetch_factor": 5}]
SHARED.append({"num_workers": 2, "persistent_workers": True})
for order in ORDERS:
    for shared in SHARED:

        def ordered(library: Library, options: dict = order | shared) -> Any:
            return loaded(library, classes(library).Rows(), **options)

        case(f"loader.order.{order | shared}", ordered)

for workers in (0, 2):
    for kind, sampler in SAMPLERS.items():
        if kind.split(".")[0] in ("random", "subset", "weighted") and "batch" not in kind:

            def sampled(library: Library, make: Any = sampler, n: int = workers) -> Any:
                dataset = [str(i) for i in range(11)] if make else None
                indices = make(library)
                if isinstance(next(iter(indices)), str):
                    dataset = {"a": 1, "b": 2, "c": 3}
                return loaded(library, dataset, batch_size=2, sampler=indices, num_workers=n)

            case(f"loader.sampler.{kind}.num_workers={workers}", sampled)


def draws(_: int, library: Library) -> list[float]:
    """One number of each stream."""
    return [random.random(), np.random.rand(), library.torch.rand(1).item()]


def worker_facts(library: Library, **options: Any) -> Any:
    """What worker processes draw, and what they know of themselves."""

    def sample(i: int) -> Any:
        info = library.data.get_worker_info()
        known = info and (info.id, info.num_workers, info.seed, repr(info.dataset))
        return *draws(i, library), known

    dataset = classes(library).Rows(6, sample)
    return loaded(library, dataset, batch_size=None, collate_fn=tuple, **options)


for shared in [{}, {"num_workers": 1}, {"num_workers": 2}, {"num_workers": 2, "generator": 5}]:
    case(f"loader.streams.{shared}", functools.partial(worker_facts, **shared))
case(
    "loader.streams.worker_init_fn",
    lambda L: worker_facts(L, num_workers=2, worker_init_fn=lambda i: random.seed(i + 100)),
)

for sizes in ([5, 5], [5, 1], [1, 5], [0, 3], [0, 0], [9, 4]):
    for options in (
        {"batch_size": None},
        {"batch_size": 2},
        {"batch_size": 2, "drop_last": True},
        {"batch_size": 2, "prefetch_factor": 1},
        {"batch_size": 2, "persistent_workers": True},
    ):

        def streamed(library: Library, sizes: list = sizes, options: dict = options) -> Any:
            loader = library.data.DataLoader(
                classes(library).Stream(*sizes), num_workers=2, **options
            )
            return list(loader), list(loader)

        case(f"loader.stream.{sizes}.{options}", streamed)

for workers in (0, 1):

    def promised(library: Library, n: int = workers) -> Any:
        dataset = classes(library).Stream(3, promised=2)
        loader = library.data.DataLoader(dataset, batch_size=None, num_workers=n)
        return list(loader), len(loader), list(loader)

    case(f"loader.stream.longer.num_workers={workers}", promised)

LENGTHS = [{"batch_size": 4}, {"batch_size": 4, "drop_last": True}, {"batch_size": None}]
for options in LENGTHS:
    case(
        f"loader.stream.len.{options}",
        lambda L, o=options: len(L.data.DataLoader(classes(L).Stream(promised=10), **o)),
    )
    case(
        f"loader.len.{options}", lambda L, o=options: len(L.data.DataLoader(classes(L).Rows(), **o))
    )

for workers in (0, 2):
    case(
        f"loader.images.num_workers={workers}",
        lambda L, n=workers: loaded(
            L, classes(L).Rows(9, classes(L).images), batch_size=4, num_workers=n
        ),
    )
    case(
        f"loader.together.num_workers={workers}",
        lambda L, n=workers: loaded(L, classes(L).Together(), batch_size=4, num_workers=n),
    )
    case(
        f"loader.rows.num_workers={workers}",
        lambda L, n=workers: loaded(
            L,
            L.data.TensorDataset(L.torch.arange(10).reshape(5, 2), L.torch.arange(5.0)),
            batch_size=2,
            shuffle=True,
            num_workers=n,
        ),
    )

REFUSED: list[dict[str, Any]] = [
    {"num_workers": -1},
    {"timeout": -1},
    {"timeout": 1},
    {"prefetch_factor": 2},
    {"num_workers": 1, "prefetch_factor": -1},
    {"persistent_workers": True},
    {"multiprocessing_context": "fork"},
    {"num_workers": 1, "multiprocessing_context": "threads"},
    {"num_workers": 1, "multiprocessing_context": 3},
    {"sampler": [0], "shuffle": True},
    {"batch_sampler": [[0]], "batch_size": 2},
    {"batch_sampler": [[0]], "shuffle": True},
    {"batch_sampler": [[0]], "drop_last": True},
    {"batch_size": None, "drop_last": True},
    {"batch_size": 0},
    {"batch_size": 1.5},
    {"drop_last": 1},
    {"nonsense": 1},
    {"pin_memory": True},
    {"pin_memory": True, "pin_memory_device": "cuda"},
    {"num_workers": 64, "batch_size": 4},
]
for options in REFUSED:

    def refused(library: Library, options: dict = options) -> Any:
        loader = library.data.DataLoader(classes(library).Rows(), **options)
        return None if options.get("num_workers") == 64 else list(loader)

    case(f"loader.refused.{options}", refused)
for options in ({"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}, {"shuffle": False}):

    def refused_stream(library: Library, options: dict = options) -> Any:
        return list(library.data.DataLoader(classes(library).Stream(3), **options))

    case(f"loader.stream.refused.{options}", refused_stream)
for name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "num_workers"):
    case(
        f"loader.set.{name}",
        lambda L, name=name: setattr(L.data.DataLoader(classes(L).Rows()), name, 1),
    )
for name in ("batch_size", "batch_sampler", "prefetch_factor", "num_workers", "drop_last"):
    for options in ({}, {"num_workers": 2}, {"batch_sampler": [[0]]}, {"batch_size": None}):
        case(
            f"loader.get.{name}.{options}",
            lambda L, name=name, o=options: getattr(
                L.data.DataLoader(classes(L).Rows(), **o), name
            ),
        )


class Odd(Exception):
    """It cannot be made of a text."""

    def __init__(self, one: Any, two: Any):
        super().__init__(one, two)


def raising(error: BaseException) -> Any:
    """A sample."""
    raise error


FATAL: dict[str, Callable[[int], Any]] = {
    "ValueError": lambda i: raising(ValueError("why")),
    "KeyError": lambda i: raising(KeyError("why")),
    "Odd": lambda i: raising(Odd(1, 2)),
    "StopIteration": lambda i: raising(StopIteration("why")),
    "kill": lambda i: os.kill(os.getpid(), 9),
    "exit": lambda i: os._exit(3),
    "timeout": lambda i: time.sleep(1.5),
    "collate": lambda i: object(),
    "sizes": lambda i: [0] * i,
}
for name, sample in FATAL.items():
    for workers in (0, 1, 2):
        if workers or name not in ("kill", "exit", "timeout"):

            def fatal(library: Library, sample: Any = sample, n: int = workers) -> Any:
                timeout = 0.5 if sample is FATAL["timeout"] else 0
                dataset = classes(library).Rows(4, sample)
                loader = library.data.DataLoader(dataset, 2, num_workers=n, timeout=timeout)
                if sample not in (FATAL["kill"], FATAL["exit"]):
                    return list(loader)
                try:
                    return list(loader)
                except RuntimeError as error:  # how it ended PyTorch says only if it sees it first
                    return re.match(r"DataLoader worker \(pid(?:\(s\))? ", str(error)) is not None

            case(f"loader.fatal.{name}.num_workers={workers}", fatal)

# -- collating ---------------------------------------------------------------------------------

Pair = collections.namedtuple("Pair", "x y")


class Named(dict):
    """A dict with an attribute."""

    name = "kept"


class Frozen(collections.abc.Mapping):
    """A mapping that cannot be made again."""

    def __getitem__(self, key: str) -> int:
        return {"x": 1}[key]

    def __iter__(self) -> Any:
        return iter("x")

    def __len__(self) -> int:
        return 1


BATCHES: dict[str, Callable[[Any], list]] = {
    "ints": lambda t: [1, 2],
    "floats": lambda t: [1.5, 2],
    "int first": lambda t: [1, 2.5],
    "bools": lambda t: [True, False],
    "complex": lambda t: [1j, 2j],
    "texts": lambda t: ["a", "b"],
    "bytes": lambda t: [b"a", b"b"],
    "none": lambda t: [None, None],
    "objects": lambda t: [object(), object()],
    "empty": lambda t: [],
    "tensors": lambda t: [t.zeros(2, 3), t.ones(2, 3)],
    "0-d tensors": lambda t: [t.tensor(1), t.tensor(2)],
    "tensors of shapes": lambda t: [t.zeros(2), t.zeros(3)],
    "tensors of dtypes": lambda t: [t.zeros(2), t.zeros(2, dtype=t.float64)],
    "tensors with gradients": lambda t: [t.zeros(2, requires_grad=True), t.zeros(2)],
    "bfloat16": lambda t: [t.ones(2, dtype=t.bfloat16)] * 2,
    "tuples": lambda t: [(1, "a"), (2, "b")],
    "lists": lambda t: [[1, "a"], [2, "b"]],
    "tuples of lengths": lambda t: [(1,), (1, 2)],
    "empty tuples": lambda t: [(), ()],
    "ranges": lambda t: [range(2), range(2)],
    "user lists": lambda t: [collections.UserList([1, 2])] * 2,
    "deques": lambda t: [collections.deque([1, 2])] * 2,
    "named tuples": lambda t: [Pair(1, 2.0), Pair(3, 4.0)],
    "dicts": lambda t: [{"a": 1, "b": [2.0]}, {"a": 3, "b": [4.0]}],
    "dicts of keys": lambda t: [{"a": 1}, {"b": 1}],
    "ordered dicts": lambda t: [collections.OrderedDict(a=1)] * 2,
    "default dicts": lambda t: [collections.defaultdict(int, a=1)] * 2,
    "named dicts": lambda t: [Named(a=1)] * 2,
    "frozen": lambda t: [Frozen(), Frozen()],
    "proxies": lambda t: [types.MappingProxyType({"a": 1})] * 2,
    "nested": lambda t: [{"a": (Pair([1], "x"), {"b": t.ones(1)})}] * 3,
    "sets": lambda t: [{1}, {2}],
    "numpy texts": lambda t: [np.array(["a"])] * 2,
    "numpy objects": lambda t: [np.array([None])] * 2,
    "numpy str_": lambda t: [np.str_("a")] * 2,
    "numpy 0-d": lambda t: [np.array(1.0)] * 2,
    "numpy shapes": lambda t: [np.zeros(2), np.zeros(3)],
}
FLOATS = ["float16", "float32", "float64", "complex64", "complex128"]
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", *FLOATS]
for dtype in DTYPES:
    BATCHES[f"numpy array {dtype}"] = lambda t, d=dtype: [np.ones(2, d), np.zeros(2, d)]
    BATCHES[f"numpy scalar {dtype}"] = lambda t, d=dtype: [np.dtype(d).type(1)] * 2
NEVER_ANSWERED = {"tensors with gradients", "proxies"}  # PyTorch's workers cannot send these
for name, batch in BATCHES.items():
    case(f"collate.{name}", lambda L, b=batch: L.data.default_collate(b(L.torch)))
    case(
        f"convert.{name}", lambda L, b=batch: [L.data.default_convert(each) for each in b(L.torch)]
    )
    if name not in ("empty", *NEVER_ANSWERED):
        case(
            f"collate.workers.{name}",
            lambda L, b=batch: list(L.data.DataLoader(b(L.torch), 2, num_workers=1)),
        )

# -- datasets ----------------------------------------------------------------------------------

DATASETS: dict[str, Callable[[Library], Any]] = {
    "tensors": lambda L: L.data.TensorDataset(L.torch.arange(6).reshape(3, 2), L.torch.ones(3))[1],
    "tensors.sizes": lambda L: L.data.TensorDataset(L.torch.ones(3), L.torch.ones(2)),
    "subset": lambda L: [L.data.Subset("abcd", [3, 1])[i] for i in range(2)],
    "subset.together": lambda L: L.data.Subset(classes(L).Together(), [3, 1]).__getitems__([1, 0]),
    "subset.beyond": lambda L: L.data.Subset("abcd", [3, 1])[2],
    "subset.overridden": lambda L: type(
        "Loud", (L.data.Subset,), {"__getitem__": lambda self, i: 1}
    )("ab", [0]),
    "concat": lambda L: [L.data.ConcatDataset(["ab", "", "cde"])[i] for i in range(-5, 5)],
    "concat.beyond": lambda L: L.data.ConcatDataset(["ab", "cd"])[4],
    "concat.before": lambda L: L.data.ConcatDataset(["ab", "cd"])[-5],
    "concat.nothing": lambda L: L.data.ConcatDataset([]),
    "concat.streams": lambda L: L.data.ConcatDataset([classes(L).Stream(1)]),
    "concat.sum": lambda L: (classes(L).Rows(2) + classes(L).Rows(3)).cumulative_sizes,
    "chain": lambda L: list(classes(L).Stream(2) + classes(L).Stream(1)),
    "chain.len": lambda L: len(L.data.ChainDataset([classes(L).Stream(promised=2)] * 2)),
    "chain.others": lambda L: list(L.data.ChainDataset(["ab"])),
    "stack": lambda L: (lambda d: (d[0], len(d), d.__getitems__([1, 0])))(
        L.data.StackDataset("abc", range(3))
    ),
    "stack.named": lambda L: (lambda d: (d[0], len(d), d.__getitems__([1, 0])))(
        L.data.StackDataset(x="abc", y=range(3))
    ),
    "stack.nothing": lambda L: L.data.StackDataset(),
    "stack.both": lambda L: L.data.StackDataset("a", x="a"),
    "stack.sizes": lambda L: L.data.StackDataset("a", "ab"),
    "stack.loaded": lambda L: loaded(L, L.data.StackDataset(x="abc", y=range(3)), batch_size=2),
    "abstract": lambda L: L.data.Dataset()[0],
    "abstract.stream": lambda L: L.data.IterableDataset(),
    "info": lambda L: L.data.get_worker_info(),
}
for lengths in ([4, 7], [0.5, 0.5], [0.3, 0.3, 0.4], [1.0], [1, 0], [3, 3], [1.5, -0.5], [0.9]):
    DATASETS[f"split.{lengths}"] = lambda L, n=lengths: [
        part.indices for part in L.data.random_split(range(11), n)
    ]
DATASETS["split.generator"] = lambda L: [
    part.indices for part in L.data.random_split(range(11), [5, 6], L.generator())
]
DATASETS["split.empty"] = lambda L: [
    part.indices for part in L.data.random_split(range(1), [0.5, 0.5])
]
for name, make in DATASETS.items():
    case(f"dataset.{name}", make)
