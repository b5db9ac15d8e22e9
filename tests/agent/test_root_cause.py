"""One cause: the first that was not made good, with who, where, what and what was done."""

from __future__ import annotations

from elastic.agent.root_cause import Cause, RootCause, hint, last_line, who

TRACEBACK = """Traceback (most recent call last):
  File "train.py", line 9, in update
RuntimeError: a bug

"""
KILLED = Cause(
    who(2, "8f3a-2", 20817, "node-3"),
    "killed by SIGKILL",
    generation=4,
    step=120,
    text="\n".join(f"line {n}" for n in range(50)),
    hint="from outside",
    done="restart 1 of 10, after 0.5 s",
)
RAISED = Cause(
    who(None, "", 71, "node-4"), "exited with 1", 4, 120, "update of step 121", TRACEBACK
)


def test_a_signal_is_told_with_the_last_lines():
    lines = str(KILLED).splitlines()
    assert lines[:4] == [
        "rank 2 (member 8f3a-2, pid 20817) on node-3: killed by SIGKILL (from outside)",
        "  in generation 4, after step 120",
        "  done about it: restart 1 of 10, after 0.5 s",
        "  the last lines of its stderr:",
    ]
    assert lines[4:] == [f"    line {n}" for n in range(30, 50)]


def test_an_exception_is_told_with_its_traceback():
    lines = str(RAISED).splitlines()
    assert lines[0] == (
        "a worker in no group (member none, pid 71) on node-4: RuntimeError: a bug, "
        "at update of step 121"
    )
    assert lines[2:] == [f"    {line}".rstrip() for line in TRACEBACK.rstrip().splitlines()]


def test_the_first_in_time_wins_and_its_consequences_are_none():
    root = RootCause()
    assert not str(root)
    root.failed(KILLED)
    root.failed(RAISED)
    assert str(root) == str(KILLED)


def test_what_was_made_good_is_no_cause_of_what_comes_later():
    root = RootCause()
    root.failed(KILLED)
    root.trained(4)  # a step of the generation that lost it proves nothing
    assert str(root) == str(KILLED)
    root.trained(5)
    root.failed(RAISED)
    assert str(root) == str(RAISED)


def test_hints_follow_the_evidence():
    assert hint("SIGKILL", 1, True).startswith("out of memory: the kernel's OOM killer struck")
    assert "counts no kill" in hint("SIGKILL", 0, True)
    assert hint("SIGKILL", 0, False) == "out of memory? dmesg would tell"
    assert "/dev/shm" in hint("SIGBUS", 0, True)
    assert hint("code 1", 1, True) == hint("signal 40", 0, True) == ""


def test_the_exception_is_the_last_line():
    assert last_line(TRACEBACK) == "RuntimeError: a bug"
    assert last_line("\n \n") == last_line("") == ""


def test_fields_for_an_event_are_those_that_say_something():
    assert set(RAISED.fields()) == {"who", "how", "generation", "step", "place", "text"}
