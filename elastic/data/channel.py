"""Objects between two processes of one host, their arrays through shared memory.

A channel is a pair of sockets that keep messages apart. An object is pickled; arrays that are
large lie in blocks of shared memory (memfd: nothing has a name, so nothing is left behind), and
only the numbers of the blocks travel. The receiver's arrays are views of them. When it has let go
of the last one, it says so with its next message, and the block is used again: fresh memory costs
the kernel many times what copying does.
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
import weakref
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from math import prod
from typing import Any

import numpy as np

from elastic.tensor import Tensor
from elastic.tensor._tensor import wrap

__all__ = ["Channel", "share_through", "shared_empty"]

_LARGE = 16 << 10  # bytes: smaller arrays travel within the message
_MOST = 64 << 10  # bytes of a message; what does not fit goes into a block, too
_MOST_DESCRIPTORS = 250  # Linux takes 253 with one message
_ROOM_FOR_DESCRIPTORS = socket.CMSG_SPACE(array("i").itemsize * (_MOST_DESCRIPTORS + 1))
_WHOLE, _BY_BLOCK = b"\1", b"\0"  # where the body of a message is


class _Block:
    """Shared memory that this end has made, and how many hold it: arrays here, and the peer."""

    def __init__(self, number: int, size: int):
        self.number = number
        self.size = size
        self.users = 0
        self.descriptor: int | None = os.memfd_create("elastic-data", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, size)
        self.memory = mmap.mmap(self.descriptor, size)
        self.address = np.frombuffer(self.memory, np.uint8).ctypes.data

    def take_descriptor(self) -> int | None:
        """The descriptor, once: the mapping stays without it."""
        descriptor, self.descriptor = self.descriptor, None
        return descriptor


class _Arena:
    """The blocks that one end has made: lent out, or free for the next array of their size."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._free: dict[int, list[_Block]] = {}
        self._at: dict[int, _Block] = {}

    def take(self, nbytes: int) -> _Block:
        """Return a block of at least so many bytes, with one user."""
        size = 1 << (nbytes - 1).bit_length()  # pages that nobody touches cost nothing
        free = self._free.get(size)
        if free:
            block = free.pop()
        else:
            block = _Block(len(self._blocks), size)
            self._blocks.append(block)
            self._at[block.address] = block
        block.users = 1
        return block

    def at(self, address: int) -> _Block | None:
        """Return the block that begins at an address, with one user more."""
        block = self._at.get(address)
        if block is not None:
            block.users += 1
        return block

    def release(self, number: int) -> None:
        """Somebody has let go of a block."""
        block = self._blocks[number]
        block.users -= 1
        if not block.users:
            self._free.setdefault(block.size, []).append(block)

    def empty(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """Return an array whose memory the peer can be shown, not filled."""
        nbytes = prod(shape) * np.dtype(dtype).itemsize
        block = self.take(nbytes)
        root = np.frombuffer(block.memory, np.uint8)
        weakref.finalize(root, self.release, block.number).atexit = False
        return np.ndarray(shape, dtype, memoryview(root))  # type: ignore[arg-type]


class Channel:
    """One end of a pair: what is sent here is received there, in order.

    It is not for several threads. Closing either end, or the death of its process, ends both.
    """

    def __init__(self, end: socket.socket):
        self._socket = end
        _ends_here.add(self)
        self._mine = _Arena()
        self._theirs: dict[int, mmap.mmap] = {}
        self._let_go: deque[int] = deque()  # blocks of the peer's that nobody here holds any more
        self._unsent: deque[tuple[bytes, list[int]]] = deque()

    @staticmethod
    def pair() -> tuple[Channel, socket.socket]:
        """Return one end, and the socket of which another process makes the other end."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Channel(here), there

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    # -- sending -----------------------------------------------------------------------------------

    def send(self, value: Any) -> None:
        """Send a value, waiting until the peer takes it. Raises OSError when the peer is gone."""
        message, descriptors = self._packed(value)
        self._put(message, descriptors, 0)

    def send_later(self, value: Any) -> None:
        """Send a value without ever waiting: what the peer has no room for is kept for `flush`."""
        self._unsent.append(self._packed(value))
        self.flush()

    def empty(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """Return an array, not filled, that is sent without being copied."""
        return self._mine.empty(shape, dtype)

    def flush(self) -> None:
        """Send what was kept, as far as the peer has room."""
        while self._unsent:
            try:
                self._put(*self._unsent[0], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:  # the peer is gone: whoever reads will see that
                self._unsent.clear()
                return
            self._unsent.popleft()

    def _put(self, message: bytes, descriptors: list[int], flags: int) -> None:
        # socket.send_fds and recv_fds of Python 3.11 forget the flags.
        passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))
        self._socket.sendmsg([message], [passed] if descriptors else [], flags)
        for descriptor in descriptors:
            os.close(descriptor)

    def _packed(self, value: Any) -> tuple[bytes, list[int]]:
        """Return a message and the descriptors of the blocks that it is the first to name."""
        pieces: list[Any] = []
        new: list[tuple[int, int]] = []
        descriptors: list[int] = []

        def place(raw: memoryview) -> Any:
            block = self._mine.at(np.frombuffer(raw, np.uint8).ctypes.data)
            if block is None:  # made elsewhere: copied once
                block = self._mine.take(raw.nbytes)
                block.memory[: raw.nbytes] = raw
            descriptor = block.take_descriptor()
            if descriptor is not None:
                descriptors.append(descriptor)
                new.append((block.number, block.size))
            return block.number, raw.nbytes

        def apart(buffer: pickle.PickleBuffer) -> None:
            raw = buffer.raw()
            large = raw.nbytes >= _LARGE and len(descriptors) < _MOST_DESCRIPTORS
            pieces.append(place(raw) if large else bytearray(raw))

        stream = _pickled(value, apart)
        let_go = [self._let_go.popleft() for _ in range(len(self._let_go))]
        body = pickle.dumps((stream, pieces, let_go, new), protocol=5)
        if len(body) < _MOST:
            return _WHOLE + body, descriptors
        number, nbytes = place(memoryview(body))
        return _BY_BLOCK + pickle.dumps((number, nbytes, new), protocol=5), descriptors

    # -- receiving ---------------------------------------------------------------------------------

    def receive(self, wait: bool = True) -> Any:
        """Return the next value.

        Raises:
            EOFError: the peer is gone.
            BlockingIOError: there is none yet, and `wait` is false.
        """
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            message, passed, marks, _ = self._socket.recvmsg(
                _MOST + 1, _ROOM_FOR_DESCRIPTORS, flags
            )
        except ConnectionError:
            raise EOFError from None
        if not message:
            raise EOFError
        if marks & socket.MSG_CTRUNC:
            raise RuntimeError(
                "Too many open files. Communication with the workers is no longer possible. "
                "Please increase the limit using `ulimit -n` in the shell"
            )
        descriptors = array("i", b"".join(data for _, _, data in passed))
        return self._unpacked(message, descriptors.tolist())

    def _unpacked(self, message: bytes, descriptors: list[int]) -> Any:
        body = pickle.loads(memoryview(message)[1:])
        for (number, size), descriptor in zip(body[-1], descriptors, strict=True):
            self._theirs[number] = mmap.mmap(descriptor, size)
            os.close(descriptor)
        if message[:1] == _BY_BLOCK:
            body = pickle.loads(self._shown(*body[:2]))
        stream, pieces, let_go, _ = body
        for number in let_go:
            self._mine.release(number)
        buffers = [self._shown(*piece) if type(piece) is tuple else piece for piece in pieces]
        return pickle.loads(stream, buffers=buffers)

    def _shown(self, number: int, nbytes: int) -> memoryview:
        """Return a view of a block of the peer's; the peer is told when the last one is gone."""
        root = np.frombuffer(self._theirs[number], np.uint8, nbytes)
        weakref.finalize(root, self._let_go.append, number).atexit = False
        return memoryview(root)  # type: ignore[arg-type]

    # -- the end -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """Tell the peer that nothing more is sent: it reads what there is, then EOFError."""
        self._unsent.clear()
        with suppress(OSError):  # the peer is gone
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End the channel; arrays that were received stay."""
        self._socket.close()


# -- pickling --------------------------------------------------------------------------------------


class _Pickler(pickle.Pickler):
    """Leaves the bytes of tensors to the channel, as numpy's arrays do theirs."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or not isinstance(value._array, np.ndarray):
            return NotImplemented
        if value.requires_grad and not value.is_leaf:
            raise RuntimeError(
                "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd"
                " does not support crossing process boundaries.  If you just want to transfer the "
                "data, call detach() on the tensor before serializing (e.g., putting it on the "
                "queue)."
            )
        raw = value._array
        flat = np.ascontiguousarray(raw).reshape(-1).view(np.uint8)
        bytes_of = pickle.PickleBuffer(flat)  # type: ignore[arg-type]
        return _tensor, (bytes_of, raw.dtype, raw.shape, value.requires_grad)


def _tensor(buffer: Any, dtype: Any, shape: tuple[int, ...], requires_grad: bool) -> Any:
    return wrap(np.ndarray(shape, dtype, buffer)).requires_grad_(requires_grad)


def _pickled(value: Any, apart: Callable[[pickle.PickleBuffer], None]) -> bytes:
    out = BytesIO()
    _Pickler(out, 5, buffer_callback=apart).dump(value)
    return out.getvalue()


# -- a process and its channels --------------------------------------------------------------------

_ends_here: weakref.WeakSet[Channel] = weakref.WeakSet()
_shared: Channel | None = None


def _close_inherited() -> None:
    """A forked process must not hold the ends of its parent: the peers would outlive that."""
    for channel in list(_ends_here):
        channel.close()


os.register_at_fork(after_in_child=_close_inherited)


def share_through(channel: Channel | None) -> None:
    """Make batches where the peer of this channel can see them."""
    global _shared
    _shared = channel


def shared_empty(shape: Sequence[int], dtype: Any) -> np.ndarray | None:
    """Return memory for an array that will be sent; None if it is small, or nobody will get it."""
    if _shared is None or prod(shape) * np.dtype(dtype).itemsize < _LARGE:
        return None
    return _shared.empty(shape, dtype)
