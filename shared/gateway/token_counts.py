"""Counts the input tokens of a chat request: by its provider where that counts them, else by an estimate."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from shared.errors import InvalidRequest
from shared.gateway.attempt import Attempt
from shared.gateway.candidates import Candidate
from shared.gateway.chat_selection import select
from shared.gateway.estimates import input_tokens
from shared.gateway.fitting import fitted
from shared.gateway.running import Plan, only, run
from shared.providers import load
from shared.providers.base import ChatAdapter, TokenCountAdapter
from shared.schemas.chat import ChatRequest
from shared.schemas.context import RequestContext
from shared.schemas.model import Model
from shared.schemas.token_count import TokenCount
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.gateway.services import Services

_OPERATION = "token_counts"


async def count(services: "Services", request: ChatRequest, context: RequestContext) -> int:
    """The number of input tokens. It costs nothing, and counts as a request. Raises any GatewayError."""
    model = select(request, services.catalog, context.caller)
    if not _counts(services, model):
        context.meter.model, context.meter.answered_as = model, request.model
        return max(1, input_tokens(request))

    async def calls(attempt: Attempt) -> list[AsyncGenerator[TokenCount, None]]:
        adapter: ChatAdapter = load(services.catalog.provider(attempt.model.provider).adapter, "chat")
        asked = fitted(request, attempt.model, adapter.wire(attempt.model))
        prepared = await services.inputs.prepared(asked, attempt.model, context.caller.tenant)
        return [_call(attempt, prepared)]

    plan = Plan(_OPERATION, [Candidate(model, request.model)], lambda model: (Usage(), Usage()), calls)
    return (await only(run(services, context, plan))).input_tokens


async def _call(attempt: Attempt, request: ChatRequest) -> AsyncGenerator[TokenCount, None]:
    yield await attempt.response(attempt.adapter, request, lambda: (Usage(), Usage()))


def _counts(services: "Services", model: Model) -> bool:
    try:
        adapter: TokenCountAdapter = load(services.catalog.provider(model.provider).adapter, _OPERATION)
    except InvalidRequest:
        return False
    return adapter.counts(model)
