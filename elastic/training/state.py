"""State: everything that must survive, and nothing that depends on who is in the group.

A part is either an object with `state_dict` and `load_state_dict` (a module, an optimizer, a
scheduler, a loader) or a plain value: number, string, bytes, numpy array, tensor, None, and lists,
tuples and dicts of these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from elastic.checkpoint.format import tree_digest
from elastic.errors import StateError
from elastic.tensor import Tensor, nn
from elastic.tensor.nn import Parameter
from elastic.tensor.optim import Optimizer
from elastic.training import randomness
from elastic.training.carry import Carries, capture_carries, restore_carries, unpack
from elastic.training.guard import MOVE, Guard
from elastic.training.merging import check_merge
from elastic.training.trees import decode, encode, host_array, is_stateful

__all__ = ["State", "is_trained"]

_PROGRESS = ("step", "epoch", "metrics")


class State:
    """The parts of a training job by name: `State(model=model, optimizer=optimizer)`.

    Parts are attributes. Plain values may be assigned in `update` and in hooks; in `train_step`
    State is read-only. `step` and `epoch` count what is committed, `metrics` is the last step's.
    `carry` is, in `train_step`, what it gave as `carry` for the same micro-batch in the step before
    (None: nothing); it is None everywhere else, where assigning None to it forgets all carries.

    Raises: StateError for a part that cannot be saved, naming it and the cure.
    """

    step: int
    epoch: int
    metrics: dict[str, float]

    if TYPE_CHECKING:  # the parts
        carry: Any
        _carries: dict[int, Carries]
        _merges: dict[str, str]

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, **parts: Any):
        for name, value in parts.items():
            _check_name(name)
            _check_part(name, value)
        self.__dict__.update(parts, step=0, epoch=0, metrics={})
        self.__dict__.update(_names=tuple(parts), _guard=None, carry=None, _carries={})
        self.__dict__.update(_merges={}, _is_training=False)
        self._check_optimizers()
        for module in self.named_modules().values():
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                _make_canonical(tensor)

    def _check_optimizers(self) -> None:
        known = {id(param) for param in self.named_parameters().values()}
        for name, part in self.parts():
            if isinstance(part, Optimizer) and any(id(p) not in known for p in _params_of(part)):
                raise StateError(
                    f"State part {name!r} trains parameters of no module in State, "
                    "whose gradients would not be reduced; pass the module too: State(model=…)"
                )

    def __setattr__(self, name: str, value: Any) -> None:
        if self._guard is not None:
            raise StateError(f"State is read-only in train_step, got a write to {name!r}; {MOVE}")
        if name == "carry" and value is None:
            self._carries.clear()
            return
        if name not in self._names and name not in _PROGRESS:
            raise StateError(
                f"State has no part {name!r}; name it when you make it: State({name}=…)"
            )
        if is_stateful(self.__dict__[name]):
            kind = type(self.__dict__[name]).__name__
            raise StateError(f"State keeps its {kind} {name!r} for good; load into it instead")
        _check_part(name, value)
        self.__dict__[name] = value

    def __repr__(self) -> str:
        kinds = ", ".join(f"{name}={type(part).__name__}" for name, part in self.parts())
        return f"State({kinds}, step={self.step}, epoch={self.epoch})"

    # ---- what is in it ------------------------------------------------------------------------

    def parts(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, part) in the order in which they were given."""
        return ((name, self.__dict__[name]) for name in self._names)

    def named_modules(self) -> dict[str, nn.Module]:
        """Return the modules among the parts and all modules within, each once, by path."""
        found: dict[str, nn.Module] = {}
        memo: set[nn.Module] = set()
        for name, part in self.parts():
            if isinstance(part, nn.Module):
                found.update(part.named_modules(memo, prefix=name))
        return found

    def named_parameters(self) -> dict[str, Parameter]:
        """Return all parameters of all modules, each once, by path."""
        found: dict[str, Parameter] = {}
        for path, module in self.named_modules().items():
            found.update(module.named_parameters(prefix=path, recurse=False))
        unique = {id(param): path for path, param in reversed(found.items())}
        return {path: param for path, param in found.items() if unique[id(param)] == path}

    # ---- buffers -------------------------------------------------------------------------------

    def merge(self, name: str, how: str) -> None:
        """Say how the micro-batches' changes of a buffer become one, before training begins (B4).

        `name` is its path from the part on, as in 'model.encoder.seen'. 'mean': the weighted mean
        of the changes; 'sum': all changes added; 'last': the value after the last micro-batch that
        changed it. Without a word, norm layers' statistics are averaged, of an integer buffer the
        largest change counts, and any other must be the same after every micro-batch.

        Raises: StateError if there is no such buffer, or it cannot be merged so.
        """
        tensors = {
            f"{path}.{key}": tensor
            for path, module in self.named_modules().items()
            for key, tensor in module._buffers.items()
            if tensor is not None
        }
        check_merge(name, how, tensors)
        if self._is_training:
            raise StateError(f"State expects merge({name!r}, …) before training begins")
        self._merges[name] = how

    def take_merges(self) -> dict[str, str]:
        """Return what was asked of `merge`; from now on it is too late for more."""
        self.__dict__["_is_training"] = True
        return self._merges

    # ---- carries -------------------------------------------------------------------------------

    def put_carries(self, phase: int, carries: Carries) -> None:
        """Replace what the leaves of a phase carry: only training does, when a step is applied."""
        self._carries.pop(phase, None)
        if carries:
            self._carries[phase] = dict(carries)

    @contextmanager
    def carrying(self, phase: int, leaf: int) -> Iterator[None]:
        """Give `carry` the value for this leaf of this phase within the block."""
        packed = self._carries.get(phase, {}).get(leaf)
        self.__dict__["carry"] = None if packed is None else unpack(packed)
        try:
            yield
        finally:
            self.__dict__["carry"] = None

    # ---- to a tree and back -------------------------------------------------------------------

    def capture(self, copy: bool = True) -> dict[str, Any]:
        """Return everything as a tree of plain values and numpy arrays.

        With `copy` the arrays are the tree's own; without, it is for reading now, not for keeping.
        """
        return {**self._capture(lambda part: copy), "random": randomness.capture()}

    def capture_lightly(self) -> dict[str, Any]:
        """Return everything but the random streams, to `restore` it soon.

        What modules and optimizers hold is not copied: the tree is good until that is written to.
        """
        return self._capture(lambda part: not is_trained(part))

    def _capture(self, copies: Callable[[Any], bool]) -> dict[str, Any]:
        numpy_paths: list[list[Any]] = []
        parts = {
            name: encode(_content(part), [name], numpy_paths, copies(part))
            for name, part in self.parts()
        }
        return {
            "parts": parts,
            "numpy_paths": numpy_paths,  # of the arrays that are not tensors
            **{name: self.__dict__[name] for name in ("step", "epoch")},
            "metrics": dict(self.metrics),
            "carry": capture_carries(self._carries),
        }

    def restore(self, tree: dict[str, Any]) -> None:
        """Load what `capture` returned, into the same objects: optimizers keep their parameters.

        Raises: StateError if the tree is of a State with other parts, or is none.
        """
        _check_tree(tree)
        parts = tree["parts"]
        if parts.keys() != set(self._names):
            raise StateError(
                f"State expects the parts {', '.join(sorted(self._names))}; "
                f"got {', '.join(sorted(parts))}; is it of another program?"
            )
        numpy_paths = {tuple(path) for path in tree["numpy_paths"]}
        for name in self._names:
            self._restore_part(name, decode(parts[name], (name,), numpy_paths))
        self.__dict__.update({name: tree[name] for name in _PROGRESS})
        # a tree from before there were carries has none
        self.__dict__["_carries"] = restore_carries(tree.get("carry", {}))
        if "random" in tree:
            randomness.restore(tree["random"])

    def _restore_part(self, name: str, value: Any) -> None:
        part = self.__dict__[name]
        if is_stateful(part):
            part.load_state_dict(value)
        elif isinstance(part, Tensor) and _alike(part, value):
            part.copy_(value)
        elif isinstance(part, np.ndarray) and _alike(part, value):
            part[...] = value
        else:
            self.__dict__[name] = value

    # ---- digests ------------------------------------------------------------------------------

    def digest(self) -> str:
        """Return 'sha256:…' of the names, shapes, dtypes and bits of all parameters (B7)."""
        return tree_digest(
            {path: host_array(p.detach(), False) for path, p in self.named_parameters().items()}
        )

    def state_digest(self) -> str:
        """Return 'sha256:…' of everything in State but the random streams (B7).

        Training seeds these at each place (B3); what they were outside is the process's own.
        """
        tree = self.capture(copy=False)
        del tree["random"]
        return tree_digest(tree)

    def fingerprint(self) -> str:
        """Return 'sha256:…' of the names, shapes and dtypes of the modules' tensors (B6)."""
        shapes = [
            f"{path} {tensor.dtype} {list(tensor.shape)}"
            for name, part in self.parts()
            if isinstance(part, nn.Module)
            for path, tensor in [*part.named_parameters(name), *part.named_buffers(name)]
        ]
        return f"sha256:{hashlib.sha256(chr(10).join(shapes).encode()).hexdigest()}"

    def guard(self) -> Guard:
        """Return a context in which a write to State is a StateError: it stands around train_step.

        Buffers of modules and gradients may be written (U1). It stays up for the next micro-batch,
        until `release`.
        """
        return Guard(self)


