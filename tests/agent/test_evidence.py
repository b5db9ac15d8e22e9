"""What an agent writes down: events, audit, verdict, report; a full disk stops none of the run."""

from __future__ import annotations

import json
import resource

import pytest

from elastic import audit
from elastic.agent.evidence import AuditFile, Evidence
from elastic.agent.settings import AgentSettings
from elastic.audit import Announcement, Leaf
from elastic.control import Committed, Event, Group
from elastic.world import Member

WHO = {"worker": "a-0", "rank": 0, "local_rank": 0, "pid": 70}
OTHER = {"worker": "a-1", "rank": 1, "local_rank": 1, "pid": 71}


def lines(steps=3, lineage="00"):
    """An opening line, and so many steps of an epoch of four samples each."""
    made = [{"open": 0, "lineage": lineage}]
    for step in range(1, steps + 1):
        leaves = [Leaf(0, 0, (0, 1)), Leaf(1, 1, (2, 3))]
        lineage = audit.chain(lineage, step, leaves)
        announced = Announcement(4, audit.multiset(range(4)))
        made.append(audit.line(step, step - 1, 1, lineage, leaves, announced))
    return made


class Place:
    """A folder with the files of one agent."""

    def __init__(self, folder):
        self.folder = folder
        self.said = []

    def evidence(self):
        files = {name: self.folder / name for name in ("events", "audit", "report")}
        return Evidence(AgentSettings("train.py", **files), self.said.append)

    def events(self):
        return [json.loads(line) for line in (self.folder / "events").read_text().splitlines()]

    @property
    def report(self):
        return json.loads((self.folder / "report").read_text())


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def group(generation, size, cause="why"):
    return Group(generation, tuple(Member(f"m{i}") for i in range(size)), cause)


def told(evidence, steps):
    """Let two workers tell of these lines, as the loop does."""
    for line in steps:
        step = line.get("step", line.get("open", 0))
        evidence.observe(Committed(step, 1.0 + step, {"loss": 0.5}, line), **WHO)
        evidence.observe(Committed(step, 1.1 + step, {"loss": 0.5}), **OTHER)


def test_the_story_of_a_run(place):
    """D2, design promise 8: every step once, whoever tells of it first."""
    evidence = place.evidence()
    evidence.event("start", **WHO)
    evidence.grouped(group(1, 2))
    told(evidence, lines())
    evidence.observe(Event("sync", 9.0, {"generation": 1}), **WHO)
    assert evidence.finish({"steps": 3, "digest": "d", "state_digest": "s"}) == "ok"
    events = place.events()
    assert [event["event"] for event in events] == ["start", "step", "step", "step", "sync"]
    assert [event["step"] for event in events[1:4]] == [1, 2, 3]
    assert (events[1]["loss"], events[1]["worker"]) == (0.5, "a-0")
    assert (events[4]["rank"], events[4]["generation"]) == (0, 1)
    assert place.report["audit"] == "ok"
    assert (place.report["steps"], place.report["digest"]) == (3, "d")
    assert place.report["world_sizes"] == [2]
    assert audit.verify(place.folder / "audit").ok


def test_a_group_is_noted_once(place):
    """All workers of an agent are told of it."""
    evidence = place.evidence()
    for generation, size in ((1, 3), (1, 3), (3, 2), (2, 9)):
        evidence.grouped(group(generation, size))
    evidence.finish(None)
    assert place.report["world_sizes"] == [3, 2]
    assert sum("generation 1" in line for line in place.said) == 1


def test_a_recovery_is_said_with_its_phases(place):
    evidence = place.evidence()
    phases = {f"{name}_s": 0.1 for name in ("detect", "rendezvous", "sync", "first_step")}
    fields = {"step": 4, "cause": "b died", "lost": ["b"], **phases, "total_s": 0.4}
    for rank in (0, 1):
        evidence.observe(Event("recovery", 1.0, fields), **WHO | {"rank": rank})
    evidence.finish(None)
    assert sum("recovered at step 4 in 400 ms" in line for line in place.said) == 1
    assert len(place.report["recoveries"]) == 1


def test_what_the_lines_do_not_prove_is_the_verdict(place):
    """D2: a sample that was lost is named, here and in the report."""
    evidence = place.evidence()
    opening, first, _, third = lines()
    told(evidence, [opening, first, third])
    verdict = evidence.finish(None)
    assert verdict == "line 3: step 3 follows step 1"
    assert place.report["audit"] == verdict


def test_without_lines_there_is_nothing_to_verify():
    evidence = Evidence(AgentSettings("train.py"), pytest.fail)
    assert evidence.finish(None) == ""


def test_lines_are_verified_without_a_file_too():
    evidence = Evidence(AgentSettings("train.py"), lambda line: None)
    told(evidence, lines())
    assert evidence.finish(None) == "ok"


# -- the audit file ------------------------------------------------------------------------------


def test_a_later_agent_goes_on_in_the_same_file(tmp_path):
    """D2: what a crash tore is not glued to what follows."""
    path, said = tmp_path / "audit", []
    first = AuditFile(path, said.append)
    for line in lines(2):
        first.append(line)
    first.close()
    with path.open("a") as file:
        file.write('{"step": 3, "epo')
    second = AuditFile(path, said.append)
    second.append({"resume": 2, "lineage": lines(2)[-1]["lineage"]})
    second.append(lines(3)[-1])
    assert second.verdict() == "ok"
    second.close()
    second.close()
    assert said == []
    assert path.read_text().count("\n") == 6


def test_each_line_is_on_disk_when_it_was_taken(tmp_path):
    """An agent that is killed leaves the lines of all committed steps."""
    file = AuditFile(tmp_path / "audit", pytest.fail)
    for number, line in enumerate(lines(), 1):
        file.append(line)
        assert len((tmp_path / "audit").read_text().splitlines()) == number
    file.close()


@pytest.fixture
def small_files():
    """No file may grow beyond 200 bytes: what a full disk is like."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_ends_the_audit_and_nothing_else(tmp_path):
    """It is said once; what stands in the file is a prefix, which is no contradiction."""
    said = []
    file = AuditFile(tmp_path / "audit", said.append)
    for line in lines(5):
        file.append(line)
    assert len(said) == 1
    assert said[0].startswith("the audit is no longer written: ")
    assert file.verdict() == "ok"
    file.close()


def test_a_file_that_is_gone_is_said_and_the_lines_speak(tmp_path):
    said = []
    file = AuditFile(tmp_path / "audit", said.append)
    for line in (lines()[0], lines()[2]):
        file.append(line)
    (tmp_path / "audit").unlink()
    assert file.verdict() == "line 2: step 2 follows step 0"
    assert said[0].startswith("the audit cannot be read again: ")
    file.close()


def test_a_report_that_cannot_be_written_is_said(tmp_path):
    said = []
    settings = AgentSettings("train.py", report=tmp_path / "nowhere" / "report")
    assert Evidence(settings, said.append).finish({"steps": 1}) == ""
    assert said[0].startswith("the report could not be written: ")
