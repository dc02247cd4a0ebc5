"""The routes that ask a chat model, whatever their dialect: parse, call the gateway once, answer."""

from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from starlette.types import Receive

from shared.dialects.base import Defaults, Operation
from shared.gateway import Gateway
from shared.pump import Pump
from shared.schemas.context import RequestContext
from shared.web.app import context_of, json_response
from shared.web.body import json_body
from shared.web.caller import ProcessGateway
from shared.web.events import EventStream, opening_of, unless_gone
from shared.web.routes import parser, post


def chat_route(path: str, name: str) -> Callable[[FastAPI], None]:
    """POST `path`, its body read by a dialect's parser."""

    async def endpoint(request: Request, gateway: ProcessGateway) -> Response:
        body = await json_body(request, gateway.settings.max_body)
        operation: Operation = parser(name)(body, Defaults(max_tokens=gateway.settings.default_max_tokens))
        return await _answer(operation, gateway, context_of(request), request.receive)

    return post(path, endpoint)


async def _answer(operation: Operation, gateway: Gateway, context: RequestContext, receive: Receive) -> Response:
    if not operation.requests[0].stream:
        response = await unless_gone(gateway.chat(operation.requests, context), receive)
        return json_response(operation.body(response, context))
    pump = Pump(gateway.chat_stream(operation.requests, context))
    encoder = operation.encoder(context)
    try:
        opening = await unless_gone(opening_of(pump, encoder, gateway.settings.first_event_wait), receive)
    except BaseException:
        await pump.aclose()
        raise
    return EventStream(pump, encoder, context, opening=opening, keep_alive=gateway.settings.keep_alive)
