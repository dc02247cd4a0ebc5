"""The routes that ask a chat model, whatever their dialect: parse, call the gateway once, answer."""

from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from starlette.types import Receive

from shared.dialects.base import Defaults, Operation
from shared.gateway.services import Services
from shared.pump import Pump
from shared.schemas.context import RequestContext
from shared.web.app import context_of, json_response
from shared.web.body import json_body
from shared.web.caller import ProcessServices
from shared.web.events import EventStream, cancel_on_disconnect, first_bytes
from shared.web.routes import parser, post


def chat_route(path: str, name: str) -> Callable[[FastAPI], None]:
    """POST `path`, its body read by a dialect's parser."""

    async def endpoint(request: Request, services: ProcessServices) -> Response:
        settings = services.settings
        defaults = Defaults(max_tokens=settings.default_max_tokens)
        operation: Operation = await json_body(request, settings.max_body, lambda body: parser(name)(body, defaults))
        return await _answer(operation, services, context_of(request), request.receive)

    return post(path, endpoint)


async def _answer(operation: Operation, services: Services, context: RequestContext, receive: Receive) -> Response:
    from shared.gateway.chat import chat, chat_events  # with the first request: the models function has none

    if not operation.requests[0].stream:
        response = await cancel_on_disconnect(chat(services, operation.requests, context), receive)
        return json_response(operation.body(response, context))
    pump = Pump(chat_events(services, operation.requests, context))
    encoder = operation.encoder(context)
    try:
        opening = await cancel_on_disconnect(first_bytes(pump, encoder, services.settings.first_event_wait), receive)
    except BaseException:
        await pump.aclose()
        raise
    return EventStream(pump, encoder, context, opening=opening, keep_alive=services.settings.keep_alive)
