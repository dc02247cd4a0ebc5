"""Images: as many calls as their provider takes, and the results stored or inline as the caller wants them."""

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from itertools import chain
from operator import add
from typing import TYPE_CHECKING

from shared.errors import InvalidRequest, UpstreamError, UpstreamTimeout
from shared.gateway.estimates import of_images
from shared.gateway.image_compat import readable_mask, still_uploads
from shared.gateway.metering import metered, record_usage
from shared.gateway.route import caller_of
from shared.gateway.storing import stored as kept
from shared.media import IMAGE_TYPES
from shared.providers.base import ImageAdapter
from shared.pump import gather_or_cancel
from shared.schemas.content import Inline, Remote
from shared.schemas.context import RequestContext
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse
from shared.schemas.model import Capability, Model
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.gateway.services import Services


async def generate(
    services: "Services", request: ImageRequest, context: RequestContext, *, stored: bool
) -> ImageResponse:
    """See Gateway.image."""
    needs = Capability.IMAGE_EDITING if request.images else Capability.IMAGE_GENERATION
    route = services.route_for(needs, request.model, ImageAdapter, context)  # type: ignore[type-abstract]
    model = route.model

    async def called(call: ImageRequest) -> ImageResponse:
        response = await route.answer(route.adapter.image(call, model), route.adapter.image_response)
        record_usage(context, response.usage)
        return response

    mask = await readable_mask(request.mask, model) if request.mask else None
    request = replace(request, images=await still_uploads(request.images, model), mask=mask)
    async with metered(services, context, *of_images(request)):
        responses = await gather_or_cancel(called(call) for call in _single_calls(request, model))
        images = list(chain.from_iterable(response.images for response in responses))
        if not images:
            raise UpstreamError("The provider answered without an image.")
        tenant = caller_of(context).tenant
        delivered = _stored if stored else _inline
        try:
            async with asyncio.timeout_at(route.deadline):
                images = await gather_or_cancel(delivered(image, services, tenant) for image in images)
        except TimeoutError:
            raise UpstreamTimeout("The images were made, but could not be stored in time.") from None
    usage = reduce(add, (response.usage for response in responses), Usage())
    return ImageResponse(images=tuple(images), usage=usage)


def _single_calls(request: ImageRequest, model: Model) -> Iterator[ImageRequest]:
    if "single_candidate" not in model.quirks:
        yield request
        return
    for copy in range(request.n):
        # The same seed in each call would give the same image again and again.
        yield replace(request, n=1, seed=None if request.seed is None else request.seed + copy)


async def _stored(image: GeneratedImage, services: "Services", tenant: str) -> GeneratedImage:
    if isinstance(image.source, Inline):
        data = base64.b64decode(image.source.data)
    else:
        _, data = await _fetched(image, services)
    return replace(image, source=Remote(url=await kept(data, services.images, tenant)))


async def _inline(image: GeneratedImage, services: "Services", tenant: str) -> GeneratedImage:
    if isinstance(image.source, Inline):
        return image
    media_type, data = await _fetched(image, services)
    return replace(image, source=Inline(media_type=media_type, data=base64.b64encode(data).decode("ascii")))


async def _fetched(image: GeneratedImage, services: "Services") -> tuple[str, bytes]:
    """The media type and bytes of an image that the vendor only gives the URL of."""
    assert isinstance(image.source, Remote)
    try:
        return await services.fetcher.get(image.source.url, field="url", accept=IMAGE_TYPES)
    except InvalidRequest:  # the fault is not the caller's
        raise UpstreamError("The image was made, but could not be fetched from the provider.") from None
