"""Checkpoints on disk (PROTOCOL C, P4): whole or absent; a corpus of hostile files."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from elastic.checkpoint import files, storage
from elastic.checkpoint.manifest import Manifest
from elastic.checkpoint.storage import ARRAYS, MANIFEST, SKELETON, CheckpointDir
from elastic.errors import CheckpointError, ConfigError, StateError

TREE = {
    "model": {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)},
    "empty": np.empty((0, 2)),
    "bf16": np.array([1.5, -0.0], ml_dtypes.bfloat16),
    "complex": (np.array(1 + 2j), np.array([[3j]]), np.array([1j], np.complex64)),
    "step": 12,
    "rng": (2**127, [float("inf")]),
}


class Said(list):
    """What the directory had to say."""

    def __call__(self, message):
        self.append(message)


@pytest.fixture
def said():
    return Said()


@pytest.fixture
def directory(tmp_path, said):
    return CheckpointDir(tmp_path / "checkpoints", keep=3, say=said)


def write(directory, step, generation=1, tree=None, fingerprint="model", lineage="9f"):
    return directory.write(step, generation, tree or {"step": step}, fingerprint, lineage)


def entries(directory):
    return sorted(os.listdir(directory.path)) if directory.path.exists() else []


def test_what_was_written_is_loaded(directory, said):
    """C1: all dtypes and shapes, bit for bit."""
    manifest = directory.write(12, 3, TREE, "model", "9f")
    assert entries(directory) == ["step-00000012-g3"]
    offer = directory.newest("model")
    assert offer is not None
    assert offer.manifest == manifest
    assert (offer.name.step, offer.name.generation, offer.manifest.lineage) == (12, 3, "9f")
    assert storage.format.tree_digest(directory.load(offer)) == storage.format.tree_digest(TREE)
    assert said == []


def test_loaded_arrays_can_be_written_and_are_contiguous(directory):
    """B5: what is loaded has the one canonical layout."""
    directory.write(12, 3, {"x": np.ones((2, 3)).T, "c": np.ones((2, 3), complex)}, "model", "")
    tree = directory.load(directory.newest("model"))
    for array in tree.values():
        assert array.flags.c_contiguous
        array += 1


def test_the_arrays_can_be_read_by_anybody(directory):
    directory.write(12, 3, {"model": TREE["model"]}, "model", "9f")
    arrays = load_file(directory.path / "step-00000012-g3" / ARRAYS)
    assert np.array_equal(arrays["model/weight"], TREE["model"]["weight"])


def test_a_missing_or_empty_directory_offers_nothing(directory):
    assert directory.newest("model") is None
    directory.path.mkdir()
    (directory.path / "notes.txt").write_text("the user's")
    assert directory.newest("model") is None


def test_the_newest_step_is_offered_then_the_newest_generation(directory):
    for step, generation in [(9, 5), (12, 1), (12, 2), (10, 7)]:
        write(directory, step, generation)
    assert str(directory.newest("model").name) == "step-00000012-g2"


def test_a_directory_keeps_the_last_steps_and_files_of_others(directory):
    directory.path.mkdir()
    (directory.path / "notes.txt").write_text("the user's")
    for step in range(1, 6):
        write(directory, step)
    kept = [f"step-0000000{step}-g1" for step in (3, 4, 5)]
    assert entries(directory) == ["notes.txt", *kept]


def test_a_job_that_fell_back_deletes_nothing_newer(directory):
    for step in (7, 8, 9):
        write(directory, step)
    write(directory, 2)
    assert len(entries(directory)) == 4


@pytest.mark.parametrize("keep", [0, -1])
def test_a_directory_keeps_at_least_one(tmp_path, keep):
    with pytest.raises(ConfigError, match=f"at least 1 checkpoint, got keep={keep}"):
        CheckpointDir(tmp_path, keep=keep)


# -- several writers -----------------------------------------------------------------------------


def test_a_second_writer_of_the_same_state_keeps_the_first(directory):
    first = write(directory, 3)
    inode = (directory.path / "step-00000003-g1").stat().st_ino
    assert write(directory, 3) == first
    assert (directory.path / "step-00000003-g1").stat().st_ino == inode
    assert entries(directory) == ["step-00000003-g1"]


@pytest.mark.parametrize("spoil", ["truncate", "manifest", "file", "other", "empty"])
def test_a_writer_replaces_what_is_not_the_same_state(directory, spoil):
    target = directory.path / "step-00000003-g1"
    write(directory, 3, lineage="other" if spoil == "other" else "9f")
    if spoil == "truncate":
        os.truncate(target / ARRAYS, 3)
    if spoil == "manifest":
        (target / MANIFEST).unlink()
    if spoil in ("file", "empty"):
        shutil.rmtree(target)
    if spoil == "file":
        target.write_text("not a directory")
    if spoil == "empty":
        target.mkdir()
    write(directory, 3)
    assert directory.load(directory.newest("model")) == {"step": 3}
    assert entries(directory) == ["step-00000003-g1"]


def test_many_writers_of_one_step_do_not_break_each_other(directory):
    """C1: hosts that share the directory write at the same moment."""
    start = threading.Barrier(6)
    failures = []

    def host(number):
        start.wait()
        try:
            for step in (1, 2, 3, 4):
                CheckpointDir(directory.path, keep=2).write(step, 1, TREE, "model", "9f")
        except CheckpointError as error:
            failures.append((number, error))

    threads = [threading.Thread(target=host, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert str(directory.newest("model").name) == "step-00000004-g1"
    assert [name for name in entries(directory) if name.startswith(".tmp")] == []


def test_a_writer_gives_up_when_it_is_replaced_again_and_again(directory, monkeypatch):
    write(directory, 3, lineage="other")
    monkeypatch.setattr(files, "discard", lambda path: None)
    with pytest.raises(CheckpointError, match="being replaced by others"):
        write(directory, 3)
    assert entries(directory) == ["step-00000003-g1"]


# -- what cannot be written ----------------------------------------------------------------------


@contextmanager
def files_limited_to(size_bytes):
    """Let every write beyond the limit fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("tree", [{"x": np.ones(10_000)}, {"text": "x" * 10_000}])
