"""The first code of a worker: `python -u -m elastic.agent.bootstrap [-m] script args…`.

It ties the worker's life to its agent's, runs the user's script as `python` itself would, and
tells the agent where the script failed. Without numpy: what the script imports is its own affair.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import faulthandler
import io
import os
import pkgutil
import runpy
import signal
import sys
import threading
import traceback
import types

from elastic.control import ENV_AGENT_PID, EXIT_REFUSED, Failure
from elastic.errors import RefusedError
from elastic.telemetry.channel import ChannelClosed, channel_to_agent

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_OUR_FILES = {__file__, runpy.__file__, "<frozen runpy>"}
_DEFAULT_PLACE = "import or after elastic.train"
_TRACEBACK_CHARS = 100_000


def main(argv: list[str]) -> None:
    """Run the script named in `argv`; leaves by SystemExit if it fails or wants to."""
    _die_with_parent(int(os.environ[ENV_AGENT_PID]))
    _tie_forks()
    _dump_when_asked()
    try:
        _run(argv)
    except RefusedError as error:
        print(f"refused: {error}", file=sys.stderr)
        sys.exit(EXIT_REFUSED)
    except Exception as error:  # noqa: BLE001  # whatever the user's code raises ends this worker
        _report(error)
        sys.exit(1)


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os.kill(os.getpid(), signal.SIGKILL)


def _tie_forks() -> None:
    """Let the worker's own forks end with it (PROTOCOL P1).

    Only those of its main thread: the signal comes when the forking thread ends, not the process.
    """
    parent: int | None = None

    def before() -> None:
        nonlocal parent
        by_main = threading.current_thread() is threading.main_thread()
        parent = os.getpid() if by_main else None

    def in_child() -> None:
        if parent is not None:
            _die_with_parent(parent)

    os.register_at_fork(before=before, after_in_child=in_child)


def _dump_when_asked() -> None:
    """Write the stacks of all threads to stderr on SIGQUIT: the agent asks a worker that hangs.

    Done in C, so the interpreter need not answer; as are those of native code that crashes.
    """
    faulthandler.enable()
    faulthandler.register(signal.SIGQUIT, all_threads=True)


def _run(argv: list[str]) -> None:
    if argv[0] == "-m":
        sys.argv = argv[1:]  # run_module puts the file's path in place of the name
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    elif pkgutil.get_importer(argv[0]) is None:  # neither a folder nor a zip
        sys.argv = argv
        _run_file(argv[0])
    else:
        sys.argv = argv
        runpy.run_path(argv[0], run_name="__main__")


def _run_file(script: str) -> None:
    # runpy would show the script another sys.argv[0] than python does, and take its module out of
    # sys.modules before the functions that it gave to atexit run
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    module = types.ModuleType("__main__")
    module.__file__ = os.path.abspath(script)
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    with io.open_code(module.__file__) as file:
        code = compile(file.read(), module.__file__, "exec", dont_inherit=True)
    exec(code, module.__dict__)


def _report(error: Exception) -> None:
    """Print the traceback and tell the agent: a second failure at one place ends the job (S7)."""
    _strip_our_frames(error)
    sys.excepthook(type(error), error, error.__traceback__)
    text = "".join(traceback.format_exception(error))[-_TRACEBACK_CHARS:]
    place = getattr(error, "elastic_place", _DEFAULT_PLACE)
    channel = channel_to_agent()
    if channel is not None:
        with contextlib.suppress(ChannelClosed):
            channel.send(Failure(str(place), text))


def _strip_our_frames(error: Exception) -> None:
    frames: types.TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in _OUR_FILES:
        frames = frames.tb_next
    error.__traceback__ = frames


if __name__ == "__main__":
    main(sys.argv[1:])
