"""Where a member listens."""

from __future__ import annotations

import pytest

from elastic.collectives.binding import split_bind
from elastic.errors import ConfigError


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("127.0.0.1", ("127.0.0.1", 0)),
        ("localhost:80", ("localhost", 80)),
        ("::1", ("::1", 0)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_where_to_listen(bind, expected):
    assert split_bind(bind, secret=False) == expected


@pytest.mark.parametrize("bind", ["0.0.0.0", "10.0.0.1:80", "a-host", "::"])
def test_no_listening_beyond_loopback_without_a_token(bind):
    """P3"""
    with pytest.raises(ConfigError, match="only with a job token"):
        split_bind(bind, secret=False)
    assert split_bind(bind, secret=True)
