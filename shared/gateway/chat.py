"""Chat: splits requests into the calls that their provider accepts, and merges the results into one response."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from shared.errors import InvalidRequest, UpstreamTimeout
from shared.gateway.attempt import Attempt
from shared.gateway.chat_images import may_hold_media
from shared.gateway.chat_meter import ChatMeter
from shared.gateway.chat_selection import chat_candidates
from shared.gateway.custom_tools import CustomCalls, custom_names
from shared.gateway.estimates import of_chat
from shared.gateway.fitting import fitted, lowered_max_tokens
from shared.gateway.image_links import ImageLinks
from shared.gateway.running import Plan, run
from shared.gateway.selection import MAX_FANNED_OUT
from shared.gateway.single_calls import seeds
from shared.gateway.stop_sequences import StopSequences
from shared.gateway.surcharges import has_surcharge, without_offered_search
from shared.providers import load
from shared.providers.base import ChatAdapter
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.context import RequestContext
from shared.schemas.events import ChatEvent, ImageDelta, OriginalEvent, Started, TextDelta, collect
from shared.schemas.model import Model

if TYPE_CHECKING:
    from shared.gateway.services import Services


async def chat(services: "Services", requests: Sequence[ChatRequest], context: RequestContext) -> ChatResponse:
    """One response to requests for the same model, with candidates numbered across them. Raises any GatewayError."""
    async with aclosing(chat_events(services, requests, context)) as events:
        return await collect(events)


def chat_events(
    services: "Services", requests: Sequence[ChatRequest], context: RequestContext
) -> AsyncGenerator[ChatEvent, None]:
    """The same as a stream of events: Started, deltas, a Finished for each candidate.

    Errors about the request's model are raised immediately, all others by the iterator. Each call has its Started.
    """

    fits: dict[str, list[ChatRequest]] = {}

    def fit(model: Model) -> list[ChatRequest]:
        if model.id not in fits:
            adapter: ChatAdapter = load(services.catalog.provider(model.provider).adapter, "chat")
            wire = adapter.wire(model)
            fitting = (fitted(request, model, wire) for request in requests)
            fits[model.id] = [without_offered_search(services, context.caller, request) for request in fitting]
        return fits[model.id]

    async def sources(attempt: Attempt) -> list[AsyncGenerator[ChatEvent, None]]:
        fitting = fit(attempt.model)
        attempt.note_changes(
            lowered_max_tokens=lowered_max_tokens(requests[0], attempt.model),
            left_out_search=requests[0].has_search and not fitting[0].has_search,
        )
        ready = await prepared(attempt, fitting)
        return [_call(attempt, request, customs, offset) for request, offset in _single_calls(ready, attempt.model)]

    customs = custom_names(requests[0])
    plan = Plan(
        "chat",
        chat_candidates(services, context, requests[0]),
        lambda model: of_chat(fit(model), model),
        sources,
        has_surcharge=lambda model: has_surcharge(services, context.caller, fit(model)[0], model),
        is_streamed=requests[0].stream,
        speaks=_says_something,
    )
    return run(services, context, plan)


def _says_something(event: ChatEvent) -> bool:
    return not isinstance(event, Started | OriginalEvent) and not (isinstance(event, TextDelta) and not event.text)


async def prepared(attempt: Attempt, requests: Sequence[ChatRequest]) -> list[ChatRequest]:
    """The requests with images as the model accepts them, before they are split into calls. Raises UpstreamTimeout."""
    if not any(map(may_hold_media, requests)):
        return list(requests)
    prepare, tenant = attempt.services.inputs.prepared, attempt.context.caller.tenant
    try:
        async with asyncio.timeout_at(attempt.deadline):
            is_heavy = attempt.context.meter.is_heavy
            return [await prepare(request, attempt.model, tenant, is_heavy=is_heavy) for request in requests]
    except TimeoutError:
        raise UpstreamTimeout("The request's images could not be fetched in time.") from None


def _single_calls(requests: Sequence[ChatRequest], model: Model) -> Iterator[tuple[ChatRequest, int]]:
    """The calls that the model's provider needs for the requests, each with the index of its first candidate.

    Raises InvalidRequest if there are too many.
    """
    calls = [list(seeds(request.n, request.seed, model)) for request in requests]
    if sum(map(len, calls)) > MAX_FANNED_OUT:
        raise InvalidRequest.field("n", f"this model supports at most {MAX_FANNED_OUT} candidates for one request")
    offset = 0
    for request, split in zip(requests, calls, strict=True):
        for n, seed in split:
            yield request if len(split) == 1 else request.model_copy(update={"n": n, "seed": seed}), offset
            offset += n


async def _call(
    attempt: Attempt, request: ChatRequest, customs: frozenset[str], offset: int
) -> AsyncGenerator[ChatEvent, None]:
    """The events of one call, its candidates numbered from `offset`; `customs` are the names of custom tools."""
    meter = ChatMeter(attempt, request)
    passes_on = request.original is not None and request.original.wire != "chat"
    links = None if request.image_output or passes_on else ImageLinks(attempt, is_streamed=request.stream)
    calls = CustomCalls(customs) if customs else None
    stops = StopSequences(request.stop) if request.stop and "no_stop" in attempt.model.quirks else None
    try:
        async with aclosing(attempt.events(attempt.adapter, request, meter.call)) as events:
            async for event in events:
                meter.feed(event)
                if offset and not isinstance(event, Started | OriginalEvent):
                    event.index += offset
                if links is not None:
                    if links.holds(event):
                        continue
                    event = await links.image(event) if isinstance(event, ImageDelta) else links.text(event)
                for told in (event,) if calls is None else calls.feed(event):
                    for ready in (told,) if stops is None else stops.feed(told):
                        yield ready
        meter.call.close(is_complete=True)
        for event in await links.rest() if links is not None else ():
            for ready in (event,) if stops is None else stops.feed(event):
                yield ready
    finally:
        meter.call.close()
