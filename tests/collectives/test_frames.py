"""Messages as frames: round trips, bounds, and one test for each way to be garbled."""

from __future__ import annotations

import random
import struct

import ml_dtypes
import numpy as np
import pytest

from elastic.collectives.frames import FIXED, Assembler, Header, Message, Outgoing, as_bytes

HEADER = Header(generation=7, channel=0, index=3, tag="barrier")


def travel(blobs: list[bytes], chunk_bytes: int = 64, most: int = 1 << 20) -> list[Message]:
    outgoing = Outgoing(HEADER, [as_bytes(blob) for blob in blobs], chunk_bytes)
    assembler = Assembler(most)
    return [message for frame in outgoing.frames() if (message := assembler.feed(frame))]


def first_frame(*sizes: int, kind: int = 0, tag: bytes = b"t", rest: bytes = b"") -> bytes:
    head = FIXED.pack(kind, 0, len(tag), len(sizes), 0, 1)
    head += struct.pack(f"<{len(sizes)}Q", *sizes) + tag
    return head + bytes(-len(head) % 16) + rest


@pytest.mark.parametrize(
    "blobs", [[], [b""], [b"a"], [b"", b"x" * 200, b"", b"yz"], [b"a" * 63, b"b" * 65, b""]]
)
def test_a_message_arrives_as_it_was_sent(blobs):
    (message,) = travel(blobs)
    assert message.header == HEADER
    assert [bytes(blob) for blob in message.blobs] == blobs
    assert message.nbytes == sum(map(len, blobs))


def test_random_messages_arrive_as_they_were_sent():
    for seed in range(50):
        print("seed", seed)
        rng = random.Random(seed)
        blobs = [rng.randbytes(rng.choice((0, 1, 16, 64, 300))) for _ in range(rng.randint(0, 6))]
        (message,) = travel(blobs, chunk_bytes=rng.choice((1, 16, 64, 1 << 16)))
        assert [bytes(blob) for blob in message.blobs] == blobs


@pytest.mark.parametrize("chunk_bytes", [16, 1 << 10])
def test_arrays_of_any_dtype_travel(chunk_bytes):
    array = np.arange(12).astype(ml_dtypes.bfloat16).reshape(3, 4)
    (message,) = travel([array], chunk_bytes)
    assert np.frombuffer(message.blobs[0], array.dtype).tolist() == list(range(12))


def test_inline_arrays_arrive_aligned():
    (message,) = travel([b"odd", np.arange(4.0)], chunk_bytes=1 << 10)
    frame_start = np.frombuffer(message.blobs[1].obj, np.uint8).ctypes.data
    start = np.frombuffer(message.blobs[1], np.uint8).ctypes.data
    assert (start - frame_start) % 16 == 0


def test_an_abandoned_message_is_dropped_and_the_next_arrives():
    outgoing = Outgoing(HEADER, [as_bytes(b"x" * 100)], chunk_bytes=30)
    frames, assembler = outgoing.frames(), Assembler(1000)
    assert [assembler.feed(next(frames)), assembler.feed(next(frames))] == [None, None]
    outgoing.abandon()
    assert [assembler.feed(frame) for frame in frames] == [None]
    assert not outgoing.wait()
    whole = next(Outgoing(HEADER, [as_bytes(b"next")], 1000).frames())
    assert bytes(assembler.feed(whole).blobs[0]) == b"next"


def test_a_message_that_was_sent_can_no_longer_be_abandoned():
    outgoing = Outgoing(HEADER, [as_bytes(b"x" * 100)], chunk_bytes=30)
    assert len(list(outgoing.frames())) == 5
    outgoing.abandon()
    assert outgoing.wait()


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([b""], "unknown kind"),
        ([b"\x07junk"], "unknown kind"),
        ([b"\x01chunk"], "out of order"),
        ([b"\x02"], "out of order"),
        ([first_frame(100), first_frame(100)], "out of order"),
        ([b"\x00short"], "garbled header"),
        ([first_frame(5)[:28]], "blobs in a frame"),
        ([FIXED.pack(0, 0, 9, 0, 0, 1)], "blobs in a frame"),
        ([FIXED.pack(0, 0, 0, 1 << 31, 0, 1)], "blobs in a frame"),
        ([first_frame(tag=b"\xff")], "garbled header"),
        ([first_frame(5, rest=b"x" * 15)], "15 bytes of blobs"),
        ([first_frame(5), b"\x01123456"], "a chunk that ends at 6"),
        ([first_frame(5), b"\x01"], "a chunk that ends"),
        ([first_frame(1001)], "at most 1000 bytes"),
        ([first_frame(600, 1 << 60)], "at most 1000 bytes"),
    ],
)
def test_a_garbled_stream_is_told_from_a_message(frames, why):
    """P4: what is too large is refused before anything is allocated for it."""
    assembler = Assembler(1000)
    for frame in frames[:-1]:
        assert assembler.feed(frame) is None
    with pytest.raises(ValueError, match=why):
        assembler.feed(frames[-1])


def test_noise_is_never_a_crash():
    for seed in range(300):
        rng, assembler = random.Random(seed), Assembler(1000)
        try:
            for _ in range(5):
                frame = bytes([rng.randint(0, 3)]) + rng.randbytes(rng.randint(0, 60))
                assembler.feed(frame)
        except ValueError:
            continue
