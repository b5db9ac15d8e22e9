"""The simulation can fail: each of these bugs, put into a core, is found within a few seeds."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from elastic.collectives import core as mailbox
from elastic.rendezvous import core as rendezvous
from elastic.rendezvous import wish
from elastic.testing import Failed, Scenario, Simulation, draw_scenario
from elastic.testing.simulation import kept
from elastic.training import agreement
from elastic.training import core as training
from elastic.training import events as ev
from elastic.training.standing import go_on

pytestmark = pytest.mark.simulation
KEPT = kept(Path(__file__).with_name("kept.jsonl"))
SEEDS = range(400)


def no_fence(patch: Any) -> None:
    """Messages of a past generation are taken for those of now."""
    arrive = mailbox._arrive
    patch.setitem(
        mailbox.TABLE,
        (mailbox.Phase.INSIDE, mailbox.Arrived),
        lambda s, e: arrive(s, replace(e, generation=s.generation)),
    )


def forgets_nothing_outside(patch: Any) -> None:
    """Whoever was outside keeps its State and its leaves as if they were the job's."""
    row = (training.Phase.WAITING, ev.Admitted)
    patch.setitem(training.TABLE, row, lambda s, e, job: go_on(s._replace(id=e.id)))


def keeps_leaves_of_old_steps(patch: Any) -> None:
    """What was held for a step is held for the next."""
    applied = training._on_applied

    def wrong(s: Any, event: Any, job: Any) -> Any:
        after, commands = applied(s, event, job)
        return after._replace(held=s.held), commands

    patch.setitem(training.TABLE, (training.Phase.APPLYING, ev.Applied), wrong)


def deals_all_again(patch: Any) -> None:
    """After a loss every leaf is dealt anew, also those that are held."""
    patch.setattr(training, "deal_missing", lambda n, held: training.deal(n, len(held)))


def nobody_is_behind(patch: Any) -> None:
    """Whoever misses the last step is not sent its result."""
    decide = agreement.decide
    patch.setattr(training, "decide", lambda answers: replace(decide(answers), result={}))


def hooks_do_not_begin_again(patch: Any) -> None:
    """Hooks that some have not finished are not run again."""
    decide = agreement.decide
    patch.setattr(training, "decide", lambda answers: replace(decide(answers), rerun=False))


def leaves_without_hand_over(patch: Any) -> None:
    """All that have State leave in the change by which others join."""
    patch.setattr(training, "_leaves", lambda s: s.agreed.leaves)


def suspicion_is_proof(patch: Any) -> None:
    """A lost lease kills: the others go on without a member that lives."""

    def wrong(s: Any, events: Any, now: float, cfg: Any) -> Any:
        members = s.record.members if s.record else ()
        lost = (event.id for event in events if event.id in members)
        return replace(s, gone=s.gone | dict.fromkeys(lost, "?")), ()

    for row in [row for row in rendezvous.TABLE if row[1] is rendezvous.ev.MemberGone]:
        patch.setitem(rendezvous.TABLE, row, wrong)


def admits_the_dead_again(patch: Any) -> None:
    """That a key was deleted is forgotten at once."""
    patch.setattr(rendezvous, "REMEMBERED", 0)
    patch.setattr(rendezvous, "_drop", lambda s, ids: s)


def never_readmits(patch: Any) -> None:
    """A member that was fenced is not told, and waits for ever."""
    tell = rendezvous._tell_group

    def wrong(*arguments: Any) -> Any:
        s, commands = tell(*arguments)
        kept = tuple(c for c in commands if not isinstance(c, rendezvous.do.Readmit))
        return s, kept

    patch.setattr(rendezvous, "_tell_group", wrong)


def loses_candidates(patch: Any) -> None:
    """Nobody tells the workers who would join."""
    patch.setattr(rendezvous, "candidates", lambda s, cfg: ())
    patch.setattr(wish, "candidates", lambda s, cfg: ())


def never_writes_again(patch: Any) -> None:
    """A lost write is never tried again."""
    failed = rendezvous._on_store_failed

    def wrong(*arguments: Any) -> Any:
        s, commands = failed(*arguments)
        return replace(s, busy=True), commands

    for row in [row for row in rendezvous.TABLE if row[1] is rendezvous.ev.StoreFailed]:
        patch.setitem(rendezvous.TABLE, row, wrong)


def feeds_on_after_hooks_that_wrote(patch: Any) -> None:
    """Newcomers follow by results that do not say what hooks wrote."""
    patch.setattr(training, "spoil", lambda s: s)


BUGS = (
    feeds_on_after_hooks_that_wrote,
    no_fence,
    forgets_nothing_outside,
    keeps_leaves_of_old_steps,
    deals_all_again,
    nobody_is_behind,
    hooks_do_not_begin_again,
    leaves_without_hand_over,
    suspicion_is_proof,
    admits_the_dead_again,
    never_readmits,
    loses_candidates,
    never_writes_again,
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_is_found(monkeypatch, bug):
    bug(monkeypatch)
    found = next(filter(None, map(cause, chain(KEPT.values(), map(draw_scenario, SEEDS)))), None)
    assert found is not None, f"no seed of {SEEDS} has found it"
    assert not isinstance(found, TypeError | AttributeError | NameError), "the bug itself is wrong"


def cause(scenario: Scenario) -> BaseException | None:
    """What a scenario ends with, if it fails."""
    try:
        Simulation(scenario).run()
    except Failed as failed:
        return failed.__cause__
    return None
