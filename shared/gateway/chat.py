"""Chat: splits requests into the calls that their provider takes, and makes one answer of what comes back."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from shared.errors import InvalidRequest, UpstreamTimeout
from shared.gateway.attempt import Attempt, Plan, run
from shared.gateway.chat_meter import ChatMeter
from shared.gateway.chat_selection import select
from shared.gateway.estimates import of_chat
from shared.gateway.image_links import ImageLinks
from shared.gateway.selection import MAX_FANNED_OUT
from shared.gateway.single_calls import seeds
from shared.gateway.stop_sequences import StopSequences
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.context import RequestContext
from shared.schemas.events import ChatEvent, ImageDelta, Started, TextDelta, collect
from shared.schemas.model import Model

if TYPE_CHECKING:
    from shared.gateway.services import Services


async def chat(services: "Services", requests: Sequence[ChatRequest], context: RequestContext) -> ChatResponse:
    """Answers requests for one model, their candidates numbered through. Raises any GatewayError."""
    async with aclosing(chat_events(services, requests, context)) as events:
        return await collect(events)


def chat_events(
    services: "Services", requests: Sequence[ChatRequest], context: RequestContext
) -> AsyncGenerator[ChatEvent, None]:
    """The events of the same answer as they come: Started, deltas, a Finished for each candidate.

    What is wrong with the request's model is raised at once, all else by the iterator. A Started comes for each call.
    """

    async def sources(attempt: Attempt) -> list[AsyncGenerator[ChatEvent, None]]:
        prepared = await _prepared(attempt, requests)
        return [_call(attempt, request, offset) for request, offset in _single_calls(prepared, attempt.model)]

    model = select(requests[0], services.catalog, context.caller)
    plan = Plan("chat", requests[0].model, [model], lambda model: of_chat(requests, model), sources)
    return run(services, context, plan)


async def _prepared(attempt: Attempt, requests: Sequence[ChatRequest]) -> list[ChatRequest]:
    """The requests as the model takes them, before they are split into calls. Raises UpstreamTimeout."""
    prepare, tenant = attempt.services.inputs.prepared, attempt.context.caller.tenant
    try:
        async with asyncio.timeout_at(attempt.deadline):
            is_heavy = attempt.context.meter.is_heavy
            return [await prepare(request, attempt.model, tenant, is_heavy=is_heavy) for request in requests]
    except TimeoutError:
        raise UpstreamTimeout("The request's images could not be fetched in time.") from None


def _single_calls(requests: Sequence[ChatRequest], model: Model) -> Iterator[tuple[ChatRequest, int]]:
    """The calls that the model's provider takes for the requests, each with the index of its first candidate.

    Raises InvalidRequest when that would be too many.
    """
    calls = [list(seeds(request.n, request.seed, model)) for request in requests]
    if sum(map(len, calls)) > MAX_FANNED_OUT:
        raise InvalidRequest.field("n", f"this model can give at most {MAX_FANNED_OUT} candidates for one request")
    offset = 0
    for request, split in zip(requests, calls, strict=True):
        for n, seed in split:
            yield request if len(split) == 1 else request.model_copy(update={"n": n, "seed": seed}), offset
            offset += n


async def _call(attempt: Attempt, request: ChatRequest, offset: int) -> AsyncGenerator[ChatEvent, None]:
    """The events of one call, its candidates numbered from `offset`."""
    meter = ChatMeter(attempt, request)
    links = None if request.image_output else ImageLinks(attempt)
    stops = StopSequences(request.stop) if request.stop and "no_stop" in attempt.model.quirks else None
    try:
        async with aclosing(attempt.events(attempt.adapter, request, meter.call)) as events:
            async for event in events:
                meter.feed(event)
                if offset and not isinstance(event, Started):
                    event.index += offset
                if links is not None:
                    if isinstance(event, TextDelta):
                        event = links.text(event)
                    elif isinstance(event, ImageDelta):
                        event = await links.image(event)
                if stops is None:
                    yield event
                else:
                    for ready in stops.feed(event):
                        yield ready
        meter.call.close(is_complete=True)
    finally:
        meter.call.close()
