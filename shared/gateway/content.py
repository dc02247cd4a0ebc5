"""Raw content: the provider's own response, merged from several calls if the model gives one candidate per call."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.gateway.attempt import Attempt
from shared.gateway.candidates import candidates_for
from shared.gateway.estimates import of_content
from shared.gateway.image_compat import still_inlines
from shared.gateway.running import Plan, only, run
from shared.gateway.single_calls import seeds
from shared.pump import gather_or_cancel
from shared.schemas.context import RequestContext
from shared.schemas.generated_content import ContentRequest, ContentResponse, JsonObject
from shared.schemas.model import Capability

if TYPE_CHECKING:
    from shared.gateway.services import Services


async def generate(services: "Services", request: ContentRequest, context: RequestContext) -> ContentResponse:
    """The provider's GenerateContentResponse; if several calls are needed, one with the candidates of all.

    Raises any GatewayError, InvalidRequest for a provider that does not speak Gemini's generateContent.
    """

    async def sources(attempt: Attempt) -> list[AsyncGenerator[ContentResponse, None]]:
        return [_response(attempt, request)]

    needs = Capability.IMAGE_EDITING if request.images else Capability.IMAGE_GENERATION
    found = candidates_for(needs, request.model, services, context)
    plan = Plan("content", found, lambda model: of_content(request), sources)
    return await only(run(services, context, plan))


async def _response(attempt: Attempt, request: ContentRequest) -> AsyncGenerator[ContentResponse, None]:
    async def called(call: ContentRequest) -> ContentResponse:
        response: ContentResponse = await attempt.response(attempt.adapter, call, lambda: of_content(call))
        return response

    request = replace(request, images=await still_inlines(request.images, attempt.model))
    calls = [
        replace(request, candidate_count=n, seed=seed)
        for n, seed in seeds(request.candidate_count, request.seed, attempt.model)
    ]
    responses = await gather_or_cancel(called(call) for call in calls)
    yield responses[0] if len(responses) == 1 else _merged(responses)


def _merged(responses: Sequence[ContentResponse]) -> ContentResponse:
    """The first response with the candidates of all, renumbered, and the sum of their usage."""
    candidates = [candidate for response in responses for candidate in response.body["candidates"]]
    body = {
        **responses[0].body,
        "candidates": [{**candidate, "index": index} for index, candidate in enumerate(candidates)],
        "usage_metadata": _summed([response.body.get("usage_metadata", {}) for response in responses]),
    }
    usage = responses[0].usage
    for response in responses[1:]:
        usage += response.usage
    return ContentResponse(body, usage)


def _summed(counts: Sequence[JsonObject]) -> JsonObject:
    """Numbers added up, also the details by modality; all other values are the first response's."""
    total = dict(counts[0])
    for count in counts[1:]:
        for name, value in count.items():
            known = total.get(name)
            if isinstance(value, int) and isinstance(known, int):
                total[name] = known + value
            elif isinstance(value, list) and isinstance(known, list):
                total[name] = _summed_details([*known, *value])
            elif known is None:
                total[name] = value
    return total


def _summed_details(details: Sequence[JsonObject]) -> list[JsonObject]:
    by_modality: dict[str, int] = {}
    for detail in details:
        modality = detail.get("modality", "MODALITY_UNSPECIFIED")
        by_modality[modality] = by_modality.get(modality, 0) + detail.get("token_count", 0)
    return [{"modality": modality, "token_count": count} for modality, count in by_modality.items()]
