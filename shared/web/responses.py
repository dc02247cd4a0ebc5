"""Responses: create, retrieve, cancel, delete them, list and count what they were given, compact conversations."""

from collections.abc import AsyncGenerator

from shared.authentication import token_of
from shared.dialects.base import JsonObject, take_models
from shared.dialects.responses import stored as wire
from shared.dialects.responses.answer import ResponseWriter, frame
from shared.errors import GatewayError
from shared.framing import DONE
from shared.responses.service import Prepared, ResponseService
from shared.web.events import event_stream
from shared.web.http import Response
from shared.web.json_response import json_response
from shared.web.request import ApiRequest


async def create_response(request: ApiRequest) -> Response:
    service, context = ResponseService(request.services), request.context
    body = await request.json(_as_it_is)
    request.note_alternatives(take_models(body))
    prepared = await service.prepare(body, request.caller, is_heavy=context.meter.is_heavy)
    if prepared.is_background:
        return await _in_background(request, service, prepared)
    if prepared.operation.request.stream:
        writer = prepared.writer(context)
        return await event_stream(request, service.events(prepared, writer, context), _Frames(writer))
    return json_response(await request.cancel_on_disconnect(service.answer(prepared, context)))


async def retrieve_response(request: ApiRequest) -> Response:
    query = wire.retrieve_query(request.http.query_params)
    service = ResponseService(request.services)
    body = await service.find(request.caller, _response_id(request))
    if not query.stream:
        return json_response(body)
    events = service.followed(request.caller, body, request.context.request.deadline)
    first = 0 if query.starting_after is None else query.starting_after + 1
    return await event_stream(request, _from(events, first), _Frames())


async def list_items(request: ApiRequest) -> Response:
    query = wire.items_query(request.http.query_params)
    response_id = _response_id(request)
    items = await ResponseService(request.services).items(request.caller, response_id)
    return json_response(wire.items_body(items, response_id, query))


async def delete_response(request: ApiRequest) -> Response:
    response_id = _response_id(request)
    await ResponseService(request.services).delete(request.caller, response_id)
    return json_response(wire.deleted_body(response_id))


async def cancel_response(request: ApiRequest) -> Response:
    return json_response(await ResponseService(request.services).cancel(request.caller, _response_id(request)))


async def count_input_tokens(request: ApiRequest) -> Response:
    count = await ResponseService(request.services).count(await request.json(_as_it_is), request.context)
    return json_response(wire.tokens_body(count))


async def compact(request: ApiRequest) -> Response:
    body = await request.json(_as_it_is)
    request.context.meter.models = take_models(body)
    service = ResponseService(request.services)
    return json_response(await request.cancel_on_disconnect(service.compact(body, request.context)))


async def _in_background(request: ApiRequest, service: ResponseService, prepared: Prepared) -> Response:
    token = token_of(request.http.headers, request.services.settings.key_header)
    body = await service.submit(prepared, request.context, token)
    if not prepared.operation.request.stream:
        return json_response(body)
    events = service.followed(request.caller, body, request.context.request.deadline)
    return await event_stream(request, events, _Frames())


async def _from(events: AsyncGenerator[JsonObject, None], first: int) -> AsyncGenerator[JsonObject, None]:
    """The events from the number `first` on."""
    async for event in events:
        if event["sequence_number"] >= first:
            yield event


class _Frames:
    """Encodes a response's events; `writer` says how a failure is told, where one may come."""

    def __init__(self, writer: ResponseWriter | None = None) -> None:
        self._writer = writer

    def event(self, event: JsonObject) -> bytes:
        return frame(event)

    def error(self, error: GatewayError) -> bytes:
        events = self._writer.fail(error) if self._writer is not None else []
        return b"".join(map(frame, events)) + DONE

    def end(self) -> bytes:
        return DONE


def _as_it_is(body: JsonObject) -> JsonObject:
    """The body unparsed: what it refers to has to be read before."""
    return body


def _response_id(request: ApiRequest) -> str:
    response_id: str = request.http.path_params["response_id"]
    return response_id
