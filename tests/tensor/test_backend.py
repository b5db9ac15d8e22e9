"""The place that knows devices and memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource
import elastic.tensor as torch

x = torch.ones(1_000_000)
for _ in range(3):
    (x * 2 + 1).exp()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    (x * 2 + 1).exp()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
needs_glibc = pytest.mark.skipif(
    "glibc" not in str(os.confstr("CS_GNU_LIBC_VERSION")), reason="only glibc has mallopt"
)
ARRAYS, PAGES = 60, 1_000_000 * 4 // 4096


def page_faults(**environment: str) -> int:
    """Page faults of 60 large results, once the memory of the first ones is free again."""
    clean = {name: v for name, v in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", FAULTS]
    return int(subprocess.check_output(command, env=clean | environment, text=True))


@needs_glibc
def test_large_results_take_the_memory_of_freed_ones() -> None:
    assert page_faults() < ARRAYS * PAGES / 20


@needs_glibc
def test_a_users_own_settings_of_malloc_are_left_alone() -> None:
    assert page_faults(MALLOC_MMAP_THRESHOLD_="65536") > ARRAYS * PAGES / 2
