"""The picklers of files: one that writes PyTorch's names, and two that read them.

`WeightsUnpickler` reads what PyTorch's does with `weights_only=True`, refuses the rest in the same
words, and calls nothing but what is on the list; `AnyUnpickler` trusts the file.
"""

from __future__ import annotations

import functools
import importlib
import pickle
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from types import FunctionType
from typing import Any

from elastic.tensor._rebuild import known_globals, torch_name

# The compiled ones have neither rules to replace nor names that cannot be imported.
_PurePickler: Any = pickle._Pickler
_PureUnpickler: Any = pickle._Unpickler
_BLOCKED = ("sys", "os", "posix", "nt")
_safe: dict[str, Any] = {}  # what users have added, by path


class Pickler(_PurePickler):
    """Pickles with PyTorch's names, so that PyTorch can read the file.

    The pure-Python pickler, since the compiled one insists that a name can be imported; the bulk of
    a file, its storages, does not pass through it.
    """

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Writes the path of a function, a type or a dtype."""
        found = torch_name(obj)
        if found is None:
            super().save_global(obj, name)
        else:
            self.write(pickle.GLOBAL + "\n".join((*found, "")).encode())
            self.memoize(obj)

    def _save_type(self, obj: Any) -> None:
        if torch_name(obj):
            self.save_global(obj)
        else:
            self.save_type(obj)

    dispatch = _PurePickler.dispatch | {
        FunctionType: save_global,
        type: _save_type,
    }


class AnyUnpickler:
    """What is mixed into an unpickler that trusts the file: PyTorch's names mean ours."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for `module.name`."""
        found = known_globals().get(f"{module}.{name}")
        if found is None and module.partition(".")[0] == "torch":
            found = _counterpart(module, name)
        return found or super().find_class(module, name)  # type: ignore[misc]


def _counterpart(module: str, name: str) -> Any:
    """Our class or function of that name: torch.nn.modules.linear.Linear is ours of nn."""
    if "Storage" in name:
        return known_globals().get(f"torch.{name}")
    path = module.split(".")[1:]
    while True:
        place = ".".join(["elastic.tensor", *path])
        try:
            found = getattr(importlib.import_module(place), name, None)
        except ModuleNotFoundError:
            found = None
        if found is not None or not path:
            return found
        path.pop()


def add_safe_globals(safe_globals: list) -> None:
    """Lets `load(weights_only=True)` make these classes and call these functions.

    Each is the thing itself, or a pair of it and the path that files know it by.
    """
    for each in safe_globals:
        _safe.update([_path_of(each)])


def get_safe_globals() -> list:
    """What `add_safe_globals` has added."""
    return list(_safe.values())


def clear_safe_globals() -> None:
    """Takes back all that `add_safe_globals` has added."""
    _safe.clear()


class safe_globals:
    """`add_safe_globals` inside a `with` block only."""

    def __init__(self, safe_globals: list):
        self.entries = dict(_path_of(each) for each in safe_globals)

    def __enter__(self) -> None:
        self.before = dict(_safe)
        _safe.update(self.entries)

    def __exit__(self, *exc: object) -> None:
        _safe.clear()
        _safe.update(self.before)


def _path_of(entry: Any) -> tuple[str, Any]:
    if not isinstance(entry, tuple):
        return f"{entry.__module__}.{entry.__qualname__}", entry
    if len(entry) != 2:
        raise ValueError(
            "Expected tuple of length 2 (global, str of callable full path), but got tuple of "
            f"length: {len(entry)}"
        )
    if type(entry[1]) is not str:
        raise TypeError(
            "Expected second item in tuple to be str of callable full path, but got: "
            f"{type(entry[1])}"
        )
    return entry[1], entry[0]


def _allowed(value: Any) -> bool:
    return any(value is each for table in (known_globals(), _safe) for each in table.values())


class _Rules(dict):
    """What to do at each opcode; there is no rule for most."""

    def __missing__(self, code: int) -> Callable:
        raise UnpicklingError(f"Unsupported operand {code}")


_CODES = """
    MARK STOP PROTO TUPLE TUPLE1 TUPLE2 TUPLE3 NONE NEWFALSE NEWTRUE EMPTY_TUPLE EMPTY_LIST
    EMPTY_DICT EMPTY_SET BININT BININT1 BININT2 BINFLOAT BINUNICODE LONG1 SHORT_BINSTRING BINGET
    LONG_BINGET BINPUT LONG_BINPUT
"""
_PLAIN = [getattr(pickle, name)[0] for name in str.split(_CODES)]


