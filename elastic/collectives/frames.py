"""Messages as frames, and back. No IO.

A message is a few blobs under a header: generation, channel, index, tag. Its first frame is

    kind=0 u8 | channel u8 | len(tag) u16 | blobs u32 | index u64 | generation i64
    size u64 for each blob | tag, UTF-8 | zeros to a multiple of 16

followed, if all of it fits into one chunk, by the blobs, each with zeros to a multiple of 16, so
that arrays are aligned where they arrive. Else the blobs follow, one after the other, in frames of
kind 1 (`u8 | bytes`); a frame of kind 2 (`u8`) in their place abandons the message. Little-endian.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from elastic.clock import monotonic

__all__ = ["Assembler", "Header", "Message", "Outgoing", "as_bytes"]

MESSAGE, CHUNK, ABANDON = range(3)
FIXED = struct.Struct("<BBHIQq")
ALIGN = 16


@dataclass(frozen=True, slots=True)
class Header:
    """What a message is. `channel` is 0 for rounds, 1 for a pair of members alone."""

    generation: int
    channel: int
    index: int
    tag: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is wholly here."""

    header: Header
    blobs: list[memoryview]
    t: float = field(default_factory=monotonic, compare=False)
    """When it was."""

    @property
    def nbytes(self) -> int:
        """The bytes of its blobs."""
        return sum(blob.nbytes for blob in self.blobs)


def as_bytes(blob: bytes | bytearray | memoryview | np.ndarray) -> memoryview:
    """Return a flat view of the bytes of a contiguous blob; arrays of any dtype will do."""
    if isinstance(blob, np.ndarray):
        return np.ascontiguousarray(blob).reshape(-1).view(np.uint8).data
    return memoryview(blob).cast("B")


class Outgoing:
    """A message on its way. Its blobs are read until `wait` returns or `abandon` does.

    A `small` one fits into its first frame, which is made at once: it can go to several members.
    """

    __slots__ = (
        "_abandoned",
        "_blobs",
        "_chunk_bytes",
        "_copied",
        "_first",
        "_lock",
        "header",
        "small",
    )

    def __init__(self, header: Header, blobs: Sequence[memoryview], chunk_bytes: int):
        self.header = header
        self.small = sum(blob.nbytes + ALIGN for blob in blobs) <= chunk_bytes
        self._first = _encode(header, blobs, inline=self.small)
        if not self.small:
            self._blobs = blobs
            self._chunk_bytes = chunk_bytes
            self._lock = threading.Lock()
            self._copied = threading.Event()
            self._abandoned = False

    def frames(self) -> Iterator[bytes]:
        """Return the frames to send, in order, ending early when the message is abandoned."""
        yield self._first
        if self.small:
            return
        for blob in self._blobs:
            for start in range(0, blob.nbytes, self._chunk_bytes):
                frame = self._chunk(blob, start)
                yield frame
                if frame[0] == ABANDON:
                    return
        self._copied.set()

    def _chunk(self, blob: memoryview, start: int) -> bytes:
        with self._lock:
            if self._abandoned:
                return bytes([ABANDON])
            return b"".join((bytes([CHUNK]), blob[start : start + self._chunk_bytes]))

    def wait(self) -> bool:
        """Return, when the blobs may be written again, whether all of them were sent."""
        if self.small:
            return True
        self._copied.wait()
        return not self._abandoned

    def abandon(self) -> None:
        """Send no more of the blobs, which may be written from now on.

        Without this a peer that has not yet heard that the generation is over could complete its
        round with what the caller writes next.
        """
        if self.small or self._copied.is_set():
            return
        with self._lock:
            self._abandoned = True
        self._copied.set()


def _encode(header: Header, blobs: Sequence[memoryview], inline: bool) -> bytes:
    """Return the first frame, with the blobs if they go inline."""
    tag = header.tag.encode()
    parts: list[bytes | memoryview] = [
        FIXED.pack(MESSAGE, header.channel, len(tag), len(blobs), header.index, header.generation),
        struct.pack(f"<{len(blobs)}Q", *(blob.nbytes for blob in blobs)),
        tag,
        bytes(-(FIXED.size + 8 * len(blobs) + len(tag)) % ALIGN),
    ]
    for blob in blobs if inline else ():
        parts += (blob, bytes(-blob.nbytes % ALIGN))
    return b"".join(parts)


class Assembler:
    """Frames of one stream to messages.

    Raises:
        ValueError: from `feed`, for a frame that is garbled or announces too much.
    """

    def __init__(self, max_message_bytes: int):
        self._max_message_bytes = max_message_bytes
        self._header: Header | None = None
        self._buffers: list[np.ndarray] = []
        self._blob = 0
        self._filled = 0

    def feed(self, frame: bytes) -> Message | None:
        """Return the message that this frame completes; None if more is to come."""
        if not frame or frame[0] > ABANDON:
            raise ValueError(f"a frame of unknown kind {frame[:1]!r}")
        if (frame[0] == MESSAGE) == (self._header is not None):
            raise ValueError("a frame out of order")
        if frame[0] == MESSAGE:
            return self._begin(frame)
        if frame[0] == CHUNK:
            return self._continue(frame)
        self._header = None
        return None

    def _begin(self, frame: bytes) -> Message | None:
        header, sizes, start = _decode(frame)
        if sum(sizes) > self._max_message_bytes:
            raise ValueError(
                f"a message takes at most {self._max_message_bytes} bytes, got {sum(sizes)}"
            )
        padded = sum(size + -size % ALIGN for size in sizes)
        if len(frame) - start == padded:
            return Message(header, list(_inline(memoryview(frame), start, sizes)))
        if len(frame) != start:
            raise ValueError(f"{len(frame) - start} bytes of blobs, where {padded} are announced")
        self._header = header
        self._buffers = [np.empty(size, np.uint8) for size in sizes]
        self._blob = self._filled = 0
        return None

    def _continue(self, frame: bytes) -> Message | None:
        self._skip_full()
        buffer, stop = self._buffers[self._blob], self._filled + len(frame) - 1
        if len(frame) < 2 or stop > len(buffer):
            raise ValueError(f"a chunk that ends at {stop} of a blob of {len(buffer)} bytes")
        buffer[self._filled : stop] = np.frombuffer(frame, np.uint8, offset=1)
        self._filled = stop
        if not self._skip_full():
            return None
        assert self._header is not None
        message = Message(self._header, [buffer.data for buffer in self._buffers])
        self._header, self._buffers = None, []
        return message

    def _skip_full(self) -> bool:
        """Move on to the blob that the next chunk belongs to; return whether there is none."""
        while self._blob < len(self._buffers) and self._filled == len(self._buffers[self._blob]):
            self._blob, self._filled = self._blob + 1, 0
        return self._blob == len(self._buffers)


def _decode(frame: bytes) -> tuple[Header, tuple[int, ...], int]:
    """Return header, sizes of the blobs, and where they would begin in the frame."""
    try:
        _, channel, tag_bytes, count, index, generation = FIXED.unpack_from(frame)
        end = FIXED.size + 8 * count
        if end + tag_bytes > len(frame):
            raise ValueError(f"{count} blobs in a frame of {len(frame)} bytes")
        sizes = struct.unpack_from(f"<{count}Q", frame, FIXED.size)
        tag = frame[end : end + tag_bytes].decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"a garbled header: {error}") from None
    end += tag_bytes
    return Header(generation, channel, index, tag), sizes, end + -end % ALIGN


def _inline(frame: memoryview, start: int, sizes: tuple[int, ...]) -> Iterator[memoryview]:
    for size in sizes:
        yield frame[start : start + size]
        start += size + -size % ALIGN
