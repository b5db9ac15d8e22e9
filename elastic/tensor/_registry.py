"""The registry: every op by name, with its forward and its vjps.

    mul = op("mul", lambda xp, x, y: x * y, lambda F, g, y: g * y, lambda F, g, x: g * x)

The k-th vjp belongs to the k-th parameter (None: nothing to differentiate). It names what it reads:
parameters of the forward, `out` for the output, `x_shape` for the shape of `x`; no more is saved.
A vjp returns `g`, a view or a new array, and uses operators and `F` only. `F` holds all ops under
PyTorch's names and signatures: raw forwards when `g` is an array, ops when it is a tensor. So the
same rule runs at full speed in the first order and is itself differentiable under `create_graph`.

The name makes the op public: `torch.mul` and `x.mul`. One that begins with an underscore is ours
alone; `linalg_inv`, `fft_rfft` and `special_ndtr` belong to the module that the name begins with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from elastic.tensor import dtypes

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
HALF_DTYPES = frozenset(d.np for d in dtypes.HALVES)

_MISSING = object()

# PyTorch's names of parameters that our tables call by their letter, and numpy's spelling.
ALIASES = {"axis": "dim", "keepdims": "keepdim"}
_POSITIONS = {"input": 0, "self": 0, "other": 1}


@dataclass(frozen=True)
class Traits:
    """How an op is called, beside its forward and vjps."""

    operands: tuple[int, ...] = ()  # the parameters that promote to one dtype
    one_dtype: bool = False  # ... or rather have it already
    to_float: bool = False  # integers become the default float
    wide: bool = True  # halves are computed in float32 and rounded once
    view: bool = False  # the result shares memory with the first input
    part: bool = False  # ... and is one of several, the last argument says which
    packs: bool = False  # f(x, 1, 2) means f(x, (1, 2))
    variadic: bool = False  # the first parameter is a list of tensors
    title: str | None = None  # the name of grad_fn in PyTorch, where it is not the op's own
    method: bool = True  # Tensor.name exists; as torch.name does, unless the name forbids it
    inplace: bool = False  # Tensor.name_ exists
    refuses: str = ""  # kinds of dtype without a kernel, as `dtypes.kind` names them
    tensors: tuple[int, ...] = (0,)  # the operands that may not be Python numbers
    subtracts: bool = False  # an operand of bools is refused, whatever the others are
    holomorphic: bool = True  # of complex numbers: the vjps, written for reals, read conjugates


class Op:
    """One op: how to compute it, how to differentiate it, and what that has to save."""

    __slots__ = (
        *("call", "defaults", "forward", "joint", "name", "names", "operands", "packs", "plain"),
        *("plans", "positions", "preset", "reads", "refuses", "rules", "shapes_read", "title"),
        *("tensors", "to_float", "traits", "variadic", "view", "vjps", "wide"),
    )
    call: Callable  # what users call

    def __init__(self, name: str, forward: Callable, vjps: tuple, joint: Any, traits: Traits):
        self.name = name
        self.forward = self.plain = forward
        self.vjps, self.joint, self.traits = vjps, joint, traits
        self.operands, self.to_float, self.wide = traits.operands, traits.to_float, traits.wide
        self.view, self.packs, self.variadic = traits.view, traits.packs, traits.variadic
        self.refuses = traits.refuses
        self.tensors = tuple(k for k in traits.tensors if k in traits.operands)
        self.title = traits.title or f"{_camel(name)}Backward0"
        self.names = _parameters(forward)[1:]
        self.defaults = forward.__defaults__ or ()
        self._check_vjps()
        self.preset = (_MISSING,) * (len(self.names) - len(self.defaults)) + self.defaults
        self.positions = _positions(self.names)
        self.reads = tuple(self._read_positions(rule) for rule in (joint and (joint,)) or vjps)
        self.rules = (
            tuple(_rule(*each) for each in zip(vjps, self.reads, strict=True)) if not joint else ()
        )
        self.shapes_read = any(k > len(self.names) for read in self.reads for k in read)
        self.plans: dict[tuple, tuple] = {}

    def _check_vjps(self) -> None:
        """Raises: ValueError when there are more than parameters, or an operand has none."""
        least = max(self.operands, default=-1) + 1 if self.vjps else 0
        if not least <= len(self.vjps) <= len(self.names):
            raise ValueError(
                f"{self.name} expects a vjp for each of its parameters ({', '.join(self.names)}), "
                f"got {len(self.vjps)}; None where there is nothing to differentiate"
            )

    def _read_positions(self, rule: Callable | None) -> tuple[int, ...]:
        if rule is None:
            return ()
        count = len(self.names)
        places = {"out": count}
        places |= {each: k for k, each in enumerate(self.names)}
        places |= {f"{each}_shape": count + 1 + k for k, each in enumerate(self.names)}
        wanted = _parameters(rule)[2:]
        if unknown := [each for each in wanted if each not in places]:
            raise ValueError(
                f"a vjp of {self.name} reads {unknown[0]!r}; it may read {', '.join(places)}"
            )
        return tuple(places[each] for each in wanted)

    def plan(self, needs: tuple[bool, ...]) -> tuple[bool, ...]:
        """Which values backward reads when `needs` inputs want a gradient: parameters, then out."""
        found = self.plans.get(needs)
        if found is None:
            wanted = range(1) if self.joint else [k for k in range(len(self.reads)) if needs[k]]
            read = {k for each in wanted for k in self.reads[each]}
            found = self.plans[needs] = tuple(k in read for k in range(len(self.names) + 1))
        return found

    def bind(self, args: tuple, named: dict[str, Any]) -> list:
        """All parameters in order. Raises: TypeError, as a Python function does."""
        values = list(args)
        if self.packs and len(args) > 1 and (len(args) > 2 or not _is_sequence(args[1])):
            values[1:] = [args[1:]]
        given = len(values)
        values += self.preset[given:]
        if len(values) > len(self.names):
            raise TypeError(f"{self.name}() takes {len(self.names)} arguments, got {given}")
        for name, value in named.items():
            if name not in self.positions:
                raise TypeError(f"{self.name}() got an unexpected keyword argument '{name}'")
            values[self.positions[name]] = value
        for k in range(given, len(self.names) - len(self.defaults)):
            if values[k] is _MISSING:
                raise TypeError(f"{self.name}() missing required argument: '{self.names[k]}'")
        return values


def _rule(vjp: Callable | None, reads: tuple[int, ...]) -> tuple:
    """A vjp with where its only value lies, or where all of several lie."""
    return vjp, reads[0] if len(reads) == 1 else None, reads if len(reads) > 1 else None


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _positions(names: tuple[str, ...]) -> dict[str, int]:
    """Where each keyword goes, by our names, PyTorch's and numpy's."""
    own = {each: k for k, each in enumerate(names)}
    aliases = {alias: own[each] for alias, each in ALIASES.items() if each in own}
    return _POSITIONS | own | aliases


def _is_sequence(value: Any) -> bool:
    return value is None or isinstance(value, (tuple, list))


def _parameters(function: Callable) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


REGISTRY: dict[str, Op] = {}
TENSORS: Any = SimpleNamespace()  # `F` of a vjp whose gradient is a tensor


class _Arrays:
    """`F` of a vjp whose gradient is an array of module `xp`: raw forwards, filled when asked."""

    def __init__(self, xp: Any):
        self._xp = xp

    def __getattr__(self, name: str) -> Callable:
        entry = REGISTRY[name]
        function = partial(_widened, entry) if entry.wide else entry.forward
        self.__dict__[name] = ready = partial(function, self._xp)
        return ready


def is_complex(x: Any) -> bool:
    """Whether an array or tensor that a vjp reads has complex elements."""
    return getattr(x, "_array", x).dtype.kind == "c"


def underivable(F: Any, g: Any) -> Any:
    """The vjp of a parameter that PyTorch cannot differentiate either. Raises: always."""
    raise NotImplementedError("the derivative for an input of this function is not implemented.")


MODULES = ("linalg", "fft", "special")


def is_public(name: str) -> bool:
    """Whether the op is part of the namespace itself."""
    return not name.startswith("_") and name.partition("_")[0] not in MODULES


NUMPY = _Arrays(np)
_NAMESPACES: dict[str, Any] = {"numpy": NUMPY}


def arrays(xp: Any) -> Any:
    """`F` for arrays of module `xp`."""
    if xp.__name__ not in _NAMESPACES:
        _NAMESPACES[xp.__name__] = _Arrays(xp)
    return _NAMESPACES[xp.__name__]


def kernel(name: str) -> Callable:
    """A decorator: the function becomes the forward of op `name`, on top of the plain one.

    It takes what the plain forward takes, and returns NotImplemented for what it leaves to it.
    """

    def install(fast: Callable) -> Callable:
        entry = REGISTRY[name]
        slower = entry.forward

        def forward(xp: Any, *args: Any) -> Any:
            out = fast(xp, *args)
            return slower(xp, *args) if out is NotImplemented else out

        set_forward(name, forward)
        return fast

    return install


def set_forward(name: str, forward: Callable) -> None:
    """Makes `forward` what op `name` computes; `REGISTRY[name].plain` stays what it was."""
    REGISTRY[name].forward = forward
    for namespace in _NAMESPACES.values():
        namespace.__dict__.pop(name, None)


def _widened(entry: Op, xp: Any, *args: Any, **named: Any) -> Any:
    first = args[0][0] if args[0].__class__ is list else args[0]
    if getattr(first, "dtype", F32) in HALF_DTYPES:
        return widened(entry.forward, xp, args, named)
    return entry.forward(xp, *args, **named)


def widened(forward: Callable, xp: Any, args: Any, named: dict | None = None) -> Any:
    """`forward` of half-precision arrays: computed in float32 and rounded once."""
    flat = [each for a in args for each in (a if a.__class__ is list else (a,))]
    half = next(a.dtype for a in flat if getattr(a, "dtype", F32) in HALF_DTYPES)
    out = forward(xp, *[_to_float32(a) for a in args], **(named or {}))
    if isinstance(out, tuple):
        return tuple(_to_half(each, half) for each in out)
    return _to_half(out, half)


def _to_float32(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_float32(each) for each in value]
    return value.astype(F32) if getattr(value, "dtype", F32) in HALF_DTYPES else value


def _to_half(value: Any, half: Any) -> Any:
    return value.astype(half) if value.dtype == F32 else value
