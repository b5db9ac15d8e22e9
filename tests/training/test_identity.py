"""The fingerprint: what must be equal for equal bits, in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import threadpoolctl

from elastic import __version__
from elastic.control import ENV_THREADS
from elastic.training.agreement import MACHINE
from elastic.training.identity import Identity, differences, identity, pin_threads

TELL = """
import json
from elastic.training.identity import identity
print(json.dumps(identity("", "").strict))
"""


def test_it_names_all_that_decides_bits():
    """B6."""
    said = identity("sha256:model", "5 steps of 8 samples").strict
    assert said["model"] == "sha256:model"
    assert said["schedule"] == "5 steps of 8 samples"
    assert said["elastic"] == __version__
    assert said.keys() == {
        "script",
        "model",
        "schedule",
        "threads",
        "elastic",
        "python",
        "numpy",
        "BLAS",
        "processor features",
        "hash seed",
        "arithmetic",
        "mixed machines",
    }
    assert all(type(value) is str and value for value in said.values())
    assert identity("sha256:model", "5 steps of 8 samples").strict == said


def test_threads_are_pinned_though_numpy_was_imported_before(monkeypatch):
    """B6: another number of threads gives other bits."""
    before = {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    monkeypatch.setenv(ENV_THREADS, "2")
    try:
        assert pin_threads() == 2
        pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
        assert pools
        assert {pool["num_threads"] for pool in pools} <= {1, 2}  # as many as there are cores
        monkeypatch.setenv(ENV_THREADS, "1")
        assert pin_threads() == 1
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} == {1}
    finally:
        for pool in threadpoolctl.threadpool_info():
            threadpoolctl.threadpool_limits({pool["prefix"]: before[pool["filepath"]]})


def told_by(tmp_path, script, **env):
    """What a process of its own says of itself."""
    path = tmp_path / "train.py"
    path.write_text(script)
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONHASHSEED", ENV_THREADS)}
    done = subprocess.run(
        [sys.executable, str(path)], env=clean | env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_other_scripts_threads_and_hash_seeds_differ(tmp_path):
    """B6: and nothing else does, between two processes of one machine."""
    one = told_by(tmp_path, TELL)
    other = told_by(tmp_path, TELL + "\n", PYTHONHASHSEED="0", **{ENV_THREADS: "2"})
    differing = {name for name in one if one[name] != other[name]}
    assert differing == {"script", "threads", "hash seed"}
    assert (one["threads"], one["hash seed"]) == ("1", "random")
    assert (other["threads"], other["hash seed"]) == ("2", "0")


def test_no_script_is_interactive(monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    assert identity("", "").strict["script"] == "interactive"


# -- mixed machines ------------------------------------------------------------------------------


def test_what_speaks_of_the_machine_is_free_where_mixed_ones_are_allowed(monkeypatch):
    """B6: script, model and schedule never are; nor may one member allow what another does not."""
    strict = identity("m", "s")
    assert (strict.free, strict.strict["mixed machines"]) == ({}, "refused")
    for off in ("", "0"):
        monkeypatch.setenv("ELASTIC_ALLOW_MIXED", off)
        assert identity("m", "s") == strict
    monkeypatch.setenv("ELASTIC_ALLOW_MIXED", "1")
    mixed = identity("m", "s")
    assert mixed.free.keys() == MACHINE
    assert mixed.strict["mixed machines"] == "allowed"
    assert {"script", "model", "schedule", "elastic", "hash seed"} < mixed.strict.keys()


def test_differences_are_told_with_both_sides():
    """B6."""
    told = [Identity.of({"numpy": v, "python": "3"}, mixed=True).free for v in ("1", "1", "2")]
    assert differences(told) == "rank 0 has numpy '1', rank 2 has '2'"
    assert differences(told[:2]) == differences([{}, {}]) == ""