def is_trained(part: Any) -> bool:
    """Whether a part is of those that hold nearly all bytes, written by `update`."""
    return isinstance(part, nn.Module | Optimizer)


def _params_of(optimizer: Optimizer) -> list[Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def _content(part: Any) -> Any:
    return part.state_dict() if is_stateful(part) else part


def _check_name(name: str) -> None:
    if hasattr(State, name) or name in (*_PROGRESS, "carry") or name.startswith("_"):
        raise StateError(f"State keeps the name {name!r} for itself; choose another")


def _check_tree(tree: dict[str, Any]) -> None:
    if missing := {"parts", "numpy_paths", *_PROGRESS} - tree.keys():
        raise StateError(
            f"State expects what it has captured, got a tree without {', '.join(sorted(missing))}; "
            "was it written by another version?"
        )


def _check_part(name: str, value: Any) -> None:
    if isinstance(value, Tensor) and value.requires_grad:
        raise StateError(
            f"State part {name!r} is a tensor that requires a gradient, which would not be reduced "
            "over the workers; put it into a Module as a Parameter, or detach it"
        )
    encode(_content(value), [name], [], copy=False)


def _make_canonical(tensor: Tensor) -> None:
    """Lay a tensor out in C order: sums over other layouts have other bits (B5)."""
    if not tensor.is_contiguous():
        tensor.data = tensor.detach().contiguous()


def _alike(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a.shape == b.shape and a.dtype == b.dtype
