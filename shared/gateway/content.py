"""Raw content: the provider's own response, or one made of several where it gives one candidate a call."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.errors import InvalidRequest
from shared.gateway.estimates import of_content
from shared.gateway.image_compat import still_inlines
from shared.gateway.metering import metered, record_usage
from shared.providers.base import ContentAdapter
from shared.pump import gather_or_cancel
from shared.schemas.context import RequestContext
from shared.schemas.generated_content import ContentRequest, ContentResponse, JsonObject
from shared.schemas.model import Capability, Model

if TYPE_CHECKING:
    from shared.gateway.services import Services


async def generate(services: "Services", request: ContentRequest, context: RequestContext) -> ContentResponse:
    """See Gateway.content."""
    needs = Capability.IMAGE_EDITING if request.images else Capability.IMAGE_GENERATION
    route = services.route_for(needs, request.model, ContentAdapter, context)  # type: ignore[type-abstract]
    model = route.model
    if not isinstance(route.adapter, ContentAdapter):
        raise InvalidRequest.field("model", f"'{model.id}' is served by a provider that this route cannot speak to")

    async def called(call: ContentRequest) -> ContentResponse:
        response = await route.answer(route.adapter.content(call, model), route.adapter.content_response)
        record_usage(context, response.usage)
        return response

    request = replace(request, images=await still_inlines(request.images, model))
    async with metered(services, context, *of_content(request)):
        responses = await gather_or_cancel(called(call) for call in _single_calls(request, model))
    return responses[0] if len(responses) == 1 else _merged(responses)


def _single_calls(request: ContentRequest, model: Model) -> Iterator[ContentRequest]:
    if "single_candidate" not in model.quirks:
        yield request
        return
    for copy in range(request.candidate_count):
        # The same seed in each call would give the same candidate again and again.
        seed = None if request.seed is None else request.seed + copy
        yield replace(request, candidate_count=1, seed=seed)


def _merged(responses: Sequence[ContentResponse]) -> ContentResponse:
    """The first response with the candidates of all, numbered through, and the sum of what they count."""
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
    """Numbers added up, the details by modality as well; anything else is the first response's."""
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
