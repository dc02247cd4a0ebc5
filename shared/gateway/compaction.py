"""Compaction of a conversation, by vendors that have it: nobody else can read what they make of it."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from shared.gateway.attempt import Attempt
from shared.gateway.chat import prepared
from shared.gateway.chat_selection import chat_candidates
from shared.gateway.estimates import of_chat
from shared.gateway.running import Plan, only, run
from shared.gateway.surcharges import has_surcharge
from shared.schemas.chat import ChatRequest, HostedTool
from shared.schemas.compaction import Compaction
from shared.schemas.context import RequestContext

if TYPE_CHECKING:
    from shared.gateway.services import Services

_FEATURE = HostedTool(wire="responses", name="compaction", field="model", is_priced=True)


async def compact(services: "Services", request: ChatRequest, context: RequestContext) -> Compaction:
    """The vendor's compaction of a request's conversation. Raises any GatewayError."""
    # Nothing searches the web for a compaction, though the conversation may offer it.
    others = (tool for tool in request.hosted_tools if not tool.is_search)
    asked = request.model_copy(update={"hosted_tools": (*others, _FEATURE), "web_search": None})

    async def sources(attempt: Attempt) -> list[AsyncGenerator[Compaction, None]]:
        return [_call(attempt, asked)]

    plan = Plan(
        "compaction",
        chat_candidates(services, context, asked),
        lambda model: of_chat([asked], model),
        sources,
        has_surcharge=lambda model: has_surcharge(services, context.caller, asked, model),
    )
    return await only(run(services, context, plan))


async def _call(attempt: Attempt, request: ChatRequest) -> AsyncGenerator[Compaction, None]:
    (ready,) = await prepared(attempt, [request])
    yield await attempt.response(attempt.adapter, ready, lambda: of_chat([request], attempt.model))