def test_a_write_that_runs_out_of_space_leaves_nothing(directory, tree):
    """C1: nothing half-written; the checkpoint before it stays."""
    write(directory, 1)
    with files_limited_to(4096), pytest.raises(CheckpointError, match="no checkpoint can be"):
        write(directory, 2, tree=tree)
    assert entries(directory) == ["step-00000001-g1"]
    assert directory.load(directory.newest("model")) == {"step": 1}


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EDQUOT, "free space"),
        (errno.EROFS, "that can be written"),
        (errno.EACCES, "that can be written"),
        (errno.EIO, "Input/output error"),
    ],
)
@pytest.mark.parametrize("verb", ["mkdir", "fsync", "rename"])
def test_each_verb_that_fails_leaves_nothing_and_names_the_cure(
    directory, monkeypatch, number, cure, verb
):
    write(directory, 1)

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, verb, fail)
        with pytest.raises(CheckpointError, match=cure):
            write(directory, 2)
    assert entries(directory) == ["step-00000001-g1"]


def test_a_path_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    directory = CheckpointDir(path)
    with pytest.raises(CheckpointError, match="use a directory"):
        write(directory, 1)
    with pytest.raises(CheckpointError, match=r"cannot be read.*use another checkpoint directory"):
        directory.newest("model")


def test_a_tree_that_cannot_be_saved_touches_nothing(directory):
    with pytest.raises(StateError):
        write(directory, 1, tree={"x": object()})
    assert entries(directory) == []


KILLED = """
import os, signal, sys
from elastic.checkpoint import files
from elastic.checkpoint.storage import CheckpointDir
at = int(sys.argv[2])
real, calls = os.fsync, []
def fsync(fd):
    calls.append(fd)
    if len(calls) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    real(fd)
os.fsync = fsync
CheckpointDir(sys.argv[1]).write(2, 1, {"step": 2}, "model", "9f")
"""


