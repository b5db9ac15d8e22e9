"""Checkpoints: bytes on disk that survive. Speaks plain trees of values and numpy arrays only.

`format` turns a tree into a header and buffers (also for sending it to another worker), `manifest`
says what a checkpoint must be, `policy` decides which to keep and which one wins, and `storage`
is the only file that knows the disk's layout.
"""

from elastic.checkpoint.format import ArraySpec, pack, sizes, tree_digest, unpack
from elastic.checkpoint.manifest import Manifest
from elastic.checkpoint.policy import Name, winner
from elastic.checkpoint.storage import CheckpointDir, Offer

__all__ = [
    "ArraySpec",
    "CheckpointDir",
    "Manifest",
    "Name",
    "Offer",
    "pack",
    "sizes",
    "tree_digest",
    "unpack",
    "winner",
]
