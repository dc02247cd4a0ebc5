"""Answers read through an adapter, in the same way as the gateway reads them."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from shared.providers.base import EventAdapter
from shared.schemas.chat import ChatResponse
from shared.schemas.events import ChatCollector, ChatEvent

RequestT = TypeVar("RequestT")
EventT = TypeVar("EventT")


def whole(adapter: EventAdapter[RequestT, EventT], request: RequestT, body: bytes) -> list[EventT]:
    """The events of a whole body."""
    return list(adapter.reader(request).body(body))


def streamed(adapter: EventAdapter[RequestT, EventT], request: RequestT, chunks: Iterable[bytes]) -> list[EventT]:
    """The events of a streamed body."""
    decoder, reader = adapter.frames(), adapter.reader(request)
    events: list[EventT] = []
    for chunk in chunks:
        for frame in decoder.feed(chunk):
            events += reader.frame(frame)
        if reader.done:
            break
    return [*events, *reader.end()]


def split(body: bytes, size: int) -> Iterator[bytes]:
    """A body in chunks of `size` bytes."""
    return (body[start : start + size] for start in range(0, len(body), size))


def collected(events: Iterable[ChatEvent]) -> ChatResponse:
    """The response that chat events amount to."""
    collector = ChatCollector()
    for event in events:
        collector.add(event)
    return collector.response()
