"""The battery: equal where arithmetic is equal, and in no other place."""

from __future__ import annotations

import subprocess
import sys

import pytest

import elastic.tensor as torch
from elastic.training.battery import BATTERY, battery

TELL = "from elastic.training.battery import battery; print(battery())"


def test_it_is_the_same_in_every_process():
    """B6: it draws nothing, and depends on nothing that a script does before."""
    torch.manual_seed(7)
    told = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == battery() == battery()


@pytest.mark.parametrize("name", BATTERY)
def test_a_bit_of_any_part_counts(name, monkeypatch):
    """B6."""
    before, compute = battery(), BATTERY[name]

    def off_by_a_bit(kind):
        result = compute(kind).clone().reshape(-1)
        result[0] = torch.nextafter(result[0], torch.tensor(9.0, dtype=kind))
        return result

    monkeypatch.setitem(BATTERY, name, off_by_a_bit)
    assert battery() != before


def test_denormal_numbers_are_not_flushed_here():
    """B6: what this part of the battery is about."""
    for kind in (torch.float32, torch.float64):
        assert 0 < BATTERY["denormal"](kind).item() < torch.finfo(kind).tiny
