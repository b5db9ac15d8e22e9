"""The page that tells an agent what its worker does (PROTOCOL S8)."""

from __future__ import annotations

import mmap
import os
import threading

from elastic.telemetry.activity import Activity, ActivityPage, Doing


def test_the_page_tells_another_mapping_of_it():
    """What is written at one end is read at the other."""
    page, fd = ActivityPage.create()
    theirs = mmap.mmap(fd, 4096)
    os.close(fd)
    assert page.read() is None
    doing = Doing(ActivityPage(theirs))
    with doing.user_code("on_epoch", 5):
        assert str(page.read()) == "on_epoch (step 5)"
        with doing.waiting():
            assert str(page.read()) == "waiting"
            doing.waits_for("member b")
            assert str(page.read()) == "waiting for member b"
        assert page.read().slowest_s == 0.0, "it has not ended once"
        assert page.read().in_user_code
    assert str(page.read()) == "between two steps"
    with doing.user_code("on_epoch", 6):
        assert page.read().slowest_s > 0.0
    page.close()
    theirs.close()


def test_a_torn_page_says_nothing():
    memory = bytearray(4096)
    page = ActivityPage(memory)
    page.write(Activity("sync", 1.0))
    memory[0] |= 1
    assert page.read() is None


def test_another_thread_tells_nothing():
    """A transfer in the background may wait while the training thread computes."""
    page = ActivityPage(bytearray(4096))
    doing = Doing(page)
    with doing.user_code("train_step", 3, 1):
        thread = threading.Thread(target=_wait, args=(doing,))
        thread.start()
        thread.join()
        assert str(page.read()) == "train_step (step 3 micro-batch 1)"


def _wait(doing):
    with doing.waiting():
        doing.waits_for("nobody")


def test_a_closed_page_says_nothing():
    page, fd = ActivityPage.create()
    os.close(fd)
    page.close()
    assert page.read() is None
