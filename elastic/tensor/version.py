"""The version of PyTorch whose interface is spoken, where programs look for it."""

from __future__ import annotations

__version__ = "2.13.0"
debug = False
cuda: str | None = None
hip: str | None = None
git_version = "unknown"
