"""How an agent begins: what keeps it from joining."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from elastic import control
from elastic.agent.loop import Loop
from elastic.agent.opening import join
from elastic.agent.settings import AgentSettings
from elastic.errors import StoreUnavailable


def test_a_signal_while_the_store_is_away_ends_it_as_signals_do():
    """P2: 128 + N, not the exit code of a store that was never reached."""
    with ExitStack() as stack:
        loop = Loop(stack)

        def start():
            loop.deliver(control.Event("refused", 0.0, {}))
            loop.deliver(int(signal.SIGTERM))
            raise StoreUnavailable("nobody answers")

        settings = AgentSettings("train.py", rdzv_timeout_s=60.0)
        with pytest.raises(SystemExit) as ended:
            join(SimpleNamespace(start=start), None, settings, loop.signalled)
    assert ended.value.code == 128 + signal.SIGTERM
