"""The routes that embed texts, whatever their dialect: parse, call the gateway once, answer."""

from collections.abc import Callable

from fastapi import FastAPI, Request, Response

from shared.dialects.base import EmbeddingOperation
from shared.web.app import context_of, json_response
from shared.web.body import json_body
from shared.web.caller import ProcessServices
from shared.web.events import cancel_on_disconnect
from shared.web.routes import parser, post


def embedding_route(path: str, name: str) -> Callable[[FastAPI], None]:
    """POST `path`, its body read by a dialect's parser."""

    async def endpoint(request: Request, services: ProcessServices) -> Response:
        from shared.gateway.embeddings import embed

        operation: EmbeddingOperation = await json_body(request, services.settings.max_body, parser(name))
        context = context_of(request)
        response = await cancel_on_disconnect(embed(services, operation.request, context), request.receive)
        return json_response(operation.body(response, context))

    return post(path, endpoint)
