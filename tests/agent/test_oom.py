"""The kernel's counters of kills for memory, in a file system of the test's own."""

from __future__ import annotations

import pytest

from elastic.agent.oom import OomWatch


@pytest.fixture
def root(tmp_path):
    for folder in ("proc/self", "sys/fs/cgroup/pod/box"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/vmstat").write_text("pgfault 3\noom_kill 7\n")
    return tmp_path


def in_cgroup(root, kills):
    (root / "proc/self/cgroup").write_text("1:name=systemd:/x\n0::/pod/box\n")
    events = "low 0\noom 9\noom_kill {}\noom_group_kill 0\n"
    (root / "sys/fs/cgroup/pod/box/memory.events").write_text(events.format(kills))


def test_kills_of_our_cgroup_are_counted_from_one_look_to_the_next(root):
    in_cgroup(root, 2)
    watch = OomWatch(root)
    assert (watch.is_readable, watch.look()) == (True, 0)
    in_cgroup(root, 4)
    (root / "proc/vmstat").write_text("oom_kill 100\n")
    assert (watch.look(), watch.look()) == (2, 0)


def test_without_a_cgroup_the_host_counts(root):
    watch = OomWatch(root)
    (root / "proc/vmstat").write_text("pgfault 3\noom_kill 8\n")
    assert (watch.is_readable, watch.look()) == (True, 1)


@pytest.mark.parametrize("content", [None, "pgfault 3\n"])
def test_a_system_that_does_not_count(root, content):
    (root / "proc/vmstat").unlink()
    if content is not None:
        (root / "proc/vmstat").write_text(content)
    watch = OomWatch(root)
    assert (watch.is_readable, watch.look()) == (False, 0)


def test_this_system_is_read_without_harm():
    assert OomWatch().look() == 0
