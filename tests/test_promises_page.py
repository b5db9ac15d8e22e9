"""Every promise and every rule has a test that names it, and docs/promises.md says which."""

from tests import promises


def test_each_promise_and_each_rule_is_named_by_a_test():
    everything = {**promises.promises(), **promises.rules()}
    assert len(promises.promises()) == 8
    assert {"M1", "S10", "B7", "D2", "C1", "U5", "P4"} <= everything.keys()
    unproved = sorted(everything.keys() - promises.claims().keys())
    assert not unproved, f"no test's docstring names {', '.join(unproved)}"


def test_the_page_tells_what_the_docstrings_say():
    told = promises.PAGE.read_text("utf-8")
    assert told == promises.page(), "run `python -m tests.promises` to write docs/promises.md anew"
