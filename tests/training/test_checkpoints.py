"""Checkpoints of real loops: who writes, who resumes, and what an older one lacks."""

from __future__ import annotations

from elastic import control
from elastic.checkpoint.storage import CheckpointDir
from elastic.training.standing import Phase
from tests.training.crew import job
from tests.training.helpers import all_ended_as, first_in


def test_the_next_run_resumes_on_any_number(crew_of, alone, tmp_path):
    """C1, S2: the newest is loaded by whoever has it and sent to the others."""
    where = {"checkpoint_dir": tmp_path, "checkpoint_every": 2}
    first = crew_of()
    first.start(job(**where), job(**where))
    first_in(first, Phase.REDUCING, 3)
    first.close()
    second = crew_of()
    resumed = second.train(job(**where), job(**where), job(), job(**where))
    all_ended_as(alone, resumed)
    assert all("resume" in worker.lines[0] for worker in resumed)
    assert resumed[0].lines[0]["resume"] == 2


def test_fresh_sets_older_checkpoints_aside(crew_of, alone, tmp_path, monkeypatch):
    """C: the job begins anew, and nothing is deleted."""
    crew_of().train(job(checkpoint_dir=tmp_path))
    monkeypatch.setenv(control.ENV_FRESH, "1")
    crew = crew_of()
    (worker,) = crew.train(job(checkpoint_dir=tmp_path))
    assert worker.lines[0]["open"] == 0
    assert list(tmp_path.glob("old-1/step-*"))
    all_ended_as(alone, [worker])


def test_a_checkpoint_that_cannot_be_written_is_a_warning(crew, alone, tmp_path, capfd):
    """C: training is worth more."""
    there = tmp_path / "there"

    def put_a_file_there(state, world):
        there.write_text("not a directory")

    (worker,) = crew.train(job(checkpoint_dir=there, checkpoint_every=2, sync=put_a_file_there))
    all_ended_as(alone, [worker])
    assert "warning: no checkpoint of step 2" in capfd.readouterr().err
    assert [event for event in worker.events("checkpoint") if "failed" in event]


def test_one_member_a_host_writes(crew, tmp_path):
    """C: the lowest rank of each."""
    options = [job(checkpoint_dir=tmp_path / str(i), checkpoint_every=2) for i in range(3)]
    workers = crew.start(*options)
    workers[1].group.address = "host0:2"
    crew.go_on()
    wrote = [bool(worker.events("checkpoint")) for worker in workers]
    assert wrote[2]
    assert sorted(wrote[:2]) == [False, True]


def test_a_checkpoint_from_before_carries_and_mixed_machines_is_resumed(crew_of, alone, tmp_path):
    """C1, U1, B6: it has no carries, and its bits are promised."""
    newer, older = CheckpointDir(tmp_path / "newer"), CheckpointDir(tmp_path / "older")
    crew_of().train(job(steps=2, checkpoint_dir=newer.path))
    offer = newer.newest(job().state.fingerprint())
    tree = newer.load(offer)
    del tree["state"]["carry"], tree["bits_promised"]
    said = offer.manifest
    older.write(said.step, said.generation, tree, said.fingerprint, said.lineage)
    (worker,) = crew_of().train(job(checkpoint_dir=older.path))
    assert worker.lines[0]["resume"] == 2
    assert worker.result.bits_promised
    all_ended_as(alone, [worker])
