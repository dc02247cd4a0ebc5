"""Embeddings, whatever their dialect: parse, call the gateway once, respond."""

from shared.dialects.base import EmbeddingOperation
from shared.web.http import Response
from shared.web.json_response import json_response
from shared.web.request import ApiRequest


async def embed(request: ApiRequest) -> Response:
    from shared.gateway import embeddings as gateway

    operation: EmbeddingOperation = await request.parsed()
    response = await request.cancel_on_disconnect(gateway.embed(request.services, operation.request, request.context))
    return json_response(operation.body(response, request.context))
