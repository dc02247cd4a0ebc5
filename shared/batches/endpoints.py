"""The URLs that a batch line may have: each runs the same parser and gateway call, and gives the same body, as its
route."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shared.dialects import dialect_named, parser
from shared.dialects.base import Defaults, EmbeddingOperation, ImageOperation, JsonObject, Operation, take_models
from shared.errors import GatewayError, InvalidRequest
from shared.gateway.services import Services
from shared.routes import ROUTES, SEALING_DIALECTS, Route
from shared.schemas.context import RequestContext
from shared.sealing import BoundSealer

if TYPE_CHECKING:
    from shared.schemas.speech import SpeechRequest

# S3's limit. A line may be answered a day before its result is read.
_AUDIO_URL_SECONDS = 7 * 24 * 3600

_Answer = Callable[[Route, JsonObject, Services, RequestContext], Awaitable[JsonObject]]


async def answer(url: str, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    """The response body for a request whose `url` is one of URLS. Raises any GatewayError, and AwsError."""
    route = URLS[url]
    body = dict(body)
    context.meter.models = take_models(body, with_fallbacks=route.dialect == "messages")
    return await _ANSWERS[route.operation](route, body, services, context)


def error_answer(url: str, error: GatewayError, request_id: str) -> tuple[int, JsonObject]:
    """The status and body that the route of a URL would return for an error."""
    dialect = dialect_named(URLS[url].dialect)
    return dialect.status(error), dialect.error(error, request_id)


async def _chat(route: Route, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    from shared.gateway.chat import chat

    settings, seal = services.settings, None
    if route.dialect in SEALING_DIALECTS:
        seal = BoundSealer(await services.sealer(), context.caller.tenant)
    defaults = Defaults(
        max_tokens=settings.default_max_tokens,
        thinking_tokens=settings.thinking_tokens,
        seal=seal,
    )
    operation: Operation = parser(route.dialect, route.parser)(body, defaults)
    if operation.requests[0].stream:
        raise InvalidRequest.field("stream", "must not be true in a batch")
    return operation.body(await chat(services, operation.requests, context), context)


async def _responses(route: Route, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    from shared.responses.service import ResponseService

    for name in ("stream", "background"):
        if body.get(name):
            raise InvalidRequest.field(name, "must not be true in a batch")
    service = ResponseService(services)
    return await service.answer(await service.prepare(body, context.caller), context)


async def _embeddings(route: Route, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    from shared.gateway.embeddings import embed

    operation: EmbeddingOperation = parser(route.dialect, route.parser)(body)
    return operation.body(await embed(services, operation.request, context), context)


async def _images(route: Route, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    from shared.gateway.images import generate

    operation: ImageOperation = parser(route.dialect, route.parser)(body)
    return operation.body(await generate(services, operation.request, context, delivery=operation.delivery), context)


async def _speech(route: Route, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    """Stores the audio as a file of the caller's; the body holds the file's id and URL."""
    from shared.dialects.openai.speech import MEDIA_TYPES
    from shared.gateway.speech import speak

    request: SpeechRequest = parser(route.dialect, route.parser)(body)
    audio = b"".join([chunk async for chunk in speak(services, request, context)])
    stored = await services.files.put(context.caller.tenant, "batch_output", f"speech.{request.format}", audio)
    media_type = MEDIA_TYPES[request.format]
    url = await services.objects.presigned("GET", stored.key, _AUDIO_URL_SECONDS, media_type=media_type)
    return {"url": url, "content_type": media_type, "file_id": stored.id}


_ANSWERS: dict[str, _Answer] = {
    "chat.complete": _chat,
    "responses.create_response": _responses,
    "embeddings.embed": _embeddings,
    "images.generate": _images,
    "speech.speak": _speech,
}
URLS = {route.path: route for route in ROUTES if route.batchable}
"""Every URL that a line may have, and its route."""
ENDPOINTS = tuple(url for url, route in URLS.items() if route.dialect != "envelope")
"""The URLs that may be a batch's `endpoint`, which in OpenAI's dialect is the same for all lines."""
