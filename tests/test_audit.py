"""The audit file (PROTOCOL D2, S3): what it proves, and every way in which it can be wrong."""

from __future__ import annotations

import json
import random
import tracemalloc

import pytest

from elastic import audit
from elastic.audit import Announcement, Leaf, Verifier, chain, line, multiset, verify

START = "5a" * 32
TORN = '{"step": 6, "ep\n'


def story(epochs=2, steps=4, leaves=2, size=3, first=0):
    """Return the lines of a run: an opening line, then `epochs` epochs of `steps` steps."""
    lines = [{"open": 0, "lineage": START}]
    lineage, step = START, 0
    for epoch in range(first, first + epochs):
        order = list(range(steps * leaves * size))
        random.Random(epoch).shuffle(order)
        announced = Announcement(len(order), multiset(order))
        for at in range(steps):
            step += 1
            part = order[at * leaves * size :]
            held = [Leaf(i, i % 2, tuple(part[i * size : i * size + size])) for i in range(leaves)]
            lineage = chain(lineage, step, held)
            lines.append(line(step, epoch, 1, lineage, held, None if at else announced))
    return lines


def verified(lines):
    verifier = Verifier()
    for said in lines:
        verifier.feed(said if isinstance(said, str) else json.dumps(said) + "\n")
    return verifier.report()


def rechained(lines, lineage=START):
    """Return the lines with a hash chain that fits them: a lie told consistently."""
    told = []
    for said in lines:
        if "leaves" in said:
            held = [Leaf(leaf, rank, tuple(indices)) for leaf, rank, indices in said["leaves"]]
            lineage = chain(lineage, said["step"], held)
            said = {**said, "lineage": lineage}
        told.append(said)
    return told


def test_a_whole_run_is_ok_and_counted():
    """D2: two epochs of 4 steps of 2 leaves of 3 samples."""
    report = verified(story())
    assert report == audit.Report("ok", 8, 2, 48, 0, {0: 8, 1: 8}, ())
    assert report.ok


def test_an_empty_file_is_ok():
    assert verified([]) == audit.Report("ok")


def test_a_file_may_begin_with_its_first_epoch():
    assert verified(story()[1:]).verdict == "ok"


def test_an_unfinished_epoch_is_a_prefix():
    report = verified(story()[:-2])
    assert (report.verdict, report.steps, report.epochs) == ("ok", 6, 1)


def test_a_late_file_is_verified_from_its_opening_line():
    """D2: a late agent's file opens with (step, hash)."""
    lines = story()
    late = [{"open": 2, "lineage": lines[2]["lineage"]}, *lines[3:]]
    report = verified(late)
    assert (report.verdict, report.steps, report.epochs) == ("ok", 6, 1)
    assert report.notes == ("epoch 0 began before the file: it cannot be whole",)


def test_a_late_file_with_a_wrong_hash_is_found():
    late = [{"open": 2, "lineage": START}, *story()[3:]]
    assert "line 2: the lineage of step 3 should be" in verified(late).verdict


def test_a_sampler_may_repeat_samples_that_the_epoch_announced():
    """D2: weighted samplers repeat by design; the multiset is the drawn index list's."""
    held = [Leaf(0, 0, (7, 7, 3))]
    first = line(1, 0, 1, chain(START, 1, held), held, Announcement(3, multiset([3, 7, 7])))
    assert verified([{"open": 0, "lineage": START}, first]).verdict == "ok"


def test_a_repeated_line_supersedes_whoever_computed_it():
    """S3: at-least-once, keyed by step, equal in (step, leaf, indices)."""
    lines = story()
    again = {**lines[4], "generation": 2}
    again["leaves"] = [[leaf, 9, indices] for leaf, _, indices in again["leaves"]]
    report = verified([*lines[:5], again, *lines[5:]])
    assert (report.verdict, report.steps, report.superseded) == ("ok", 8, 1)
    assert report.leaves_by_rank[9] == 2


def test_a_resume_line_voids_the_steps_after_it():
    """D2: the steps after the checkpoint are trained again, here across the end of an epoch."""
    lines = story()
    resume = {"resume": 3, "lineage": lines[3]["lineage"]}
    report = verified([*lines[:7], resume, *lines[4:]])
    assert (report.verdict, report.steps, report.epochs, report.samples) == ("ok", 8, 2, 48)


