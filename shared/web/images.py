"""Image generation and editing, whatever their dialect: parse, call the gateway once, respond."""

from shared.dialects.base import ImageOperation
from shared.schemas.generated_content import ContentRequest
from shared.web.http import Response
from shared.web.json_response import LargeJson
from shared.web.request import ApiRequest


async def generate(request: ApiRequest) -> Response:
    return await _answer(request, await request.parsed())


async def edit(request: ApiRequest) -> Response:
    """A multipart body."""
    async with request.form("Send smaller images, or fewer.") as form:
        return await _answer(request, request.parse(form))


async def generate_content(request: ApiRequest) -> Response:
    """Returns the provider's own response."""
    from shared.gateway import content as gateway

    content: ContentRequest = await request.parsed()
    response = await request.cancel_on_disconnect(gateway.generate(request.services, content, request.context))
    return LargeJson(response.body)


async def _answer(request: ApiRequest, operation: ImageOperation) -> Response:
    from shared.gateway import images as gateway

    work = gateway.generate(request.services, operation.request, request.context, delivery=operation.delivery)
    response = await request.cancel_on_disconnect(work)
    return LargeJson(operation.body(response, request.context))
