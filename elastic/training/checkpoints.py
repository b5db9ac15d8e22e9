"""A job's checkpoints as one worker sees them: what it offers, loads and writes."""

from __future__ import annotations

import os

from elastic import control
from elastic.checkpoint.storage import CheckpointDir, Offer
from elastic.errors import CheckpointError
from elastic.training.commands import Save
from elastic.training.context import Context, say
from elastic.training.events import Saved
from elastic.world import Member

__all__ = ["Checkpoints"]


class Checkpoints:
    """The job's checkpoint directory, if it has one. One member of each host writes.

    Raises: CheckpointError if the newest checkpoint cannot be resumed.
    """

    def __init__(self, context: Context):
        self.context = context
        self._directory: CheckpointDir | None = None
        self._offer: Offer | None = None
        options = context.options
        if options.checkpoint_dir is not None:
            keep = options.checkpoint_keep
            self._directory = CheckpointDir(options.checkpoint_dir, keep, say=say)
            self.newest_offer()

    def newest_offer(self) -> tuple[int, int] | None:
        """Return step and generation of the newest checkpoint here, for a group without State.

        A newcomer that had to wait may find a newer one than when it began.
        """
        standing = self.context.standing
        if self._directory is None or standing.lineage or os.environ.get(control.ENV_FRESH):
            return None
        if self._offer is None or self._directory.newest_name() != self._offer.name:
            self._offer = self._directory.newest(standing.identity["model"])
        if self._offer is None:
            return None
        return self._offer.name.step, self._offer.name.generation

    def load(self) -> str:
        """Load the checkpoint that was offered; return its lineage."""
        assert self._directory is not None
        assert self._offer is not None
        tree = self._directory.load(self._offer)
        self.context.state.restore(tree["state"])
        # what does not say so was written when machines could not be mixed
        self.context.bits_promised = tree.get("bits_promised", True)
        return tree["lineage"]

    def set_aside(self) -> None:
        """The job begins anew (--fresh): an older one's checkpoints would win."""
        if self._directory is not None and self._writes_for_its_host():
            self._directory.set_aside()

    def save(self, command: Save) -> Saved:
        """Write a checkpoint, if this member writes for its host."""
        if self._directory is not None and self._writes_for_its_host():
            try:
                self._write(self._directory, command.step)
                self.context.tell("checkpoint", saved=self.context.state.step)
            except CheckpointError as error:  # training is worth more than a checkpoint
                say(f"warning: no checkpoint of step {self.context.state.step}: {error}")
                self.context.tell("checkpoint", failed=str(error))
        return Saved()

    def _write(self, directory: CheckpointDir, step: int) -> None:
        c = self.context
        tree = {
            "state": c.state.capture(copy=False),
            "lineage": c.standing.lineage,
            "bits_promised": c.bits_promised,
        }
        fingerprint = c.standing.identity["model"]
        directory.write(step, c.world.generation, tree, fingerprint, c.standing.lineage)

    def _writes_for_its_host(self) -> bool:
        assert self.context.told is not None
        members = self.context.told.members
        mine = next(member for member in members if member.id == self.context.standing.id)
        return next(member for member in members if _host(member) == _host(mine)) is mine


def _host(member: Member) -> str:
    return member.address.rpartition(":")[0]
