"""Nested containers: tuples, named tuples, lists and dicts, with anything at the ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def leaves_of(tree: Any) -> list:
    """Everything at the ends of `tree`, in order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (tuple, list)):
        return [leaf for each in tree for leaf in leaves_of(each)]
    return [tree]


def mapped(function: Callable, tree: Any) -> Any:
    """`tree` with `function(leaf)` in place of each leaf."""
    if isinstance(tree, dict):
        return type(tree)((name, mapped(function, each)) for name, each in tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[mapped(function, each) for each in tree])
    if isinstance(tree, (tuple, list)):
        return type(tree)(mapped(function, each) for each in tree)
    return function(tree)


def refilled(tree: Any, leaves: list) -> Any:
    """`tree` with the next of `leaves` in place of each leaf."""
    following = iter(leaves)
    return mapped(lambda _: next(following), tree)
