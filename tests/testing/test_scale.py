"""What a change of membership costs the store grows with the hosts, not with their square."""

from __future__ import annotations

from pathlib import Path

import pytest

from elastic.testing.scale import CHANGES, Cost, main, measure, table

DOC = Path(__file__).parents[2] / "docs" / "scale.md"
HOSTS = (5, 10, 20)


@pytest.fixture(scope="module")
def costs() -> dict[int, dict[str, Cost]]:
    return {hosts: measure(2 * hosts, per_host=2) for hosts in HOSTS}


@pytest.mark.parametrize("change", CHANGES)
def test_one_change_is_one_generation(costs, change):
    assert [costs[hosts][change].generations for hosts in HOSTS] == [1, 1, 1]


@pytest.mark.parametrize("change", CHANGES[1:])
def test_a_change_writes_as_much_at_any_size(costs, change):
    """PROTOCOL M3: nearly always one transaction, whoever proposes."""
    written = {(costs[hosts][change].transactions, costs[hosts][change].keys) for hosts in HOSTS}
    assert len(written) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_news_are_one_a_host_and_a_few(costs, change):
    """PROTOCOL M2: three agents watch the members, the others the record."""
    few, some, many = (costs[hosts][change].news for hosts in HOSTS)
    assert many - some == 2 * (some - few)


def test_to_form_a_group_each_host_writes_once(costs):
    for hosts in HOSTS:
        cost = costs[hosts]["all join"]
        assert cost.transactions == hosts + 2  # and the first token, and the record
        assert cost.keys == 2 * hosts + 2  # the members', the record's and the token's


def test_the_page_says_what_is_counted():
    rows = table({(10, 8): measure(10, 8), (100, 8): measure(100, 8)}).splitlines()
    page = DOC.read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row not in page] == []


def test_main_prints_the_table(capsys):
    assert main(["--workers", "4,6", "--per-host", "2"]) == 0
    assert "| all join | 4 | 2 | 1 |" in capsys.readouterr().out
