"""The catalog of events is that of the code, and the page is that of the catalog."""

from __future__ import annotations

import ast
import dataclasses
import os
from pathlib import Path

import pytest

from elastic.agent.exposition import METRICS
from elastic.agent.root_cause import Cause
from elastic.telemetry.account import Timing
from elastic.telemetry.catalog import EVENTS, WHO
from elastic.telemetry.recovery import Recovery
from elastic.telemetry.refusals import REFUSED
from elastic.telemetry.stragglers import Straggler

HOUSE = Path(__file__).parents[2]
PAGE = HOUSE / "docs" / "observability.md"


def told_in_code():
    """Names of the events that the code tells: `tell("…")` and `evidence.event("…")`."""
    for room in ("agent", "training"):
        for path in (HOUSE / "elastic" / room).glob("*.py"):
            for call in ast.walk(ast.parse(path.read_text())):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                    continue
                if call.func.attr in ("tell", "event") and call.args:
                    if isinstance(call.args[0], ast.Constant):
                        yield call.args[0].value


def test_every_event_of_the_code_is_in_the_catalog_and_no_other():
    cure = "list it in telemetry/catalog.py, then run this file with REWRITE=1"
    assert {*told_in_code(), REFUSED} == set(EVENTS), cure


@pytest.mark.parametrize(
    ("name", "kind", "besides"),
    [
        ("recovery", Recovery, set()),
        ("timing", Timing, {"step"}),
        ("straggler", Straggler, {"step", "accused", "text"}),
        ("failure", Cause, set()),
    ],
)
def test_fields_are_those_of_the_dataclass(name, kind, besides):
    fields = {field.name for field in dataclasses.fields(kind)} - set(WHO)
    assert set(EVENTS[name].fields) == fields | besides


def events_table():
    rows = ["| event | tells that | fields besides |", "|---|---|---|"]
    for name, kind in EVENTS.items():
        fields = ", ".join(f"`{field}`" for field in kind.fields if field != "*")
        rows.append(f"| `{name}` | {kind.meaning} | {fields} |")
    return rows


def metrics_table():
    rows = ["| metric | kind | labels | tells |", "|---|---|---|---|"]
    for name, what in METRICS.items():
        shown = name + "_total" * (what.kind == "counter")
        labels = ", ".join(f"`{label}`" for label in what.labels)
        rows.append(f"| `{shown}` | {what.kind} | {labels} | {what.help} |")
    return rows


@pytest.mark.parametrize(("name", "table"), [("events", events_table), ("metrics", metrics_table)])
def test_the_page_has_the_table_of_the_code(name, table):
    """REWRITE=1 writes it anew."""
    before, begin, rest = PAGE.read_text().partition(f"<!-- {name}: generated -->\n")
    old, end, after = rest.partition("<!-- end -->")
    new = "\n".join(["", *table(), "", ""])
    if os.environ.get("REWRITE"):
        PAGE.write_text(before + begin + new + end + after)
    else:
        assert old == new, "run with REWRITE=1"
