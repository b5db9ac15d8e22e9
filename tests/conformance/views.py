"""Random programs of views and indices, run as text on both libraries.

Each program makes a tensor, takes views of it or indexes it, and perhaps writes and walks back.
After every step both must show the same values, sizes, strides and place in memory, the same
version, and the same error; at the end the same gradients.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch

import elastic.tensor as ours
from tests.conformance.bridge import to_torch
from tests.conformance.verdict import Verdict

PROGRAMS = 150  # for each entry


def names() -> list[str]:
    """Kinds of programs, each with several seeds."""
    return [f"{kind}.{seed}" for kind in KINDS for seed in range(4)]


def examine(name: str) -> Verdict:
    """Run the programs of one kind and seed on both libraries."""
    kind = name.partition(".")[0]
    rng = random.Random(name)
    verdict = Verdict(name)
    for _ in range(PROGRAMS):
        program = KINDS[kind](rng)
        verdict.samples += 1
        mine, theirs = run(ours, program), run(torch, program)
        if mine != theirs:
            wrong = next(
                k for k, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]
            )
            verdict.faults.append(
                "; ".join(program[: wrong + 1])
                + f"\n    ours:   {mine[wrong]}\n    theirs: {theirs[wrong]}"
            )
    return verdict


def run(library: Any, program: list[str]) -> list[str]:
    """What each line of the program leaves: the state of `x` and `y`, or the error that ends it."""
    scope: dict[str, Any] = {"torch": library}
    told = []
    for line in program:
        try:
            exec(line, scope)
        except Exception as error:  # noqa: BLE001  # whatever it is, both must raise the same
            text = str(error).split("\nException raised")[0]
            return [*told, f"{type(error).__name__}: {text}"]
        told.append(state(scope))
    return told


def state(scope: dict) -> str:
    """What can be seen of the tensors of a program."""
    x, y = scope["x"], scope.get("y")
    parts = [shown(x), f"version {x._version}"]
    if y is not None:
        distance = y.data_ptr() - x.data_ptr()
        shared = y.numel() > 0 and 0 <= distance < x.numel() * x.element_size()
        where = distance // x.element_size() if shared else "elsewhere"
        strides = [s for s, n in zip(y.stride(), y.shape, strict=True) if n > 1] if shared else []
        parts += [shown(y), f"at {where} {strides}", f"version {y._version}"]
        parts += [f"{y.requires_grad} {y.is_leaf}"]
    leaf = scope.get("leaf")
    if leaf is not None and leaf.grad is not None:
        parts.append(shown(leaf.grad))
    return " | ".join(parts)


def shown(t: Any) -> str:
    """Dtype, sizes and elements."""
    t = t.detach()
    t = t if isinstance(t, torch.Tensor) else to_torch(t)
    return f"{t.dtype} {list(t.shape)} {t.tolist()}"


# Programs


def start(rng: random.Random, grad: bool = False) -> tuple[list[str], list[int]]:
    """Lines that make `x`, and its shape."""
    shape = [rng.choice([1, 2, 2, 3, 3, 4, 0]) for _ in range(rng.choice([0, 1, 2, 2, 3, 3, 4]))]
    count = 1
    for n in shape:
        count *= n
    make = f"torch.arange({count}, dtype=torch.float64).reshape({shape})"
    if grad:
        return [f"leaf = {make}.clone().requires_grad_(); x = leaf * 1"], shape
    return [f"x = {make}"], shape


def indexed(rng: random.Random) -> list[str]:
    """Reading by any index."""
    lines, shape = start(rng)
    return [*lines, f"y = x[{index(rng, shape)}]"]


def assigned(rng: random.Random) -> list[str]:
    """Writing by any index."""
    lines, shape = start(rng)
    at = index(rng, shape)
    return [*lines, f"x[{at}] = {value(rng, f'x[{at}]')}"]


def walked(rng: random.Random) -> list[str]:
    """Gradients through reads and writes by index."""
    lines, shape = start(rng, grad=True)
    lines.append(f"y = x[{index(rng, shape)}]")
    if rng.random() < 0.5:
        at = index(rng, shape)
        lines.append(f"x[{at}] = {rng.choice(['3.0', 'y.sum() * 2', f'x[{at}] * 3'])}")
    weights = "torch.arange({0}.numel(), dtype=torch.float64).reshape({0}.shape)"
    return [
        *lines,
        f"((y * {weights.format('y')}).sum() + (x * {weights.format('x')}).sum()).backward()",
    ]


def viewed(rng: random.Random) -> list[str]:
    """Chains of views."""
    lines, _ = start(rng)
    lines.append("y = x")
    for _ in range(rng.randint(1, 4)):
        lines.append(f"y = y{step(rng)}")
    return lines


def written(rng: random.Random) -> list[str]:
    """Writes through chains of views, with gradients."""
    lines, _ = start(rng, grad=rng.random() < 0.7)
    lines.append("y = x")
    steps = [step(rng) for _ in range(rng.randint(1, 3))]
    lines += [f"y = y{each}" for each in steps if "expand(2" not in each]  # writes overlap there
    lines.append(rng.choice(WRITES))
    if lines[0].startswith("leaf"):
        lines.append("((x * x).sum() + y.sum()).backward()")
    return lines


KINDS: dict[str, Callable[[random.Random], list[str]]] = {
    "indexed": indexed,
    "assigned": assigned,
    "walked": walked,
    "viewed": viewed,
    "written": written,
}

WRITES = [
    "y.mul_(2)", "y.add_(y)", "y.copy_(y * 3)", "y.zero_()", "y[...] = 5", "y.neg_()",
    "y.masked_fill_(y > 2, 0.5)", "x.mul_(3)", "y.fill_(2.0)", "y.clamp_(min=1)", "y.sub_(x.sum())",
]  # fmt: skip


def step(rng: random.Random) -> str:
    """One view, mostly possible."""
    d, e = rng.choice([0, 0, 1, -1, 2]), rng.choice([0, 1, -1, -2])
    n, k = rng.choice([0, 1, 1, 2, 3]), rng.choice([0, 1, -1])
    return rng.choice([
        ".t()", ".T", ".mT", f".transpose({d}, {e})", f".unsqueeze({d})", f".squeeze({d})",
        ".squeeze()", ".reshape(-1)", ".view(-1)", ".flatten()", f".narrow({d}, {k}, {n})",
        f".select({d}, {k})", f".split({n}, {d})[{k}]", f".chunk({n}, {d})[{k}]",
        f".unbind({d})[{k}]", f".tensor_split({n}, {d})[{k}]", f".movedim({d}, {e})",
        ".expand(2, *[-1] * y.ndim)", f".unfold({d}, {n}, 3)",
        f".diagonal({k}, {d}, {e})", ".permute(tuple(range(y.ndim)[::-1]))", "[...]", "[None]",
        f"[{k}]", f"[..., {k}]", "[1:]", "[..., ::2]", "[:, :1]", ".detach()", ".contiguous()",
        ".reshape(y.shape[::-1])", ".view(1, *y.shape)", f".unflatten({d}, ({n + 1}, -1))",
        ".as_strided((2, 2), (2, 1))", f".as_strided((2,), (2,), {n})", ".view_as(y)",
        ".expand_as(y)", ".swapaxes(0, -1)", ".ravel()", f".hsplit({n})[{k}]", ".clone()",
    ])  # fmt: skip


def index(rng: random.Random, shape: list[int]) -> str:
    """An index for a tensor of `shape`, mostly possible."""
    parts, dim = [], 0
    while dim < len(shape) and rng.random() < 0.85:
        used, text = item(rng, shape, dim)
        parts.append(text)
        dim += used
    if rng.random() < 0.1:
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(["None", "True", "False", "..."]))
    return ", ".join(parts) + ("," if len(parts) == 1 and rng.random() < 0.3 else "") or "..."


def item(rng: random.Random, shape: list[int], dim: int) -> tuple[int, str]:
    """How many dimensions a part of an index uses, and the part."""
    n = shape[dim]
    far = n + (rng.random() < 0.03)  # at times one too many
    place = rng.randrange(-far, far) if far else 0
    places = [rng.randrange(-far, far) for _ in range(rng.choice([1, 2, 3]))] if far else []
    mask = [rng.random() < 0.5 for _ in range(n + (rng.random() < 0.03))]
    kind = rng.randrange(12)
    if kind == 0:
        return 0, "None"
    if kind == 1 and dim + 1 < len(shape):
        rows = [[rng.random() < 0.5 for _ in range(shape[dim + 1])] for _ in range(n)]
        return 2, f"torch.tensor({rows}, dtype=torch.bool).reshape({n}, {shape[dim + 1]})"
    bounds = [rng.choice(["", str(rng.randint(-n - 1, n + 1))]) for _ in range(2)]
    return 1, [
        str(place), str(place), ":", ":".join(bounds), ":".join(bounds), "::2",
        repr(places), f"torch.tensor({places}, dtype=torch.int64)",
        f"torch.tensor([{places}, {places}], dtype=torch.int64)", f"torch.tensor({place})",
        f"torch.tensor({mask}, dtype=torch.bool)", repr(mask) if mask else ":",
    ][kind]  # fmt: skip


def value(rng: random.Random, target: str) -> str:
    """Something to write into `target`."""
    like = f"torch.arange({target}.numel(), dtype=torch.float64).reshape({target}.shape)"
    return rng.choice([
        "7", "2.5", "True", f"-{like}", f"-{like}", f"-{like}[None]", f"{like}.float()",
        "torch.tensor(4)", "torch.tensor([9.0])", "torch.ones(3, dtype=torch.float64)",
        "torch.ones(2, 2, dtype=torch.float64)", f"{target}.sum()", f"{like}[..., :1]", "1j",
    ])  # fmt: skip
