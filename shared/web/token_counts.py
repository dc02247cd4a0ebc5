"""Counts of input tokens, whatever their dialect: parse, ask the provider or estimate, respond."""

from shared.dialects.base import CountOperation
from shared.web.chat import defaults
from shared.web.http import Response
from shared.web.json_response import json_response
from shared.web.request import ApiRequest


async def count_tokens(request: ApiRequest) -> Response:
    from shared.gateway.token_counts import count

    operation: CountOperation = await request.parsed(await defaults(request))
    tokens = await request.cancel_on_disconnect(count(request.services, operation.request, request.context))
    return json_response(operation.body(tokens))
