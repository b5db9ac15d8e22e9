"""Going back to before a hook: without copies while it leaves modules and optimizers alone."""

from __future__ import annotations

import numpy as np
import pytest

import elastic.tensor as torch
from elastic.errors import Aborted
from elastic.tensor import nn, optim
from elastic.training.state import State
from elastic.training.undo import Undo


class Case:
    """A State, and hooks run on it."""

    def __init__(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        self.state = State(model=model, optimizer=optimizer, best=1.0, table=np.zeros(2))
        self.weight = model[0].weight
        self.step()
        optimizer.zero_grad()
        self.undo = Undo(self.state)
        self.kept: list[dict] = []
        self.calls = 0

    def step(self):
        self.state.optimizer.zero_grad()
        self.state.model(torch.randn(4, 2)).sum().backward()
        self.state.optimizer.step()

    def run(self, *acts):
        """Run a hook that does all this."""

        def hook():
            self.calls += 1
            for act in acts:
                act(self.state)

        self.undo.run("hook", hook, self.kept.append)

    @property
    def copies(self) -> bool:
        """Whether State before the last hook is a copy."""
        kept = self.kept[-1]["parts"]["model"]["0.weight"]
        return not np.shares_memory(kept, self.weight.detach().numpy())

    def back(self) -> str:
        """Go back; return the digest of State then."""
        self.state.restore(self.kept[-1])
        return self.state.state_digest()


@pytest.fixture
def case():
    return Case()


def note(state):
    state.best += 1
    state.table[0] += 1
    state.optimizer.param_groups[0]["lr"] *= 0.5


def abort(state):
    raise Aborted("a peer is lost")


WRITES = {
    "an operation": lambda s: s.model[0].weight.data.mul_(0.9),
    "an array": lambda s: s.model[0].weight.detach().numpy().fill(3),
    "load_state_dict": lambda s: s.model.load_state_dict(
        {name: 2 * value for name, value in s.model.state_dict().items()}
    ),
    "optimizer.step": lambda s: (s.model(torch.ones(4, 2)).sum().backward(), s.optimizer.step()),
    "a buffer": lambda s: s.model(torch.ones(4, 2)),
}


def test_a_hook_that_leaves_modules_alone_is_copied_once(case):
    """S7. The first time nobody knows what it will do."""
    for _ in range(3):
        case.run(note)
    assert case.calls == 3
    assert not case.copies
    assert (case.state.best, case.state.table[0]) == (4.0, 3.0)
    case.step()  # nothing is locked


def test_it_is_taken_back_after_it_has_ended_and_where_it_was_aborted(case):
    """S7. Another member may have been aborted in its last collective."""
    case.run(note)
    before = case.state.state_digest()
    case.run(note)
    assert case.back() == before
    with pytest.raises(Aborted):
        case.run(note, abort)
    assert case.back() == before
    case.step()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_hook_that_writes_after_all_is_run_again_and_then_copied(case, write):
    """S7. Its effect is there once; from then on State before it is a copy."""
    case.run(note)
    before, best = case.state.state_digest(), case.state.best
    case.run(note, write)
    assert case.calls == 3
    assert case.state.best == best + 1
    assert case.copies
    after = case.state.state_digest()
    assert case.back() == before
    case.state.optimizer.zero_grad()
    case.run(note, write)
    assert case.calls == 4
    assert case.state.state_digest() == after


def test_a_hook_that_writes_from_the_beginning_is_run_once(case):
    for _ in range(2):
        case.run(WRITES["an operation"])
        assert case.copies
    assert case.calls == 2


def test_whether_a_hook_wrote_is_said_of_this_run_alone(case):
    """S9. Members that have seen other runs of it must say the same, or they part."""
    writes = (note, *WRITES.values())
    assert not _wrote(case)
    for write in writes:
        assert _wrote(case, write)
        assert not _wrote(case), "neither locked nor copied does it count what was earlier"


def _wrote(case, *acts) -> bool:
    case.run(*acts)
    return case.undo.wrote(case.kept[-1])


def test_what_else_a_hook_raises_is_its_own(case):
    case.run(note)
    for error in (ValueError("mine"), RuntimeError("mine"), KeyError("mine")):

        def fail(state, error=error):
            raise error

        with pytest.raises(type(error), match="mine"):
            case.run(fail)
    assert case.calls == 4
    case.step()
