"""Einstein's notation: parsed, and computed as products of two operands at a time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from elastic.tensor._publish import public
from elastic.tensor._registry import TENSORS as F
from elastic.tensor._tensor import Tensor

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NO_OPERANDS = (
    "einsum(): must specify the equation string and at least one operand, or at least one operand "
    "and its subscripts list"
)


@public(method=False)
def einsum(*args: Any) -> Tensor:
    """The sum of products that an equation writes: einsum("ij,jk->ik", x, y).

    Also einsum(x, [0, 1], y, [1, 2], [0, 2]). Operands are multiplied from left to right, each
    pair as one batch of matrix products. Raises: RuntimeError, ValueError.
    """
    if len(args) < 2:
        raise ValueError(_NO_OPERANDS)
    equation, operands = (args[0], args[1:]) if isinstance(args[0], str) else _from_lists(args)
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    plan = _planned(equation, tuple([t._array.shape for t in operands]))
    tensors = [_simple(t, *how) for t, how in zip(operands, plan.operands, strict=True)]
    x = tensors[0]
    for y, (lonely_x, lonely_y, terms) in zip(tensors[1:], plan.pairs, strict=True):
        x = F._contract(F.sum(x, lonely_x) if lonely_x else x,
                        F.sum(y, lonely_y) if lonely_y else y, terms)  # fmt: skip
    x = F.sum(x, plan.lonely) if plan.lonely else x
    return F.permute(x, plan.order) if plan.order else x


def _simple(t: Tensor, diagonals: list, ones: list) -> Tensor:
    """The operand with the diagonals of its repeated letters, without some sizes of 1."""
    for i, j in diagonals:
        t = F.diagonal(t, 0, i, j)
    return F.squeeze(t, ones) if ones else t


class _Plan(NamedTuple):
    """What there is to do for an equation and shapes."""

    operands: list  # of each the pairs of dimensions to take diagonals of, and those to squeeze
    pairs: list  # of each product the dimensions to sum first in both, and the terms
    lonely: list  # the dimensions to sum at last
    order: list | None  # the dimensions of the result


@lru_cache(1024)
def _planned(equation: str, shapes: tuple) -> _Plan:
    """The operands are multiplied from left to right; a letter is summed when none needs it."""
    terms, out = _parsed(equation, tuple(map(len, shapes)))
    _check_sizes(terms, shapes)
    diagonals = [_diagonals(term) for term in terms]
    sizes = [dict(zip(term, shape, strict=True)) for term, shape in zip(terms, shapes, strict=True)]
    large = {e for each in sizes for e, n in each.items() if n != 1}
    simple = [term for _, term in diagonals]
    ones = [
        [d for d, e in enumerate(term) if e in large and size[e] == 1]
        for term, size in zip(simple, sizes, strict=True)
    ]
    terms = [
        tuple(e for d, e in enumerate(term) if d not in gone)
        for term, gone in zip(simple, ones, strict=True)
    ]
    pairs, term = [], terms[0]
    for k in range(1, len(terms)):
        later = {e for each in terms[k + 1 :] for e in each}.union(out)
        lonely_x, term = _lonely(term, later.union(terms[k]))
        lonely_y, other = _lonely(terms[k], later.union(term))
        made = tuple(e for e in dict.fromkeys(term + other) if e in later)
        made = out if k == len(terms) - 1 else made
        pairs.append((lonely_x, lonely_y, (term, other, made)))
        term = made
    lonely, term = _lonely(term, set(out))
    order = None if term == out else [term.index(e) for e in out]
    return _Plan([(d, o) for (d, _), o in zip(diagonals, ones, strict=True)], pairs, lonely, order)


def _diagonals(term: tuple) -> tuple[list, tuple]:
    """The pairs of dimensions with one letter, and the term when their diagonals are taken."""
    pairs = []
    while len(set(term)) < len(term):
        e = next(e for e in term if term.count(e) > 1)
        i = term.index(e)
        j = term.index(e, i + 1)
        pairs.append((i, j))
        term = (*[x for k, x in enumerate(term) if k not in (i, j)], e)
    return pairs, term


def _lonely(term: tuple, needed: set) -> tuple[list, tuple]:
    """The dimensions whose letter nothing needs, and the term without them."""
    return [d for d, e in enumerate(term) if e not in needed], tuple(e for e in term if e in needed)


def _from_lists(args: tuple) -> tuple[str, tuple]:
    """The equation of operands that alternate with lists of numbers."""
    lists = [*args[1::2], *(args[-1:] if len(args) % 2 else ())]
    terms = ["".join(map(_letter, each)) for each in lists]
    if len(args) % 2:
        return ",".join(terms[:-1]) + "->" + terms[-1], args[:-1:2]
    return ",".join(terms), args[::2]


def _letter(number: Any) -> str:
    if number is Ellipsis:
        return "..."
    if not 0 <= number < len(_LETTERS):
        raise ValueError(
            "einsum(): subscript in subscript list is not within the valid range [0, 52)"
        )
    return _LETTERS[number]


def _parsed(equation: str, ndims: tuple) -> tuple[list, tuple]:
    """The terms of the inputs and the output. What `...` stands for are numbers from the right."""
    inputs, arrow, output = equation.partition("->")
    parts = inputs.split(",")
    starts = [k + sum(map(len, parts[:k])) for k in range(len(parts))]
    split = [_split(parts[k], f"operand {k}", start) for k, start in enumerate(starts)]
    if len(split) != len(ndims):
        word = "more" if len(ndims) > len(split) else "fewer"
        raise RuntimeError(
            f"einsum(): {word} operands were provided than specified in the equation"
        )
    terms = [_filled(k, split[k], ndim) for k, ndim in enumerate(ndims)]
    numbers = sorted({e for term in terms for e in term if isinstance(e, int)}, reverse=True)
    if not arrow:
        every = [e for term in terms for e in term]
        letters = {e for e in every if isinstance(e, str) and every.count(e) == 1}
        return terms, (*numbers, *sorted(letters))
    out: list = []
    for each in _split(output, "output", len(inputs) + 2):
        out.extend(numbers if each == "..." else [each])
    _check_output(out, terms)
    return terms, tuple(out)


def _split(part: str, whose: str, start: int) -> list:
    """The letters of one term, and `...`; the term begins at `start` in the equation."""
    found: list = []
    k = 0
    while k < len(part):
        if part[k] == " ":
            k += 1
            continue
        if part[k] == ".":
            if "..." in found:
                raise RuntimeError(
                    f"einsum(): found '.' for {whose} for which an ellipsis was already found"
                )
            if part[k : k + 3] != "...":
                end = " (...)" if whose == "output" else ""
                raise RuntimeError(
                    f"einsum(): found '.' for {whose} that is not part of any ellipsis{end}"
                )
        elif part[k] not in _LETTERS:
            raise RuntimeError(
                f"einsum(): invalid subscript given at index {start + k} in the "
                "equation string, subscripts must be in [a-zA-Z]"
            )
        found.append("..." if part[k] == "." else part[k])
        k += len(found[-1])
    return found


def _filled(k: int, term: list, ndim: int) -> tuple:
    """`term` with numbers for its `...`, the last of them 0."""
    free = ndim - len(term) + term.count("...")
    if free < 0 or (free and "..." not in term):
        raise RuntimeError(
            "einsum(): the number of subscripts in the equation "
            f"({len(term) - term.count('...')}) "
            + ("is more than" if "..." in term else "does not match")
            + f" the number of dimensions ({ndim}) for operand {k}"
            + ("" if "..." in term else " and no ellipsis was given")
        )
    numbers = range(free - 1, -1, -1)
    return tuple(e for each in term for e in (numbers if each == "..." else (each,)))


def _check_output(out: list, terms: list) -> None:
    for each in out:
        if out.count(each) > 1:
            raise RuntimeError(
                f"einsum(): output subscript {each} appears more than once in the output"
            )
        if not any(each in term for term in terms):
            raise RuntimeError(
                f"einsum(): output subscript {each} does not appear in the equation for any input "
                "operand"
            )


def _check_sizes(terms: list, shapes: tuple) -> None:
    seen: dict = {}
    for k, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        own: dict = {}
        for e, n in zip(term, shape, strict=True):
            if own.setdefault(e, n) != n:
                raise RuntimeError(
                    f"einsum(): subscript {e} is repeated for operand {k} but the sizes don't "
                    f"match, {n} != {own[e]}"
                )
            if seen.setdefault(e, n) == 1:
                seen[e] = n
        for e, n in own.items():
            if n not in (1, seen[e]):
                raise RuntimeError(
                    f"einsum(): subscript {e} has size {n} for operand {k} which does not "
                    f"broadcast with previously seen size {seen[e]}"
                )
