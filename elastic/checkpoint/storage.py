"""Checkpoints in a directory, which several hosts may share.

    checkpoints/
      step-00000012-g3/
        arrays.safetensors    every array, under the path at which it stands in the tree
        skeleton.json         the header of elastic.checkpoint.format: the tree around them
        manifest.json         written last: sizes and digests of the two
      old-1/                  what `--fresh` set aside
      .tmp-…                  being written or deleted

A checkpoint is filled under a temporary name, synced to disk and renamed: it is visible only when
whole (PROTOCOL C). Reading verifies every digest.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from elastic import clock
from elastic.checkpoint import files, format, policy
from elastic.checkpoint.manifest import MAX_MANIFEST_BYTES, Manifest
from elastic.checkpoint.policy import Name
from elastic.errors import CheckpointError, ConfigError

__all__ = ["CheckpointDir", "Offer"]

_log = logging.getLogger(__name__)

ARRAYS = "arrays.safetensors"
SKELETON = "skeleton.json"
MANIFEST = "manifest.json"
PUBLISH_ATTEMPTS = 5

_CURE = "use another checkpoint directory, or --fresh to set these aside"
_WRITE_CURES = {
    errno.ENOSPC: "free space on the disk or keep fewer checkpoints",
    errno.EDQUOT: "free space on the disk or keep fewer checkpoints",
    errno.EROFS: "use a directory that can be written",
    errno.EACCES: "use a directory that can be written",
    errno.EPERM: "use a directory that can be written",
    errno.ENOTDIR: "use a directory, not a file",
    errno.EEXIST: "use a directory, not a file",
}


@dataclass(frozen=True)
class Offer:
    """A verified checkpoint that lies on this host."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> Name:
        """Its step and generation, by which offers are compared."""
        return self.manifest.name