def test_a_resume_from_before_the_file_voids_all_of_it():
    """A late agent's file, and then the job falls back to an older checkpoint."""
    lines = story()
    late = [{"open": 5, "lineage": lines[5]["lineage"]}, *lines[6:8]]
    report = verified([*late, {"resume": 2, "lineage": lines[2]["lineage"]}, *lines[3:]])
    assert (report.verdict, report.steps, report.epochs) == ("ok", 6, 1)
    assert "resumed after step 2, which the file does not show" in report.notes


def test_a_resume_after_steps_trained_elsewhere_leaves_a_gap():
    lines = story()
    resume = {"resume": 5, "lineage": lines[5]["lineage"]}
    report = verified([*lines[:3], resume, *lines[6:]])
    assert (report.verdict, report.steps) == ("ok", 5)
    assert "resumed after step 5, which the file does not show" in report.notes


def test_a_file_may_begin_with_a_resume_line():
    lines = story()
    resumed = [{"resume": 4, "lineage": lines[4]["lineage"]}, *lines[5:]]
    assert verified(resumed).verdict == "ok"


def test_a_second_job_may_open_in_the_same_file():
    report = verified([*story(), *story()])
    assert (report.verdict, report.steps) == ("ok", 16)


def test_a_torn_last_line_is_noted():
    lines = story()
    report = verified([*lines, json.dumps(lines[-1])[:30]])
    assert report.verdict == "ok"
    assert report.notes == ("line 10 is torn: a crash while it was written",)


def test_a_torn_line_before_a_resume_line_is_noted():
    lines = story()
    resume = {"resume": 5, "lineage": lines[5]["lineage"]}
    report = verified([*lines[:6], TORN, resume, *lines[6:]])
    assert report.verdict == "ok"
    assert report.notes == ("line 7 is torn: a crash while it was written",)


@pytest.mark.parametrize(
    "garbage", [[TORN], [TORN, TORN], [TORN, TORN, {"open": 0, "lineage": ""}]]
)
def test_garbage_that_no_crash_leaves_is_an_error(garbage):
    lines = story()
    sentence = "line 5: not a line of an audit file: no JSON"
    assert verified([*lines[:4], *garbage, *lines[4:]]).verdict == sentence
    assert verified([*lines[:4], *garbage[:2]]).verdict == sentence


def edited(step, edit):
    """Return a story in which the line of `step` was edited and the hash chain made to fit."""
    lines = story()
    said = json.loads(json.dumps(lines[step]))
    edit(said)
    return rechained([*lines[:step], said, *lines[step + 1 :]])


def lose_a_sample(said):
    said["leaves"][1][2].pop()


def repeat_a_sample(said):
    said["leaves"][1][2][0] = said["leaves"][0][2][0]


def one_too_many(said):
    said["leaves"][1][2].append(99)


def swap_leaves(said):
    said["leaves"].reverse()


def repeat_a_leaf(said):
    said["leaves"][1][0] = 0


def no_leaves(said):
    said["leaves"] = []


def next_epoch(said):
    said["epoch"] += 1


def skip_an_epoch(said):
    said["epoch"] += 5


def forget_the_announcement(said):
    del said["epoch_count"], said["epoch_multiset"]


@pytest.mark.parametrize(
    ("step", "edit", "sentence"),
    [
        (3, lose_a_sample, "line 6: epoch 1 begins at step 5, after 23 of 24 samples of epoch 0"),
        (3, repeat_a_sample, "line 5: epoch 0 ends at step 4 with other samples than it announced"),
        (4, one_too_many, "line 5: epoch 0 has 25 samples of 24"),
        (3, swap_leaves, "line 4: step 3 wants the leaves 0, 1, … in order, got [1, 0]"),
        (3, repeat_a_leaf, "line 4: step 3 wants the leaves 0, 1, … in order, got [0, 0]"),
        (3, no_leaves, "line 4: step 3 wants the leaves 0, 1, … in order, got []"),
        (3, next_epoch, "line 4: epoch 1 begins at step 3, after 12 of 24 samples of epoch 0"),
        (5, skip_an_epoch, "line 6: step 5 of epoch 6 follows the end of epoch 0"),
        (5, forget_the_announcement, "line 6: epoch 1 begins at step 5 without its count"),
    ],
)
def test_each_way_to_train_otherwise_is_named(step, edit, sentence):
    """D2: even where the hash chain was made to fit."""
    assert verified(edited(step, edit)).verdict.startswith(sentence)


