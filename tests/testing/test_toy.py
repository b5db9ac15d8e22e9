"""The toy model: its digest shows every disorder, and any split of the leaves gives the same."""

from __future__ import annotations

import json
from random import Random

import pytest

from elastic import audit
from elastic.testing.toy import ToyJob


def test_any_split_of_the_leaves_gives_the_same_total():
    """PROTOCOL S5, B2."""
    job, rng = ToyJob(3, leaves=8), Random(0)
    gradients = {leaf: job.gradient("state", 1, leaf) for leaf in range(8)}
    whole = job.total(job.partial(gradients, 1), 1)
    for _ in range(20):
        holders = [{}, {}, {}]
        for leaf, gradient in gradients.items():
            rng.choice(holders)[leaf] = gradient
        sums = {}
        for held in holders:
            sums |= job.partial(held, 1)
        assert job.total(sums, 1) == whole


def test_a_leaf_missing_twice_or_elsewhere_shows():
    job = ToyJob(3, leaves=4)
    gradients = {leaf: job.gradient("state", 1, leaf) for leaf in range(4)}
    whole = job.total(job.partial(gradients, 1), 1)
    three = {leaf: gradients[leaf] for leaf in range(3)}
    assert job.total(job.partial(three, 1), 1) != whole
    swapped = gradients | {0: gradients[1], 1: gradients[0]}
    assert job.total(job.partial(swapped, 1), 1) != whole
    twice = job.partial(gradients, 1) | job.partial(three, 1)
    with pytest.raises(ValueError, match="overlap"):
        job.total(twice, 1)


def test_its_lines_satisfy_the_verifier():
    """PROTOCOL D2: each epoch is a permutation, the last step of one is ragged."""
    job, lineage, verifier = ToyJob(5, steps=7, leaves=6, steps_per_epoch=3), "00", audit.Verifier()
    for step in range(1, 8):
        n = job.leaf_count(step)
        leaves = [audit.Leaf(leaf, 0, job.indices(step, leaf)) for leaf in range(n)]
        lineage = audit.chain(lineage, step, leaves)
        verifier.feed(json.dumps(job.line(step, 1, lineage, leaves)) + "\n")
    report = verifier.report()
    assert report.ok, report
    assert (report.steps, report.epochs) == (7, 2)


def test_hooks_and_an_early_stop_are_part_of_the_job():
    plain, hooked = ToyJob(1), ToyJob(1, hooks=True)
    assert plain.undisturbed() != hooked.undisturbed()
    assert ToyJob(1, steps=8, stop_before=4).undisturbed() == ToyJob(1, steps=3).undisturbed()
