"""Which workers the watchdog kills, fences and leaves alone (PROTOCOL S8)."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from elastic.agent.watchdog import Actions, Watchdog, deadline_s, where
from elastic.telemetry.activity import Activity

DUMP = """\
Thread 0x00007f11 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 327 in wait
Current thread 0x00007f22 (most recent call first):
  File "{library}/threading.py", line 327 in wait
  File "/home/me/train.py", line 12 in train_step
  File "/home/me/train.py", line 90 in <module>"""


@dataclass(eq=False)
class FakeWorker:
    """A worker whose state and activity the test sets."""

    state: str = "S"
    activity: Activity | None = None
    signals: list[int] = field(default_factory=list)
    killed_because: str = ""

    def __post_init__(self):
        self.log = SimpleNamespace(tail=DUMP)

    def signal(self, number):
        self.signals.append(number)

    def kill(self, reason):
        self.killed_because = reason


class Bench:
    """A watchdog, one worker, and a clock that the test turns."""

    def __init__(self, step_timeout_s=None, fences=True):
        self.now, self.timers = 100.0, []
        self.fenced, self.readmitted, self.missed, self._fences = [], [], [], fences
        self.worker = FakeWorker()
        actions = Actions(
            lambda t, act: self.timers.append((t, act)),
            self._fence,
            self.readmitted.append,
            lambda id, since: self.missed.append(id),
        )
        self.watchdog = Watchdog(step_timeout_s, actions)
        self.look()

    def _fence(self, worker, reason):
        self.fenced.append(reason)
        return self._fences

    def look(self):
        self.watchdog.wake()
        self.watchdog.look([self.worker], self.now)

    def passes(self, seconds):
        """Let time go by in steps of a second at most."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1.0)
            due = [timer for timer in self.timers if timer[0] <= self.now]
            self.timers = [timer for timer in self.timers if timer[0] > self.now]
            for _, act in due:
                act()
            self.look()

    def does(self, name, slowest_s=0.1):
        self.worker.activity = Activity(name, self.now, slowest_s, 12, 3)


@pytest.mark.parametrize(
    ("name", "slowest_s", "given_s", "limit_s"),
    [
        ("train_step", 0.1, None, 30.0),
        ("train_step", 7.0, None, 70.0),
        ("update", 0.1, None, 30.0),
        ("on_epoch", 1.0, None, 600.0),
        ("on_step", 100.0, None, 1000.0),
        ("sync", 0.0, None, None),
        ("sync", 0.0, 5.0, 5.0),
        ("train_step", 100.0, 5.0, 5.0),
        ("waiting", 0.0, 5.0, None),
        ("", 0.0, 5.0, None),
    ],
)
def test_deadlines(name, slowest_s, given_s, limit_s):
    """S8: only user code has one; what has never ended once has none unless it is given."""
    assert deadline_s(Activity(name, 0.0, slowest_s), given_s) == limit_s


def test_who_hangs_shows_its_stacks_and_is_killed():
    """S8: the reason names where."""
    bench = Bench()
    bench.does("train_step")
    bench.passes(30.0)
    assert not bench.worker.signals
    bench.passes(1.0)
    assert bench.worker.signals == [signal.SIGQUIT]
    assert not bench.worker.killed_because, "it has a moment to write them"
    bench.passes(1.0)
    assert "train_step (step 12 micro-batch 3), at " in bench.worker.killed_because
    assert "--step-timeout" in bench.worker.killed_because
    assert bench.worker.signals == [signal.SIGQUIT]


def test_who_waits_is_left_alone():
    """S8: slow peers are no hang."""
    bench = Bench(step_timeout_s=1.0)
    bench.does("waiting")
    bench.passes(1000.0)
    assert not bench.worker.signals


def test_those_who_are_waited_for_are_asked_after():
    """M6, S8: again and again, at doubling pauses, until the wait is over."""
    bench = Bench()
    bench.worker.activity = Activity("waiting", bench.now, whom="a, b")
    bench.passes(1.0)
    assert bench.missed == ["a", "b"]
    bench.passes(60.0)
    assert 8 <= len(bench.missed) <= 16
    bench.does("train_step")
    bench.passes(60.0)
    asked = len(bench.missed)
    bench.worker.activity = Activity("waiting", bench.now, whom="c")
    bench.passes(1.0)
    assert bench.missed[asked:] == ["c"]


def test_an_agent_that_slept_judges_nobody_by_that_time():
    """The whole host may have been frozen."""
    bench = Bench(step_timeout_s=20.0)
    bench.does("train_step")
    bench.now += 1000.0
    bench.look()
    bench.passes(15.0)
    assert not bench.worker.signals
    bench.passes(6.0)
    assert bench.worker.signals


def test_a_stopped_worker_is_fenced_after_a_second_and_comes_back():
    """S8: once; and no hang is seen in it."""
    bench = Bench(step_timeout_s=1.0)
    bench.does("train_step")
    bench.worker.state = "T"
    bench.look()
    assert not bench.fenced
    bench.passes(60.0)
    assert bench.fenced == ["stopped (process state T) for 1 s"]
    assert not bench.worker.signals
    bench.does("train_step")
    bench.worker.state = "S"
    bench.look()
    assert bench.readmitted == [bench.worker]
    bench.look()
    assert bench.readmitted == [bench.worker]


def test_a_short_stop_changes_nothing():
    bench = Bench()
    bench.worker.state = "T"
    bench.look()
    bench.worker.state = "S"
    bench.passes(5.0)
    assert not bench.fenced
    assert not bench.readmitted


def test_whom_the_agent_cannot_spare_is_asked_about_again():
    """S8: all are stopped; when one goes on, the others are fenced."""
    bench = Bench(fences=False)
    bench.worker.state = "T"
    bench.passes(3.0)
    assert len(bench.fenced) > 1
    bench.worker.state = "S"
    bench.look()
    assert not bench.readmitted


@pytest.mark.parametrize("library", ["/somewhere", None])
def test_where_is_the_users_line(library):
    import sysconfig

    found = where(DUMP.format(library=library or sysconfig.get_path("stdlib")))
    assert found == ("/somewhere/threading.py:327 in wait" if library else _THEIRS)
    assert where("Segmentation fault") == ""


_THEIRS = "/home/me/train.py:12 in train_step"
