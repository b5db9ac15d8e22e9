"""Groups are closed at the end of each test, and their mailboxes checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from elastic.collectives import core
from tests.collectives.company import Company


@pytest.fixture
def company() -> Iterator[Company]:
    made = Company()
    yield made
    for group in made.groups:
        core.invariants(group._mailbox.standing)
        group.close()
