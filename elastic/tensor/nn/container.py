"""Modules that hold others, or parameters, in a sequence or under keys."""

from __future__ import annotations

import itertools
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from elastic.tensor import Tensor
from elastic.tensor.nn.module import Module, indent, lay_out
from elastic.tensor.nn.parameter import Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


class _ModuleSequence(Module):
    """Children named "0", "1", ... that behave like a list."""

    def _key(self, index: int) -> str:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range")
        return list(self._modules)[index]

    def _refill(self, modules: Iterable[Module]) -> None:
        kept = list(modules)
        for name in list(self._modules):
            delattr(self, name)
        self.extend(kept)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self._modules.values()))

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._slice(index)
        return self._modules[self._key(index)]

    def _slice(self, index: slice) -> Self:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        kept = list(self)
        del kept[index]
        self._refill(kept)

    def append(self, module: Module) -> Self:
        """Add a module at the end; return the container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add several modules at the end; return the container."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before `index`; return the container."""
        modules = list(self)
        modules.insert(index, module)
        self._refill(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Return the module at `index` after removing it."""
        module = self[index]
        del self[index]
        return module

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __add__(self, other: Iterable[Module]) -> Self:
        return self._slice(slice(None)).extend(other)


class Sequential(_ModuleSequence):
    """A chain: the output of each module is the input of the next."""

    def __init__(self, *args: Any):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(args)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input

    def _slice(self, index: slice) -> Self:
        return type(self)(OrderedDict(list(self._modules.items())[index]))

    def __mul__(self, other: int) -> Sequential:
        return Sequential(*[each for _ in range(self._factor(other)) for each in self])

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Self:
        once = list(self)
        for _ in range(self._factor(other) - 1):
            self.extend(once)
        return self

    def _factor(self, other: int) -> int:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")
        return other


class ModuleList(_ModuleSequence):
    """A list of modules whose parameters are registered."""

    def __init__(self, modules: Iterable[Module] = ()):
        super().__init__()
        self.extend(modules or ())

    def _slice(self, index: slice) -> Self:
        return type(self)(list(self)[index])

    def _child_lines(self) -> list[str]:
        """Return one line a run of children with the same repr: `(0-2): 3 x Linear(...)`."""
        lines, start = [], 0
        for text, run in itertools.groupby(repr(child) for child in self):
            count = len(list(run))
            if count == 1:
                lines.append(f"({start}): {indent(text)}")
            else:
                lines.append(f"({start}-{start + count - 1}): {count} x {indent(text)}")
            start += count
        return lines


class ModuleDict(Module):
    """A dict of modules whose parameters are registered; it keeps the order of insertion."""

    def __init__(self, modules: Mapping[str, Module] | Iterable | None = None):
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace several modules."""
        for name, module in dict(modules).items():
            self[name] = module

    def __getitem__(self, name: str) -> Module:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        delattr(self, name)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def keys(self) -> Any:
        """Return the names."""
        return self._modules.keys()

    def values(self) -> Any:
        """Return the modules."""
        return self._modules.values()

    def items(self) -> Any:
        """Return the pairs of name and module."""
        return self._modules.items()

    def pop(self, name: str) -> Module:
        """Return the module `name` after removing it."""
        module = self[name]
        del self[name]
        return module

    def clear(self) -> None:
        """Remove all modules."""
        for name in list(self):
            del self[name]


class ParameterList(Module):
    """A list of values, of which the tensors are registered as parameters."""

    def __init__(self, values: Iterable[Any] = ()):
        super().__init__()
        self._size = 0
        self.extend(values)

    def _key(self, index: int) -> str:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range")
        return str(index % len(self))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._key(index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._key(index), _as_parameter(value))

    def append(self, value: Any) -> Self:
        """Add a value at the end; a plain tensor becomes a Parameter. Return the container."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several values at the end; return the container."""
        for value in list(values):
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def __repr__(self) -> str:
        lines = [f"  ({i}): {_summary(v, lambda t: t.dtype)}" for i, v in enumerate(self)]
        return lay_out(self._get_name(), lines, [])


class ParameterDict(Module):
    """A dict of values, of which the tensors are registered as parameters."""

    def __init__(self, values: Mapping[str, Any] | Iterable | None = None):
        super().__init__()
        self._names: dict[str, None] = {}
        self.update(values or {})

    def update(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add or replace several values; those of a plain dict in the order of their names."""
        if not isinstance(values, (Iterable, ParameterDict)):
            raise TypeError(
                "ParametersDict.update should be called with an iterable of key/value pairs, but "
                f"got {type(values).__name__}"
            )
        if isinstance(values, Mapping) and not isinstance(values, OrderedDict):
            values = sorted(values.items())
        pairs: Any = values.items() if hasattr(values, "items") else values
        for name, value in pairs:
            self[name] = value

    def __getitem__(self, name: str) -> Any:
        return getattr(self, self._checked(name))

    def _checked(self, name: Any) -> str:
        if not isinstance(name, str):
            raise TypeError(
                "Index given to ParameterDict cannot be used as a key as it is not a string (type "
                f"is '{type(name).__name__}'). Open an issue on github if you need non-string keys."
            )
        return name

    def __setitem__(self, name: str, value: Any) -> None:
        self._names[self._checked(name)] = None
        setattr(self, name, _as_parameter(value))

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        delattr(self, name)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._names)

    def __or__(self, other: Any) -> ParameterDict:
        joined = self.copy()
        joined.update(other)
        return joined

    def __ror__(self, other: Any) -> ParameterDict:
        joined = ParameterDict(OrderedDict(other.items()))
        joined.update(self.items())
        return joined

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def copy(self) -> ParameterDict:
        """Return another dict of the same values."""
        return ParameterDict(OrderedDict(self.items()))

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""
        return self[key] if key in self._names else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return a value, which is the default from now on if there was none."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Return a value after removing it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Return the last pair after removing it."""
        name = next(reversed(self))
        return name, self.pop(name)

    def clear(self) -> None:
        """Remove all values."""
        for name in list(self):
            del self[name]

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Return a dict with the same value for all keys."""
        return ParameterDict([(key, default) for key in keys])

    def keys(self) -> Any:
        """Return the names."""
        return self._names.keys()

    def values(self) -> Any:
        """Return the values."""
        return [self[name] for name in self]

    def items(self) -> Any:
        """Return the pairs of name and value."""
        return [(name, self[name]) for name in self]

    def __repr__(self) -> str:
        lines = [
            f"  ({name}): {_summary(value, lambda t: t.type())}" for name, value in self.items()
        ]
        return lay_out(self._get_name(), lines, [])


def _as_parameter(value: Any) -> Any:
    return Parameter(value) if type(value) is Tensor else value


def _summary(value: Any, kind_of: Callable[[Tensor], Any]) -> str:
    if not isinstance(value, Tensor):
        return f"Object of type: {type(value).__name__}"
    what = "Parameter" if isinstance(value, Parameter) else "Tensor"
    size = "x".join(str(n) for n in value.shape)
    return f"{what} containing: [{kind_of(value)} of size {size}]"