def without_chain(change):
    lines = story()
    change(lines)
    return lines


def drop_a_step(lines):
    del lines[3]


def exchange_samples_of_two_steps(lines):
    lines[2]["leaves"], lines[3]["leaves"] = lines[3]["leaves"], lines[2]["leaves"]


def repeat_a_step_with_other_samples(lines):
    lines.insert(5, rechained([edited(4, repeat_a_sample)[4]], lines[3]["lineage"])[0])


def resume_from_elsewhere(lines):
    lines.insert(5, {"resume": 3, "lineage": START})


def begin_inside(lines):
    del lines[:3]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (drop_a_step, "line 4: step 4 follows step 2"),
        (exchange_samples_of_two_steps, "line 3: the lineage of step 2 should be"),
        (
            repeat_a_step_with_other_samples,
            "line 6: step 4 is repeated with other samples than before",
        ),
        (resume_from_elsewhere, "line 6: the lineage at the resumed step should be"),
        (begin_inside, "line 1: the file begins inside a run, without an opening line"),
    ],
)
def test_each_way_to_tamper_with_the_file_is_named(change, sentence):
    assert verified(without_chain(change)).verdict.startswith(sentence)


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "7",
        '{"step": 1}',
        '{"open": "0", "lineage": "00"}',
        '{"open": true, "lineage": "00"}',
        '{"resume": 1}',
        '{"open": 1, "lineage": "00", "extra": 1}',
    ],
)
def test_another_json_object_is_not_a_line(text):
    assert "line 1: not a line of an audit file" in verified([text + "\n"]).verdict


@pytest.mark.parametrize(
    "leaf", [1, [0, 0], [0, 0, []], [0, 0, [-1]], [0, 0, [1.5]], [0, "a", [1]], [0, 0, [1 << 63]]]
)
def test_another_form_of_leaf_is_refused(leaf):
    said = {**story()[1], "leaves": [leaf]}
    assert verified([said]).verdict.endswith("a leaf is [leaf, rank, [index, …]]")


def test_only_the_first_error_is_reported():
    lines = without_chain(drop_a_step)
    assert verified([*lines, "garbage\n"]).verdict == "line 4: step 4 follows step 2"


def test_the_chain_ignores_ranks_and_nothing_else():
    """S2: any worker that applied the steps has the same lineage."""
    held = [Leaf(0, 0, (1, 2)), Leaf(1, 0, (3,))]
    moved = [Leaf(0, 5, (1, 2)), Leaf(1, 6, (3,))]
    others = [
        chain(START, 2, held),
        chain("00", 1, held),
        chain(START, 1, [Leaf(0, 0, (1,)), Leaf(1, 0, (2, 3))]),
        chain(START, 1, [Leaf(0, 0, (2, 1)), Leaf(1, 0, (3,))]),
    ]
    assert chain(START, 1, held) == chain(START, 1, moved)
    assert len({chain(START, 1, held), *others}) == 5


def test_the_multiset_knows_repetitions_but_no_order():
    assert multiset([1, 2, 2]) == multiset([2, 1, 2]) != multiset([1, 2])
    assert multiset([]) == "0" * 32


def test_verify_reads_a_file_and_blank_lines(tmp_path):
    path = tmp_path / "audit.jsonl"
    path.write_text("\n".join(json.dumps(said) for said in story()) + "\n\n")
    assert verify(path).steps == 8


def test_verify_takes_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"\xff\xfe\x00garbage\n")
    assert "line 1" in verify(path).verdict


def test_verify_raises_where_there_is_no_file(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        verify(tmp_path / "nowhere")


def test_memory_grows_with_steps_and_not_with_samples():
    lines = [json.dumps(said) + "\n" for said in story(epochs=1, steps=20, leaves=2, size=2000)]
    verifier = Verifier()
    tracemalloc.start()
    for text in lines:
        verifier.feed(text)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert verifier.report().samples == 80_000
    assert held < 100_000


def test_old_marks_are_forgotten_after_their_epoch(monkeypatch):
    monkeypatch.setattr(audit, "REMEMBERED_STEPS", 3)
    lines = story(epochs=4)
    assert verified(lines).verdict == "ok"
    resume = {"resume": 2, "lineage": lines[2]["lineage"]}
    assert "resumed after step 2, which the file" in verified([*lines, resume]).notes[0]
