"""Elementwise steps on arrays, block by block: what a block reads stays in the cache.

A large array is cut into blocks, and the whole formula is computed on one block before the next.
Every element goes through the same operations as without blocks, so the bits are the same; and
blocks are independent, so that several threads may share them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Job", "Scratch", "run"]

BLOCK_BYTES = 1 << 19  # of one array: in the cache with others, and long beside a call's cost
ELEMENTS_A_THREAD = 1 << 19  # less is done before a second thread has started

_UFUNCS: dict[str, Callable] = {
    "abs": np.abs,
    "add": np.add,
    "clamp": np.clip,
    "div": np.true_divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mul": np.multiply,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "sub": np.subtract,
}


class Job(NamedTuple):
    """One parameter: flat arrays of equal length, and the numbers of its formula."""

    param: Any
    grad: Any
    state: dict[str, Any]
    sign: int  # -1 to climb
    decay: float  # what of the parameter is added to the gradient
    coefficients: tuple


class Scratch:
    """The functions of a formula, computed into memory that is used again.

    A result stays good until three more functions have been called.
    """

    ROWS = 4
    add: Callable
    div: Callable
    mul: Callable
    sqrt: Callable
    sub: Callable

    def __init__(self, row_bytes: int):
        self._bytes = np.empty((self.ROWS + 1, row_bytes), np.uint8)
        self._memory: Any = self._bytes
        self._rows: Any = ()
        self._next = 0

    def take(self, size: int, dtype: Any) -> None:
        """Make rows for arrays of up to `size` elements of this dtype."""
        if size * dtype.itemsize > self._bytes.shape[1]:
            self._bytes = np.empty((self.ROWS + 1, size * dtype.itemsize), np.uint8)
        self._memory = self._bytes.view(dtype)

    def begin(self, size: int) -> None:
        """Make ready for arrays of `size` elements."""
        self._rows = list(self._memory[:, :size])

    def gradient(self, job: Job, param: Any, grad: Any) -> Any:
        """Return the gradient to go down, with the weight decay; it stays good for the block."""
        own = self._rows[self.ROWS]
        if job.sign < 0:
            grad = np.negative(grad, out=own)
        if job.decay:
            grad = np.add(grad, self.mul(param, job.decay), out=own)
        return grad

    def row(self) -> Any:
        """Return the memory for the next result."""
        self._next = (self._next + 1) % self.ROWS
        return self._rows[self._next]


def _method(ufunc: Callable) -> Callable:
    def call(self: Scratch, *operands: Any) -> Any:
        return ufunc(*operands, out=self.row())

    return call


for _name, _ufunc in _UFUNCS.items():
    setattr(Scratch, _name, _method(_ufunc))


def run(formula: Callable, jobs: list[Job]) -> None:
    """Compute `formula(F, param, grad, state, *coefficients)` of all jobs, in place."""
    for dtype in {job.param.dtype for job in jobs}:
        _run([job for job in jobs if job.param.dtype == dtype], formula, dtype)


def _run(jobs: list[Job], formula: Callable, dtype: Any) -> None:
    total = sum(job.param.size for job in jobs)
    size = min(max(job.param.size for job in jobs), BLOCK_BYTES // dtype.itemsize)
    blocks = iter([block for job in jobs for block in _blocks(job, size)])
    errors: list[BaseException] = []

    def work() -> None:
        try:
            _work(blocks, formula, size, dtype)
        except BaseException as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    count = min(thread_count(), total // ELEMENTS_A_THREAD) - 1
    helpers = [threading.Thread(target=work) for _ in range(count)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]


def _blocks(job: Job, size: int) -> Iterator[Job]:
    if job.param.size <= size:
        yield job
        return
    for start in range(0, job.param.size, size):
        part = slice(start, start + size)
        state = {name: array[part] for name, array in job.state.items()}
        yield job._replace(param=job.param[part], grad=job.grad[part], state=state)


def _work(blocks: Iterator[Job], formula: Callable, size: int, dtype: Any) -> None:
    np.seterr(all="ignore")  # each thread has its own, and a new one would warn
    F = _spare.pop() if _spare else Scratch(BLOCK_BYTES)
    F.take(size, dtype)
    for job in blocks:  # each block goes to the thread that asks first
        F.begin(job.param.size)
        grad = F.gradient(job, job.param, job.grad)
        formula(F, job.param, grad, job.state, *job.coefficients)
    _spare.append(F)


_spare: list[Scratch] = []  # from the steps before


def thread_count() -> int:
    """How many threads a step may use: OMP_NUM_THREADS, or the processors we may run on."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) else len(os.sched_getaffinity(0))
