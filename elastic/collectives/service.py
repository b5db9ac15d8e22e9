"""What a member's listener answers: who calls, and what it gets."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from elastic.collectives.admission import (
    FETCH,
    GENERATION,
    HELLO,
    NOTE,
    PROOF,
    SUBSCRIBE,
    VOCABULARY,
    Hello,
    Note,
)
from elastic.collectives.background import step_back
from elastic.collectives.outbox import Ending, Outbox

if TYPE_CHECKING:
    from elastic.collectives.grpc_transport import Transport

__all__ = ["Service"]

_Told = Generator[bytes, None, Ending]
"""The frames of an answer, and how it ends."""


class Service(grpc.GenericRpcHandler):
    """The calls that a listener takes.

    The hello is in the call's metadata, and the handler is one of streams: so its thread begins at
    once, and no stranger can hold one by keeping his request back.
    """

    def __init__(self, transport: Transport):
        self._transport = transport
        self._handlers = {
            method: grpc.stream_stream_rpc_method_handler(partial(self._answer, method, answer))
            for method, answer in (
                (SUBSCRIBE, self._subscribe),
                (FETCH, self._fetch),
                (NOTE, self._note),
            )
        }

    def service(self, details: Any) -> Any:
        """Return the handler of a call; None for a method that does not exist."""
        if details.method not in self._handlers:
            self._transport.refusals.count("an unknown method")
        return self._handlers.get(details.method)

    def _answer(
        self, method: str, answer: Callable[..., _Told], _: Any, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Hand an admitted call to `answer`; how it ends is told last, with the proof."""
        metadata = dict(context.invocation_metadata())
        request, proof = metadata.get(HELLO, b""), str(metadata.get(PROOF, ""))
        hello = self._transport.admit(method, request, proof)
        ending = hello
        if not isinstance(hello, Ending):
            ending = yield from answer(hello, context)
        self._end(context, ending, request)

    def _note(self, note: Note, context: grpc.ServicerContext) -> _Told:
        self._transport.inbox.note(note)
        yield b""
        return Ending()

    def _fetch(self, hello: Hello, context: grpc.ServicerContext) -> _Told:
        feed = self._transport.feeds.get(hello.source)
        if feed is None or feed.generation != hello.generation:
            return Ending("FAILED_PRECONDITION", "there is no such feed")
        step_back()  # this thread is the call's own
        return (yield from self._stream(hello, feed, context))

    def _subscribe(self, hello: Hello, context: grpc.ServicerContext) -> _Told:
        outbox = self._transport.outbox(hello.source)
        return (yield from self._stream(hello, outbox, context))

    def _stream(self, hello: Hello, outbox: Outbox, context: grpc.ServicerContext) -> _Told:
        queue = outbox.subscribe(hello.generation)
        if isinstance(queue, Ending):
            return queue
        if not context.add_callback(lambda: outbox.hang_up(queue)):
            return Ending()  # it has hung up already
        yield self._transport.prover.welcome(hello.nonce)
        yield from outbox.frames(queue)
        return outbox.ending

    def _end(self, context: grpc.ServicerContext, ending: Ending, hello: bytes) -> None:
        if ending.generation is not None:
            nonce = VOCABULARY.decode(hello).nonce
            proof = self._transport.prover.generation(nonce, ending.generation)
            context.set_trailing_metadata(((GENERATION, str(ending.generation)), (PROOF, proof)))
        context.set_code(grpc.StatusCode[ending.code])
        context.set_details(ending.reason)