class WeightsUnpickler(_PureUnpickler):
    """Reads containers, numbers, strings and tensors, and what `add_safe_globals` allows."""

    dispatch = _Rules({code: _PureUnpickler.dispatch[code] for code in _PLAIN})

    def load(self) -> Any:
        """The object in the file. Raises: UnpicklingError when it is damaged or not allowed."""
        try:
            return super().load()
        except IndexError as error:
            raise UnpicklingError("the pickle is damaged: its stack is empty") from error

    def _rule(code: bytes, rules: _Rules = dispatch) -> Callable:
        def register(function: Callable) -> Callable:
            rules[code[0]] = function
            return function

        return register

    @_rule(pickle.PROTO)
    def load_proto(self) -> None:
        """Warns of another protocol than files are written in."""
        self.proto = self.read(1)[0]
        if self.proto != 2:
            warnings.warn(
                f"Detected pickle protocol {self.proto} in the checkpoint, which was not the "
                "default pickle protocol used by `torch.load` (2). The weights_only Unpickler "
                "might not support all instructions implemented by this protocol, please file an "
                "issue for adding support if you encounter this.",
                stacklevel=2,
            )

    @_rule(pickle.GLOBAL)
    def load_global(self) -> None:
        """A name: only what is on the lists."""
        module, name = (self.readline()[:-1].decode() for _ in range(2))
        module, name = _python3_path(module, name)
        path = f"{module}.{name}"
        if module in _BLOCKED:
            raise UnpicklingError(
                f"Trying to load unsupported GLOBAL {path} whose module {module} is blocked."
            )
        for table in (known_globals(), _safe):
            if path in table:
                return self.append(table[path])
        path = path.removeprefix("builtins.")
        raise UnpicklingError(
            f"Unsupported global: GLOBAL {path} was not an allowed global by default. Please use "
            f"`torch.serialization.add_safe_globals([{path}])` or the "
            f"`torch.serialization.safe_globals([{path}])` context manager to allowlist this "
            "global if you trust this class/function."
        )

    @_rule(pickle.NEWOBJ)
    def load_newobj(self) -> None:
        """An object of a class on the lists."""
        args, cls = self.stack.pop(), self.stack.pop()
        if not _allowed(cls):
            raise UnpicklingError(
                "Can only create new object for nn.Parameter or classes allowlisted via "
                f"`add_safe_globals` but got {cls}"
            )
        self.append(cls.__new__(cls, *args))

    @_rule(pickle.REDUCE)
    def load_reduce(self) -> None:
        """A call of something on the lists."""
        args, function = self.stack.pop(), self.stack[-1]
        if not _allowed(function):
            owner = getattr(function, "__self__", None)
            raise UnpicklingError(
                f"Trying to call reduce for unrecognized function {function}"
                + (f" which belongs to {owner}" if owner is not None else "")
            )
        self.stack[-1] = function(*args)

    @_rule(pickle.BUILD)
    def load_build(self) -> None:
        """The state of an object whose class is on the lists."""
        state, made = self.stack.pop(), self.stack[-1]
        if not _allowed(type(made)):
            raise UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via "
                f"`add_safe_globals`, but got {type(made)}"
            )
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
            return
        state, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        made.__dict__.update(state or {})
        for name, value in (slots or {}).items():
            setattr(made, name, value)

    @_rule(pickle.APPEND)
    def load_append(self) -> None:
        """One more item of a list."""
        item = self.stack.pop()
        self._list("append to").append(item)

    @_rule(pickle.APPENDS)
    def load_appends(self) -> None:
        """More items of a list."""
        items = self.pop_mark()
        self._list("extend").extend(items)

    def _list(self, what: str) -> list:
        if type(self.stack[-1]) is not list:
            raise UnpicklingError(f"Can only {what} lists, but got {type(self.stack[-1])}")
        return self.stack[-1]

    @_rule(pickle.SETITEM)
    def load_setitem(self) -> None:
        """One entry of a dict."""
        value, key = self.stack.pop(), self.stack.pop()
        self._dict("SETITEM")[key] = value

    @_rule(pickle.SETITEMS)
    def load_setitems(self) -> None:
        """Entries of a dict."""
        items = self.pop_mark()
        self._dict("SETITEMS").update(zip(items[::2], items[1::2], strict=True))

    def _dict(self, what: str) -> dict:
        if type(self.stack[-1]) not in (dict, OrderedDict, Counter):
            raise UnpicklingError(
                f"Can only {what} for dict, collections.OrderedDict, collections.Counter, but got "
                f"{type(self.stack[-1])}"
            )
        return self.stack[-1]

    @_rule(pickle.BINPERSID)
    def load_binpersid(self) -> None:
        """A storage."""
        pid = self.stack.pop()
        if type(pid) not in (tuple, int):
            raise UnpicklingError(f"persistent_load id must be tuple or int, but got {type(pid)}")
        if type(pid) is tuple and pid and pid[0] not in ("storage", b"storage"):
            raise UnpicklingError(
                f"Only persistent_load of storage is allowed, but got {type(pid[0])}"
            )
        self.append(self.persistent_load(pid))


def _python3_path(module: str, name: str) -> tuple[str, str]:
    import _compat_pickle as old

    if (module, name) in old.NAME_MAPPING:
        return old.NAME_MAPPING[module, name]
    return old.IMPORT_MAPPING.get(module, module), name


def unpickler(
    file: Any, persistent_load: Callable, pickle_module: Any, settings: dict[str, Any]
) -> Any:
    """An unpickler of `file`; without a `pickle_module` the one that trusts nothing."""
    base = WeightsUnpickler if pickle_module is None else _trusting(pickle_module)
    made = base(file, **settings)
    made.persistent_load = persistent_load
    return made


@functools.cache
def _trusting(pickle_module: Any) -> type:
    return type("Unpickler", (AnyUnpickler, pickle_module.Unpickler), {})


def pickler(file: Any, persistent_id: Callable, pickle_module: Any, protocol: int) -> Any:
    """A pickler into `file`. With a module other than `pickle`, names stay ours."""
    base = Pickler if pickle_module is pickle else pickle_module.Pickler
    made_class = type("Pickler", (base,), {"persistent_id": lambda self, obj: persistent_id(obj)})
    return made_class(file, protocol)
