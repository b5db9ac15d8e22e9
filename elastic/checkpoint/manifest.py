"""The last file of a checkpoint: what the others must be. No IO.

{"format": 1, "step": 12, "generation": 3, "fingerprint": "…", "lineage": "…",
 "created": 1767225600.0, "parts": {"arrays.safetensors": {"size_bytes": 4096,
 "digest": "sha256:…"}, …}, "digest": "sha256:… of this object without digest"}
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from elastic.checkpoint.policy import Name
from elastic.errors import CheckpointError
from elastic.wire import from_json, to_json

__all__ = ["MAX_MANIFEST_BYTES", "Manifest", "Part"]

FORMAT = 1
MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True)
class Part:
    """One file: its size and 'sha256:…'."""

    size_bytes: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint is of, and what its parts must be.

    `fingerprint` tells models apart; `lineage` is the running hash of the training so far;
    `created` is wall time, for people.
    """

    step: int
    generation: int
    fingerprint: str
    lineage: str
    created: float
    parts: dict[str, Part] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def name(self) -> Name:
        """The name of the directory that it belongs into."""
        return Name(self.step, self.generation)

    def same_state(self, other: Manifest) -> bool:
        """Whether both describe equal bytes of the same training."""
        return (self.name, self.fingerprint, self.lineage, self.parts) == (
            other.name,
            other.fingerprint,
            other.lineage,
            other.parts,
        )

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        body = to_json(self)
        return json.dumps({**body, "digest": _digest(body)}, indent=1).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Return the manifest that a file holds.

        Raises:
            CheckpointError: it is torn, was changed, or is of a format that is unknown here.
        """
        body = _parsed(data)
        if body.pop("digest", None) != _digest(body):
            raise CheckpointError("the manifest was changed: its digest does not fit")
        if body.get("format") != FORMAT:
            raise CheckpointError(
                f"this version reads checkpoints of format {FORMAT}, got {body.get('format')!r}; "
                "use the version of elastic that wrote it"
            )
        try:
            return from_json(cls, body)
        except ValueError as error:
            raise CheckpointError(f"the manifest is malformed: {error}") from None


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise CheckpointError("the manifest is torn: it is not JSON") from None
    if not isinstance(body, dict):
        raise CheckpointError("the manifest is malformed: it is not an object")
    return body


def _digest(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
