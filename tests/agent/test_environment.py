"""The environment of a worker."""

from __future__ import annotations

from elastic.agent.environment import worker_environment
from elastic.agent.settings import AgentSettings


def environment(inherited=None, **settings):
    return worker_environment(
        inherited or {},
        AgentSettings("train.py", **settings),
        local_rank=2,
        agent_pid=41,
        control_fd=7,
        activity_fd=8,
    )


def test_the_agent_introduces_itself():
    env = environment(job="job7", token="secret", bind="10.0.0.5", threads=3)
    assert env["ELASTIC_CONTROL_FD"] == "7"
    assert env["ELASTIC_ACTIVITY_FD"] == "8"
    assert env["ELASTIC_AGENT_PID"] == "41"
    assert env["ELASTIC_JOB"] == "job7"
    assert env["ELASTIC_TOKEN"] == "secret"
    assert env["ELASTIC_BIND"] == "10.0.0.5"
    assert env["ELASTIC_THREADS"] == "3"


def test_what_fixes_the_bits_is_not_left_to_the_host():
    """PROTOCOL B6: BLAS threads are part of the job's identity."""
    env = environment({"OMP_NUM_THREADS": "16", "PATH": "/bin"}, threads=2)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        assert env[name] == "2"
    assert env["PATH"] == "/bin"


def test_the_hash_seed_is_fixed_unless_set():
    """PROTOCOL B6."""
    assert environment()["PYTHONHASHSEED"] == "0"
    assert environment({"PYTHONHASHSEED": "5"})["PYTHONHASHSEED"] == "5"


def test_a_worker_keeps_the_memory_that_it_frees_unless_the_user_says_otherwise():
    """S9: no step waits for the kernel's pages, and least of all while a newcomer takes some."""
    assert environment()["MALLOC_MMAP_MAX_"] == "0"
    assert environment({"MALLOC_MMAP_MAX_": "65536"})["MALLOC_MMAP_MAX_"] == "65536"


def test_torch_variables_are_those_of_this_host():
    """PROTOCOL U5."""
    env = environment({"RANK": "99"}, nproc=4)
    assert (env["RANK"], env["LOCAL_RANK"]) == ("2", "2")
    assert (env["WORLD_SIZE"], env["LOCAL_WORLD_SIZE"]) == ("4", "4")
    assert (env["MASTER_ADDR"], env["MASTER_PORT"]) == ("127.0.0.1", "29500")


def test_mixed_machines_are_allowed_by_flag_or_environment():
    """PROTOCOL B6."""
    assert environment(allow_mixed=True)["ELASTIC_ALLOW_MIXED"] == "1"
    assert "ELASTIC_ALLOW_MIXED" not in environment()


def test_fresh_is_only_what_this_agent_was_asked():
    assert environment(fresh=True)["ELASTIC_FRESH"] == "1"
    assert "ELASTIC_FRESH" not in environment({"ELASTIC_FRESH": "1"})


def test_grpc_is_quiet_and_keeps_out_of_forks():
    """PROTOCOL P1: nothing of ours forks after gRPC has started."""
    env = environment()
    assert (env["GRPC_VERBOSITY"], env["GRPC_ENABLE_FORK_SUPPORT"]) == ("ERROR", "0")
    assert environment({"GRPC_VERBOSITY": "DEBUG"})["GRPC_VERBOSITY"] == "DEBUG"
