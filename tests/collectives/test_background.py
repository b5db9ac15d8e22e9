"""Threads that step back."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from elastic.collectives.background import NICENESS, step_back


@pytest.mark.skipif(sys.platform != "linux", reason="a niceness for each thread is Linux's")
def test_a_thread_steps_back_alone():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    told = []

    def act():
        step_back()
        told.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert told == [max(before, NICENESS)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
