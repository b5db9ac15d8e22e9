"""Tiers: plain `pytest` is quick and offline; `--all` adds etcd, processes and many seeds."""

from __future__ import annotations

import pytest

HEAVY = ("etcd", "e2e", "simulation", "soak")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the heavy tiers: " + ", ".join(HEAVY))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all"):
        return
    light = [item for item in items if not any(item.get_closest_marker(m) for m in HEAVY)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(light)])
    items[:] = light
