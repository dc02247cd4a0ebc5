"""Images: makes as many calls as the provider needs and returns the results stored or inline, as requested."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import reduce
from itertools import chain
from operator import add
from typing import TYPE_CHECKING

from shared.errors import InvalidRequest, UpstreamError, UpstreamTimeout
from shared.gateway.attempt import Attempt
from shared.gateway.candidates import candidates_for
from shared.gateway.estimates import of_images
from shared.gateway.image_compat import readable_mask, still_uploads
from shared.gateway.running import Plan, only, run
from shared.gateway.single_calls import seeds
from shared.gateway.storing import stored as put
from shared.media import IMAGE_TYPES, decoded, encoded
from shared.offload import HEAVY_BYTES, off_loop
from shared.pump import gather_or_cancel
from shared.schemas.content import Inline, Remote
from shared.schemas.context import RequestContext
from shared.schemas.image import Delivery, GeneratedImage, ImageRequest, ImageResponse
from shared.schemas.model import Capability
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.gateway.services import Services


async def generate(
    services: "Services", request: ImageRequest, context: RequestContext, *, delivery: Delivery | None
) -> ImageResponse:
    """`request.n` images: for the delivery "url" Remote with presigned URLs, for the other Inline.

    Without a delivery they are Remote, except those of GPT Image models: these are Inline with a URL, since OpenAI
    always returns base64 for them and its clients read that. Raises any GatewayError; UpstreamError if an image could
    not be stored.
    """

    async def sources(attempt: Attempt) -> list[AsyncGenerator[ImageResponse, None]]:
        return [_response(attempt, request, delivery)]

    needs = Capability.IMAGE_EDITING if request.images else Capability.IMAGE_GENERATION
    found = candidates_for(needs, request.model, services, context)
    plan = Plan("images", found, lambda model: of_images(request), sources)
    return await only(run(services, context, plan))


async def _response(
    attempt: Attempt, request: ImageRequest, delivery: Delivery | None
) -> AsyncGenerator[ImageResponse, None]:
    model, services = attempt.model, attempt.services

    async def called(call: ImageRequest) -> ImageResponse:
        response: ImageResponse = await attempt.response(attempt.adapter, call, lambda: of_images(call))
        return response

    mask = await readable_mask(request.mask, model) if request.mask else None
    request = replace(request, images=await still_uploads(request.images, model), mask=mask)
    calls = [replace(request, n=n, seed=seed) for n, seed in seeds(request.n, request.seed, model)]
    responses = await gather_or_cancel(called(call) for call in calls)
    images = list(chain.from_iterable(response.images for response in responses))
    if not images:
        raise UpstreamError("The provider's response has no image.")
    tenant = attempt.context.caller.tenant
    usual = _in_both_ways if "image_b64_only" in model.quirks else _stored
    delivered = usual if delivery is None else _stored if delivery == "url" else _inline
    try:
        async with asyncio.timeout_at(attempt.deadline):
            images = await gather_or_cancel(delivered(image, services, tenant) for image in images)
    except TimeoutError:
        raise UpstreamTimeout("The images were generated, but could not be stored in time.") from None
    usage = reduce(add, (response.usage for response in responses), Usage())
    yield ImageResponse(images=tuple(images), usage=usage)


async def _stored(image: GeneratedImage, services: "Services", tenant: str) -> GeneratedImage:
    if isinstance(image.source, Inline):
        data = await off_loop(len(image.source.data) > HEAVY_BYTES, decoded, image.source.data)
    else:
        _, data = await _fetched(image, services)
    return replace(image, source=Remote(url=await put(data, services.images, tenant)))


async def _inline(image: GeneratedImage, services: "Services", tenant: str) -> GeneratedImage:
    if isinstance(image.source, Inline):
        return image
    media_type, data = await _fetched(image, services)
    text = await off_loop(len(data) > HEAVY_BYTES, encoded, data)
    return replace(image, source=Inline(media_type=media_type, data=text))


async def _in_both_ways(image: GeneratedImage, services: "Services", tenant: str) -> GeneratedImage:
    image = await _inline(image, services, tenant)
    stored = await _stored(image, services, tenant)
    assert isinstance(stored.source, Remote)
    return replace(image, url=stored.source.url)


async def _fetched(image: GeneratedImage, services: "Services") -> tuple[str, bytes]:
    """The media type and bytes of an image for which the vendor returned only a URL."""
    assert isinstance(image.source, Remote)
    try:
        return await services.fetcher.get(image.source.url, field="url", accept=IMAGE_TYPES)
    except InvalidRequest:  # the fault is not the caller's
        raise UpstreamError("The image was generated, but could not be fetched from the provider.") from None
