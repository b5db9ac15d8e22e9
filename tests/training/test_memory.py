"""PROTOCOL S9: memory that is there before it is needed."""

from __future__ import annotations

import numpy as np
import pytest

from elastic.training import memory


@pytest.mark.parametrize("nbytes", [0, 1, 5000])
def test_memory_apart_can_be_written_and_has_the_size_that_was_asked_for(nbytes):
    block = memory.apart(nbytes)
    block[:] = 7
    assert (block.nbytes, block.sum()) == (nbytes, 7 * nbytes)


@pytest.mark.parametrize(
    ("keeps", "asked", "taken"), [("0", 100, [100]), ("0", 1 << 40, [1000]), ("9", 100, [])]
)
def test_memory_is_warmed_within_bounds_and_only_where_it_is_kept(monkeypatch, keeps, asked, taken):
    sizes = []
    monkeypatch.setattr(memory, "WARM_BYTES", 1000)
    monkeypatch.setenv("MALLOC_MMAP_MAX_", keeps)
    monkeypatch.setattr(np, "empty", lambda n, dtype: sizes.append(n) or np.zeros(n, dtype))
    memory.warm(asked)
    assert sizes == taken


@pytest.mark.parametrize(
    ("limit", "current", "spare"), [("1000", "200", 200), ("100", "200", 0), ("max", "200", None)]
)
def test_the_workers_of_a_container_share_half_of_what_it_has_left(
    monkeypatch, tmp_path, limit, current, spare
):
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    (tmp_path / "memory.max").write_text(limit + "\n")
    (tmp_path / "memory.current").write_text(current + "\n")
    found = memory.spare_bytes()
    assert found > 1000 if spare is None else found == spare
