"""The main thread's loop: files that are ready, timers, signals, and what other threads deliver."""

from __future__ import annotations

import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

from elastic.clock import monotonic

__all__ = ["Loop"]


class Loop:
    """One selector, under which everything happens in turn."""

    def __init__(self, stack: ExitStack):
        self.selector = stack.enter_context(selectors.DefaultSelector())
        """Its keys' data are called when their file is ready."""
        self._stack = stack
        self._inbox: deque[Any] = deque()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._wake, self._waker = socket.socketpair()
        for end in (self._wake, self._waker):
            end.setblocking(False)
            stack.callback(end.close)
        self.selector.register(self._wake, selectors.EVENT_READ, self._on_wake)

    def catch_signals(self, on_child: Callable[[], None]) -> None:
        """Deliver the numbers of SIGTERM and SIGINT; call `on_child` when a worker's state changes.

        A worker that is stopped, or goes on, wakes the loop; exits are seen through pidfds.
        """
        before = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._stack.callback(signal.set_wakeup_fd, before)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._catch(number, self._inbox.append)
        self._catch(signal.SIGCHLD, lambda number: on_child())

    def _catch(self, number: signal.Signals, handle: Callable[[int], None]) -> None:
        before = signal.signal(number, lambda number, frame: handle(number))
        self._stack.callback(signal.signal, number, before)

    def deliver(self, item: Any) -> None:
        """Take something from another thread into the main one."""
        self._inbox.append(item)
        with suppress(BlockingIOError):
            self._waker.send(b".")

    def delivered(self) -> Iterator[Any]:
        """Take out what was delivered: numbers of signals, and whatever threads brought."""
        while self._inbox:
            yield self._inbox.popleft()

    def signalled(self) -> int:
        """Return the first signal that is not taken out yet, 0 if there is none."""
        return next((item for item in list(self._inbox) if isinstance(item, int)), 0)

    def at(self, t: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self._timers.append((t, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something when so many seconds have passed."""
        self.at(monotonic() + seconds, action)

    def do_due(self, now: float) -> None:
        """Do what is due."""
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, action in due:
            action()

    def wait(self, alarms: Iterable[float]) -> None:
        """Wait for a file, an alarm or a timer; then let the files that are ready be handled."""
        wait_s = min([*alarms, *(t for t, _ in self._timers)]) - monotonic()
        for key, _ in self.selector.select(max(0.0, wait_s)):
            key.data()

    def _on_wake(self) -> None:
        with suppress(BlockingIOError):
            self._wake.recv(4096)
