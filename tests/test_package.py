"""The front door: public names, errors, light imports, and `elastic.train` in a world of one."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import elastic
from elastic import errors
from elastic.training import randomness
from tests.training.crew import job, make_state

LAYERS = ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"]


def test_every_public_name_is_there():
    for name in elastic.__all__:
        assert getattr(elastic, name).__name__ == name
        assert name in dir(elastic)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'elastic' has no attribute 'trian'"):
        elastic.trian  # noqa: B018


def test_the_version_is_that_of_the_distribution():
    text = (elastic.__spec__.origin or "").replace("elastic/__init__.py", "pyproject.toml")
    with open(text) as file:
        assert f'version = "{elastic.__version__}"' in file.read()


@pytest.mark.parametrize(
    ("given", "threads"),
    [({}, "1"), ({"ELASTIC_THREADS": "3"}, "3"), ({"OPENBLAS_NUM_THREADS": "2"}, None)],
)
def test_threads_are_pinned_before_numpy_is_loaded(given, threads):
    """B6: unless the user has said otherwise."""
    clean = {k: v for k, v in os.environ.items() if k not in (*LAYERS, "ELASTIC_THREADS")}
    code = f"import os, elastic; print([os.environ[name] for name in {LAYERS}])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=clean | given, capture_output=True, text=True, check=True)
    expected = [threads] * 3 if threads else ["2", "1", "1"]
    assert done.stdout.strip() == str(expected)


# -- errors --------------------------------------------------------------------------------------


def test_the_tree_of_errors_is_as_drawn():
    """What is drawn in the docstring is what there is, but for errors of other rooms."""
    drawn = re.findall(r"[├└]── (\w+) +(\(\w+)?", errors.__doc__)
    here = [name for name, elsewhere in drawn if not elsewhere]
    found = {name for name, kind in vars(errors).items() if isinstance(kind, type)} - {
        "ElasticError"
    }
    assert found == set(here)
    assert all(issubclass(getattr(errors, name), errors.ElasticError) for name in here)


def test_retryable_is_a_type():
    retryable = {n for n in elastic.__all__ if is_retryable(getattr(elastic, n))}
    assert retryable == {"RetryableError", "Aborted", "StoreUnavailable"}


def is_retryable(value):
    return isinstance(value, type) and issubclass(value, errors.RetryableError)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [("ConfigError", ValueError), ("DataError", ValueError), ("NonFiniteError", ArithmeticError)],
)
def test_bad_input_is_also_what_python_calls_it(kind, builtin):
    assert issubclass(getattr(errors, kind), builtin)


def test_an_abort_names_the_peer_and_the_generation():
    error = errors.Aborted("b is gone", peer="b", generation=4)
    assert (str(error), error.peer, error.generation) == ("b is gone", "b", 4)


# -- a world of one ------------------------------------------------------------------------------


@pytest.fixture
def _alone(monkeypatch):
    for name in ("ELASTIC_CONTROL_FD", "ELASTIC_AGENT_PID"):
        monkeypatch.delenv(name, raising=False)
    with randomness.restored():
        yield


@pytest.mark.usefixtures("_alone")
def test_train_returns_how_it_ended():
    """B7: the same digests as any other run of the same job."""
    results = []
    for _ in range(2):
        state = make_state(history=[])
        asked = job(state)
        result = elastic.train(
            state,
            asked.pairs[0].train_step,
            on_step=asked.on_step,
            on_epoch=asked.on_epoch,
            epochs=1,
        )
        results.append(result)
    assert results[0] == results[1]
    assert (result.steps, result.world.size, result.world.rank) == (3, 1, 0)
    assert result.digest == state.digest()
    assert result.state_digest == state.state_digest()
    assert result.metrics == state.metrics
    assert len(state.history) == 5


@pytest.mark.usefixtures("_alone")
def test_train_leaves_the_users_streams_alone():
    """B3: but for the draw of a seed by a loader that has none."""
    import numpy as np

    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    elastic.train(make_state(), job().pairs[0].train_step, steps=1)
    assert np.random.rand() == expected


@pytest.mark.usefixtures("_alone")
def test_bad_input_is_an_error_before_anything_is_trained():
    state = make_state()
    before = state.state_digest()
    with pytest.raises(elastic.ConfigError, match="either epochs= or steps="):
        elastic.train(state, print)
    assert state.state_digest() == before