class CheckpointDir:
    """The checkpoints of one job. `say` is told of each one that had to be skipped."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        keep: int = 3,
        say: Callable[[str], None] = _log.warning,
    ):
        if keep < 1:
            raise ConfigError(f"a directory keeps at least 1 checkpoint, got keep={keep}")
        self.path = Path(path)
        self.keep = keep
        self._say = say

    # -- writing -----------------------------------------------------------------------------

    def write(
        self, step: int, generation: int, tree: Any, fingerprint: str, lineage: str
    ) -> Manifest:
        """Return the manifest of the checkpoint that now stands under this step and generation.

        Raises:
            CheckpointError: it cannot be written; nothing of it is left.
            StateError: the tree holds something that cannot be saved.
        """
        manifest = Manifest(step, generation, fingerprint, lineage, created=clock.wall())
        header, arrays = format.pack(tree)
        with self._explained():
            self.path.mkdir(parents=True, exist_ok=True)
            temp = files.make_temp(self.path)
            try:
                files.remove_stale(self.path, own=temp)
                manifest = self._fill(temp, manifest, header, arrays)
                manifest = self._publish(temp, manifest)
            finally:
                shutil.rmtree(temp, ignore_errors=True)
            for name in policy.expired(self._names(), manifest.name, self.keep):
                files.discard(self.path / str(name))
        return manifest

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cure = _WRITE_CURES.get(error.errno or 0, "see the reason")
            reason = f"{error.strerror or error}; {cure}"
        except SafetensorError as error:
            reason = f"{error}; free space on the disk or use another directory"
        else:
            return
        raise CheckpointError(f"no checkpoint can be written to {self.path}: {reason}")

    def _fill(
        self, temp: Path, manifest: Manifest, header: bytes, arrays: list[np.ndarray]
    ) -> Manifest:
        """Write the parts and then the manifest; return it with the parts in it."""
        specs = format.sizes(header, limit_bytes=sum(array.nbytes for array in arrays))
        named = {spec.name: _storable(array) for spec, array in zip(specs, arrays, strict=True)}
        save_file(named, temp / ARRAYS)
        files.sync(temp / ARRAYS)
        files.write_durably(temp / SKELETON, header)
        parts = {name: files.part_of(temp / name) for name in (ARRAYS, SKELETON)}
        whole = replace(manifest, parts=parts)
        files.write_durably(temp / MANIFEST, whole.to_bytes())
        files.sync(temp)
        return whole

    def _publish(self, temp: Path, manifest: Manifest) -> Manifest:
        """Rename into place. Another host may have been faster with the same state: keep that."""
        target = self.path / str(manifest.name)
        for _ in range(PUBLISH_ATTEMPTS):
            try:
                os.rename(temp, target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            else:
                files.sync(self.path)
                return manifest
            standing = self._standing(manifest.name)
            if standing is not None and standing.same_state(manifest):
                return standing
            files.discard(target)
        raise CheckpointError(f"{target} is being replaced by others again and again")

    def _standing(self, name: Name) -> Manifest | None:
        try:
            return self._verified(name).manifest
        except CheckpointError:
            return None

    # -- reading -----------------------------------------------------------------------------

    def newest_name(self) -> Name | None:
        """Return the name of the newest checkpoint, unread: to see whether there is a newer one."""
        return max(self._readable_names(), default=None)

    def newest(self, fingerprint: str) -> Offer | None:
        """Return the newest checkpoint that is whole, or None where there is none at all.

        Raises:
            CheckpointError: it is another model's, or none of several loads; with the cure.
        """
        names = sorted(self._readable_names(), reverse=True)
        for name in names:
            try:
                offer = self._verified(name)
            except CheckpointError as error:
                self._say(f"skipping checkpoint {self.path / str(name)}: {error}")
                continue
            if reason := policy.misfit(offer.manifest.fingerprint, fingerprint):
                raise CheckpointError(f"{offer.path} cannot be resumed: {reason}; {_CURE}")
            return offer
        if names:
            raise CheckpointError(f"none of {len(names)} checkpoints in {self.path} loads; {_CURE}")
        return None

    def load(self, offer: Offer) -> Any:
        """Return the tree of a checkpoint, verified again.

        Raises:
            CheckpointError: it was changed since, or holds something else than it says.
        """
        manifest = self._verified(offer.name).manifest
        if not manifest.same_state(offer.manifest):
            raise CheckpointError(
                f"{offer.path} was replaced by another state since it was offered"
            )
        header = files.read_bounded(offer.path / SKELETON, format.MAX_HEADER_BYTES)
        specs = format.sizes(header, limit_bytes=manifest.parts[ARRAYS].size_bytes)
        return format.unpack(header, _read_arrays(offer.path / ARRAYS, specs))

    def _verified(self, name: Name) -> Offer:
        path = self.path / str(name)
        manifest = Manifest.from_bytes(files.read_bounded(path / MANIFEST, MAX_MANIFEST_BYTES))
        if manifest.name != name:
            raise CheckpointError(f"its manifest is that of {manifest.name}")
        if manifest.parts.keys() != {ARRAYS, SKELETON}:
            raise CheckpointError(f"its manifest names the parts {sorted(manifest.parts)}")
        for part, expected in manifest.parts.items():
            found = files.part_of(path / part)
            if found.size_bytes != expected.size_bytes:
                raise CheckpointError(
                    f"{part} is torn: {found.size_bytes} of {expected.size_bytes} bytes"
                )
            if found != expected:
                raise CheckpointError(f"{part} was changed: its digest does not fit")
        return Offer(path, manifest)

    def _readable_names(self) -> list[Name]:
        try:
            return self._names()
        except OSError as error:
            raise CheckpointError(
                f"{self.path} cannot be read: {error.strerror}; use another checkpoint directory"
            ) from None

    def _names(self) -> list[Name]:
        try:
            entries = os.listdir(self.path)
        except FileNotFoundError:
            return []
        return [name for entry in entries if (name := Name.parse(entry)) is not None]

    # -- starting anew -----------------------------------------------------------------------

    def set_aside(self) -> Path | None:
        """Move all checkpoints to `old-<n>/` and return that, or None if there are none."""
        names = self._readable_names()
        if not names:
            return None
        with self._explained():
            aside = _make_numbered(self.path)
            for name in names:
                try:
                    os.rename(self.path / str(name), aside / str(name))
                except FileNotFoundError:
                    continue  # another host was faster
            files.sync(self.path)
        return aside


def _make_numbered(parent: Path) -> Path:
    number = 1
    while True:
        try:
            os.mkdir(parent / f"old-{number}")
        except FileExistsError:
            number += 1
        else:
            return parent / f"old-{number}"


def _storable(array: np.ndarray) -> np.ndarray:
    """safetensors has no complex128: it lies there as pairs of float64."""
    if array.dtype == np.complex128:
        return array.reshape(*array.shape, 1).view(np.float64)
    return array


def _read_arrays(path: Path, specs: list[format.ArraySpec]) -> list[np.ndarray]:
    try:
        with safe_open(path, framework="np") as file:
            stored = file.keys()
            if set(stored) != {spec.name for spec in specs}:
                raise CheckpointError(f"{path.name} holds other arrays than {SKELETON} names")
            return [_restored(file.get_tensor(spec.name), spec) for spec in specs]
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is malformed: {error}") from None


def _restored(array: np.ndarray, spec: format.ArraySpec) -> np.ndarray:
    if spec.dtype == "complex128" and array.dtype == np.float64 and array.shape[-1:] == (2,):
        return array.view(np.complex128).reshape(array.shape[:-1])
    return array
