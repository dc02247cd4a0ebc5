"""Chat: splits requests into the calls that their provider takes, and makes one answer of what comes back."""

import asyncio
import base64
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.errors import InvalidRequest, UpstreamTimeout
from shared.framing import sse_frames
from shared.gateway.chat_model import select
from shared.gateway.metering import record_usage
from shared.gateway.route import Route
from shared.gateway.storing import Markdown, stored
from shared.providers.base import ChatAdapter
from shared.pump import gather_or_cancel, merge
from shared.schemas.chat import Candidate, ChatRequest, ChatResponse
from shared.schemas.content import Image, Inline, Part, Text
from shared.schemas.context import RequestContext
from shared.schemas.events import ChatEvent, Finished, ImageDelta, Started, TextDelta
from shared.schemas.model import Model
from shared.schemas.usage import Usage
from shared.selection import MAX_FANNED_OUT
from shared.stopping import cut, cut_stream

if TYPE_CHECKING:
    from shared.gateway.services import Services


class Chat:
    """The chat requests of one caller's request, all for one model.

    Making it chooses the model: raises ModelNotFound, ModelAccessDenied, UnsupportedFeature and ModelUnavailable.
    """

    def __init__(self, services: "Services", requests: Sequence[ChatRequest], context: RequestContext) -> None:
        assert context.caller is not None, "routes authenticate before they call the gateway"
        self._services = services
        self._requests = requests
        self._context = context
        self._tenant = context.caller.tenant
        self.model = model = select(requests[0], services.catalog, context.caller)
        self._route: Route[ChatAdapter] = services.route(model, requests[0].model, ChatAdapter, context)  # type: ignore[type-abstract]

    async def response(self) -> ChatResponse:
        """The whole answer, its candidates numbered through. Raises any GatewayError."""
        calls = list(_single_calls(await self._prepared(), self._route.model))
        responses = await gather_or_cancel(self._complete(request) for request, _ in calls)
        candidates = tuple(
            candidate.model_copy(update={"index": candidate.index + offset})
            for (_, offset), response in zip(calls, responses, strict=True)
            for candidate in response.candidates
        )
        return ChatResponse(candidates=candidates, usage=self._context.usage)

    def events(self) -> AsyncGenerator[ChatEvent, None]:
        """The events of the same answer: one Started, deltas, a Finished for each candidate."""
        return _timed(self._merged(), self._context)

    async def _merged(self) -> AsyncGenerator[ChatEvent, None]:
        calls = _single_calls(await self._prepared(), self._route.model)
        streams = [_shifted(self._stream(request), offset) for request, offset in calls]
        async with aclosing(streams[0] if len(streams) == 1 else merge(streams)) as events:
            async for event in events:
                yield event

    async def _prepared(self) -> list[ChatRequest]:
        """The requests as the model takes them, before they are split into calls. Raises UpstreamTimeout."""
        prepared = self._services.inputs.prepared
        try:
            async with asyncio.timeout_at(self._route.deadline):
                return [await prepared(request, self._route.model, self._tenant) for request in self._requests]
        except TimeoutError:
            raise UpstreamTimeout("The request's images could not be had in time.") from None

    async def _complete(self, request: ChatRequest) -> ChatResponse:
        route = self._route
        response = await route.answer(route.adapter.chat(request, route.model), route.adapter.chat_response)
        record_usage(self._context, response.usage)
        if not request.image_output:
            response = await self._with_links(response)
        return cut(response, request.stop) if _is_ours_to_stop(request, route.model) else response

    def _stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        events = self._counted(request)
        if not request.image_output:
            events = self._with_linked_images(events)
        return cut_stream(events, request.stop) if _is_ours_to_stop(request, self._route.model) else events

    async def _counted(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """The events of one call. Its usage goes into the context, also when it breaks off or is left."""
        route, context = self._route, self._context
        begun = Usage()
        async with route.open(route.adapter.chat(request, route.model)) as answer:
            await route.check(answer)
            try:
                with route.reading():
                    async with (
                        aclosing(sse_frames(answer)) as frames,
                        aclosing(route.adapter.chat_events(frames)) as events,
                    ):
                        async for event in events:
                            if isinstance(event, Started):
                                begun = event.usage
                            elif isinstance(event, Finished):
                                record_usage(context, event.usage)
                                begun = Usage()
                            yield event
            finally:
                if begun.total_tokens:
                    record_usage(context, begun)
            await answer.drain()

    async def _with_links(self, response: ChatResponse) -> ChatResponse:
        """The response with each image stored, and a link in its place."""
        candidates = await gather_or_cancel(map(self._linked, response.candidates))
        return response.model_copy(update={"candidates": tuple(candidates)})

    async def _linked(self, candidate: Candidate) -> Candidate:
        images = [part.source for part in candidate.parts if isinstance(part, Image)]
        if not images:
            return candidate
        urls = iter(await gather_or_cancel(self._stored(image.data) for image in images if isinstance(image, Inline)))
        markdown = Markdown()
        parts: list[Part] = []
        for part in candidate.parts:
            match part:
                case Text():
                    parts.append(Text(text=markdown.text(part.text)))
                case Image(source=Inline()):
                    parts.append(Text(text=markdown.image(next(urls))))
                case _:
                    parts.append(part)
        return candidate.model_copy(update={"parts": tuple(parts)})

    async def _with_linked_images(self, events: AsyncGenerator[ChatEvent, None]) -> AsyncGenerator[ChatEvent, None]:
        """The same for a stream."""
        written: defaultdict[int, Markdown] = defaultdict(Markdown)
        async with aclosing(events) as source:
            async for event in source:
                match event:
                    case ImageDelta():
                        url = await self._stored(event.data)
                        yield TextDelta(written[event.index].image(url), event.index)
                    case TextDelta():
                        yield TextDelta(written[event.index].text(event.text), event.index)
                    case _:
                        yield event

    async def _stored(self, data: str) -> str:
        """The URL of an image in base64 that is now in the store. Raises UpstreamError and UpstreamTimeout."""
        try:
            async with asyncio.timeout_at(self._route.deadline):
                return await stored(base64.b64decode(data), self._services.images, self._tenant)
        except TimeoutError:
            raise UpstreamTimeout("The image was made, but could not be stored in time.") from None


def _is_ours_to_stop(request: ChatRequest, model: Model) -> bool:
    return bool(request.stop) and "no_stop" in model.quirks


def _single_calls(requests: Sequence[ChatRequest], model: Model) -> Iterator[tuple[ChatRequest, int]]:
    """The calls that the model's provider takes for the requests, each with the index of its first candidate.

    Raises InvalidRequest when that would be too many.
    """
    split = "single_candidate" in model.quirks
    if sum(request.n if split else 1 for request in requests) > MAX_FANNED_OUT:
        raise InvalidRequest.field("n", f"this model can give at most {MAX_FANNED_OUT} candidates for one request")
    offset = 0
    for request in requests:
        if split and request.n > 1:
            for copy in range(request.n):
                # The same seed in each call would give the same candidate again and again.
                seed = None if request.seed is None else request.seed + copy
                yield request.model_copy(update={"n": 1, "seed": seed}), offset + copy
        else:
            yield request, offset
        offset += request.n


async def _shifted(events: AsyncGenerator[ChatEvent, None], offset: int) -> AsyncGenerator[ChatEvent, None]:
    async with aclosing(events) as source:
        async for event in source:
            yield event if not offset or isinstance(event, Started) else replace(event, index=event.index + offset)


async def _timed(events: AsyncGenerator[ChatEvent, None], context: RequestContext) -> AsyncGenerator[ChatEvent, None]:
    """The stream with a single Started; when its first token came goes into the context."""
    started = False
    async with aclosing(events) as source:
        async for event in source:
            if isinstance(event, Started):
                if started:
                    continue
                started = True
            elif context.first_token is None:
                context.first_token = time.perf_counter() - context.began
            yield event