@pytest.mark.parametrize("at", [1, 3, 4])
def test_a_writer_killed_at_any_sync_leaves_only_a_temp_that_the_next_one_cleans(directory, at):
    """C1: kill -9 while the arrays, the manifest or the directory are synced."""
    write(directory, 1)
    killed = subprocess.run([sys.executable, "-c", KILLED, directory.path, str(at)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len([name for name in entries(directory) if name.startswith(".tmp-")]) == 1
    assert directory.newest("model").name.step == 1
    write(directory, 3)
    assert entries(directory) == ["step-00000001-g1", "step-00000003-g1"]


def test_temps_of_living_writers_are_left_alone(directory):
    directory.path.mkdir()
    mine = files.make_temp(directory.path)
    other_host = directory.path / ".tmp-another-host-1-0badcafe"
    other_host.mkdir()
    not_ours = directory.path / ".tmp-notes"
    not_ours.mkdir()
    write(directory, 1)
    assert {mine.name, other_host.name, not_ours.name} <= set(entries(directory))


def test_temps_of_another_host_are_cleaned_when_nothing_changed_for_long(directory):
    directory.path.mkdir()
    old = directory.path / ".tmp-another-host-1-0badcafe"
    old.mkdir()
    (old / ARRAYS).write_bytes(b"half")
    hours_ago = old.stat().st_mtime - 2 * files.STALE_AFTER_S
    os.utime(old, (hours_ago, hours_ago))
    write(directory, 1)
    assert old.name in entries(directory), "a file in it has just changed"
    os.utime(old / ARRAYS, (hours_ago, hours_ago))
    write(directory, 2)
    assert old.name not in entries(directory)


# -- hostile files -------------------------------------------------------------------------------


def seal(path, **changes):
    """Write a manifest that fits the parts as they are now: the attacker can hash, too."""
    manifest = Manifest.from_bytes((path / MANIFEST).read_bytes())
    parts = {name: files.part_of(path / name) for name in (ARRAYS, SKELETON)}
    changes = {"parts": parts, **changes}
    (path / MANIFEST).write_bytes(replace(manifest, **changes).to_bytes())


def truncated(path):
    os.truncate(path / ARRAYS, (path / ARRAYS).stat().st_size - 1)


def emptied(path):
    os.truncate(path / SKELETON, 0)


def grown(path):
    with open(path / ARRAYS, "ab") as file:
        file.write(b"\0")


def bit_flipped(path):
    data = bytearray((path / ARRAYS).read_bytes())
    data[-1] ^= 1
    (path / ARRAYS).write_bytes(data)


def part_missing(path):
    (path / SKELETON).unlink()


def manifest_missing(path):
    (path / MANIFEST).unlink()


def manifest_torn(path):
    os.truncate(path / MANIFEST, 40)


def manifest_huge(path):
    with open(path / MANIFEST, "r+b") as file:
        file.truncate(1 << 40)


def manifest_of_another_step(path):
    seal(path, step=99)


def manifest_of_another_generation(path):
    seal(path, generation=99)


def part_outside(path):
    (path.parent / "secret").write_text("secret")
    part = files.part_of(path.parent / "secret")
    seal(path, parts={"../secret": part, SKELETON: files.part_of(path / SKELETON)})


def part_absolute(path):
    seal(
        path,
        parts={
            "/etc/passwd": files.part_of(Path("/etc/passwd")),
            ARRAYS: files.part_of(path / ARRAYS),
        },
    )


def part_too_many(path):
    parts = {name: files.part_of(path / name) for name in (ARRAYS, SKELETON)}
    seal(path, parts={**parts, "extra": parts[ARRAYS]})


def part_is_a_link(path):
    shutil.move(path / ARRAYS, path.parent / "elsewhere")
    (path / ARRAYS).symlink_to(path.parent / "elsewhere")


def part_is_a_pipe(path):
    (path / ARRAYS).unlink()
    os.mkfifo(path / ARRAYS)


def part_is_a_directory(path):
    (path / ARRAYS).unlink()
    (path / ARRAYS).mkdir()


def is_a_file(path):
    shutil.rmtree(path)
    path.write_text("")


def is_an_empty_directory(path):
    shutil.rmtree(path)
    path.mkdir()


SKIPPED = {
    truncated: "arrays.safetensors is torn",
    emptied: "skeleton.json is torn: 0 of",
    grown: "arrays.safetensors is torn",
    bit_flipped: "arrays.safetensors was changed: its digest does not fit",
    part_missing: "skeleton.json cannot be read: No such file",
    manifest_missing: "manifest.json cannot be read: No such file",
    manifest_torn: "the manifest is torn",
    manifest_huge: "manifest.json has 1099511627776 bytes of 1048576 allowed",
    manifest_of_another_step: "its manifest is that of step-00000099-g1",
    manifest_of_another_generation: "its manifest is that of step-00000002-g99",
    part_outside: "its manifest names the parts ['../secret', 'skeleton.json']",
    part_absolute: "its manifest names the parts ['/etc/passwd', 'arrays.safetensors']",
    part_too_many: "its manifest names the parts",
    part_is_a_link: "arrays.safetensors cannot be read",
    part_is_a_pipe: "arrays.safetensors is not a regular file",
    part_is_a_directory: "arrays.safetensors cannot be read: Is a directory",
    is_a_file: "manifest.json cannot be read: Not a directory",
    is_an_empty_directory: "manifest.json cannot be read: No such file",
}


@pytest.mark.parametrize("spoil", SKIPPED, ids=lambda spoil: spoil.__name__)
def test_a_hostile_checkpoint_is_skipped_for_the_one_before(directory, said, spoil):
    """C1, promise 6: with a message that names it and says why."""
    write(directory, 1)
    write(directory, 2, tree=TREE)
    path = directory.path / "step-00000002-g1"
    spoil(path)
    assert directory.load(directory.newest("model")) == {"step": 1}
    (message,) = said
    assert message.startswith(f"skipping checkpoint {path}: {SKIPPED[spoil]}")


@pytest.mark.parametrize("spoil", SKIPPED, ids=lambda spoil: spoil.__name__)
def test_a_directory_of_which_none_loads_refuses_to_start(directory, spoil):
    """C1: never silently from the beginning."""
    write(directory, 2, tree=TREE)
    spoil(directory.path / "step-00000002-g1")
    with pytest.raises(CheckpointError, match=r"none of 1 checkpoints.*--fresh"):
        directory.newest("model")


def test_a_foreign_checkpoint_refuses_to_start_and_names_both_models(directory):
    write(directory, 1, fingerprint="ours")
    write(directory, 2, fingerprint="theirs")
    with pytest.raises(CheckpointError, match=r"'theirs', this one has 'ours'.*or --fresh"):
        directory.newest("ours")


def test_a_foreign_one_before_a_torn_one_refuses_to_start(directory):
    write(directory, 1, fingerprint="theirs")
    write(directory, 2, fingerprint="ours")
    truncated(directory.path / "step-00000002-g1")
    with pytest.raises(CheckpointError, match="another model"):
        directory.newest("ours")


def huge_header(path):
    data = (path / ARRAYS).read_bytes()
    (path / ARRAYS).write_bytes((1 << 62).to_bytes(8, "little") + data[8:])


def not_safetensors(path):
    (path / ARRAYS).write_bytes(b"\x80\x04\x95pickle")


def offsets_outside(path):
    header = json.dumps({"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    (path / ARRAYS).write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)


def wrong_dtype(path):
    save_file({"x": np.zeros(2, np.int32)}, path / ARRAYS)


def wrong_shape(path):
    save_file({"x": np.zeros((1, 2), np.float32)}, path / ARRAYS)


def wrong_names(path):
    save_file({"y": np.zeros(2, np.float32)}, path / ARRAYS)


def skeleton_asks_for_more(path):
    text = (path / SKELETON).read_text().replace("[2]", "[1099511627776]")
    (path / SKELETON).write_text(text)


def skeleton_is_a_pickle(path):
    (path / SKELETON).write_bytes(b"cos\nsystem\n(S'true'\ntR.")


SEALED = {
    huge_header: "arrays.safetensors is malformed",
    not_safetensors: "arrays.safetensors is malformed",
    offsets_outside: "arrays.safetensors is malformed",
    wrong_dtype: "array 'x' should be float32 of shape .2,., got int32",
    wrong_shape: "array 'x' should be float32 of shape .2,., got float32 of shape .1, 2.",
    wrong_names: "holds other arrays than skeleton.json names",
    skeleton_asks_for_more: "asks for 4398046511104 bytes of",
    skeleton_is_a_pickle: "not JSON",
}


@pytest.mark.parametrize("spoil", SEALED, ids=lambda spoil: spoil.__name__)
def test_a_hostile_checkpoint_with_fitting_digests_is_refused_by_load(directory, spoil):
    """P4: bounds are checked before anything is allocated, and nothing is unpickled."""
    write(directory, 2, tree={"x": np.zeros(2, np.float32)})
    path = directory.path / "step-00000002-g1"
    spoil(path)
    seal(path)
    offer = directory.newest("model")
    with pytest.raises(CheckpointError, match=SEALED[spoil]):
        directory.load(offer)


def test_what_was_changed_after_the_offer_is_not_loaded(directory):
    write(directory, 2, tree=TREE)
    offer = directory.newest("model")
    bit_flipped(offer.path)
    with pytest.raises(CheckpointError, match="its digest does not fit"):
        directory.load(offer)


def test_what_was_replaced_after_the_offer_is_not_loaded(directory):
    """Whoever was promised one lineage must not be given another."""
    write(directory, 2)
    offer = directory.newest("model")
    write(directory, 2, lineage="another")
    with pytest.raises(CheckpointError, match="was replaced by another state"):
        directory.load(offer)


def test_the_digest_is_that_of_the_file(directory):
    manifest = write(directory, 2, tree=TREE)
    data = (directory.path / "step-00000002-g1" / ARRAYS).read_bytes()
    assert manifest.parts[ARRAYS].digest == f"sha256:{sha256(data).hexdigest()}"
    assert manifest.parts[ARRAYS].size_bytes == len(data)


# -- starting anew -------------------------------------------------------------------------------


def test_fresh_moves_checkpoints_aside_and_loses_nothing(directory):
    """C1: the cure named by a refusal."""
    assert directory.set_aside() is None
    write(directory, 1, fingerprint="theirs")
    assert directory.set_aside() == directory.path / "old-1"
    assert directory.newest("ours") is None
    write(directory, 1, fingerprint="ours")
    assert directory.set_aside() == directory.path / "old-2"
    old = CheckpointDir(directory.path / "old-1")
    assert old.load(old.newest("theirs")) == {"step": 1}
    assert entries(directory) == ["old-1", "old-2"]
