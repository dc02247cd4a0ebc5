"""Chat and text completions, whatever their dialect: parse, call the gateway once, respond."""

from shared.dialects.base import Defaults, Operation
from shared.routes import SEALING_DIALECTS
from shared.sealing import BoundSealer
from shared.web.events import event_stream
from shared.web.http import Response
from shared.web.json_response import json_response
from shared.web.request import ApiRequest


async def complete(request: ApiRequest) -> Response:
    from shared.gateway.chat import chat, chat_events

    operation: Operation = await request.parsed(await defaults(request))
    services, context = request.services, request.context
    if operation.requests[0].stream:
        events = chat_events(services, operation.requests, context)
        return await event_stream(request, events, operation.encoder(context))
    response = await request.cancel_on_disconnect(chat(services, operation.requests, context))
    return json_response(operation.body(response, context))


async def defaults(request: ApiRequest) -> Defaults:
    """What the parser of a chat request needs beside the body."""
    settings, seal = request.services.settings, None
    if request.route.dialect in SEALING_DIALECTS:
        seal = BoundSealer(await request.services.sealer(), request.caller.tenant)
    return Defaults(
        max_tokens=settings.default_max_tokens,
        thinking_tokens=settings.thinking_tokens,
        seal=seal,
        headers=request.http.headers,
    )
