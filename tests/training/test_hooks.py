"""The user's hooks around losses: begun again from the State before them, or left alone."""

from __future__ import annotations

from tests.training.helpers import all_ended_as


def test_hooks_stay_done_if_the_plan_to_repeat_them_comes_to_nothing(crew, alone, apart):
    """S7: who is behind dies too, before it is level; nobody needs the hooks again."""
    ahead, behind, doomed = apart

    def lose_the_other(tag):
        if tag == "move":
            crew.kill(behind)

    ahead.group.trap = lose_the_other
    crew.kill(doomed)
    crew.go_on()
    all_ended_as(alone, [ahead])
