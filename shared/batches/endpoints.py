"""What a line's URL stands for: the same parser, the same call of the gateway and the same answer as on the route."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from shared.dialects import dialect_for
from shared.dialects.base import Defaults, EmbeddingOperation, ImageOperation, JsonObject, Operation
from shared.errors import GatewayError, InvalidRequest
from shared.gateway.services import Services
from shared.schemas.context import RequestContext
from shared.schemas.speech import SpeechRequest

# S3's own limit. A line may be answered a day before its result is read.
_AUDIO_URL_SECONDS = 7 * 24 * 3600

_Answer = Callable[[Any, JsonObject, Services, RequestContext], Awaitable[JsonObject]]


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """`parser` is a function's place in `shared.dialects`, imported when the first line needs it."""

    parser: str
    answer: _Answer


async def answer(url: str, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    """The body of the answer to a request, whose `url` is one of URLS. Raises any GatewayError, and AwsError."""
    endpoint = _ENDPOINTS[url]
    module, _, function = endpoint.parser.rpartition(".")
    parse = getattr(import_module(f"shared.dialects.{module}"), function)
    return await endpoint.answer(parse, body, services, context)


def error_answer(url: str, error: GatewayError, request_id: str) -> tuple[int, JsonObject]:
    """The status and body with which the route of a URL would answer an error."""
    dialect = dialect_for(url)
    return dialect.status(error), dialect.error(error, request_id)


async def _chat(parse: Any, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    from shared.gateway.chat import chat

    operation: Operation = parse(body, Defaults(max_tokens=services.settings.default_max_tokens))
    if operation.requests[0].stream:
        raise InvalidRequest.field("stream", "the answers of a batch cannot be streamed")
    return operation.body(await chat(services, operation.requests, context), context)


async def _embeddings(parse: Any, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    from shared.gateway.embeddings import embed

    operation: EmbeddingOperation = parse(body)
    return operation.body(await embed(services, operation.request, context), context)


async def _images(parse: Any, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    from shared.gateway.images import generate

    operation: ImageOperation = parse(body)
    return operation.body(await generate(services, operation.request, context, stored=operation.stored), context)


async def _speech(parse: Any, body: JsonObject, services: Services, context: RequestContext) -> JsonObject:
    """Audio cannot stand in a line: it becomes a file of the caller's, and the line says where that is."""
    from shared.dialects.openai.speech import MEDIA_TYPES
    from shared.gateway.speech import speak

    request: SpeechRequest = parse(body)
    audio = b"".join([chunk async for chunk in speak(services, request, context)])
    stored = await services.files.put(context.caller.tenant, "batch_output", f"speech.{request.format}", audio)
    media_type = MEDIA_TYPES[request.format]
    url = await services.objects.presigned("GET", stored.key, _AUDIO_URL_SECONDS, media_type=media_type)
    return {"url": url, "content_type": media_type, "file_id": stored.id}


_ENDPOINTS = {
    "/v1/chat/completions": _Endpoint("openai.chat.chat", _chat),
    "/v1/chat/completions/stable": _Endpoint("stable.chat.chat", _chat),
    "/v1/completions": _Endpoint("openai.completions.completion", _chat),
    "/v1/embeddings": _Endpoint("openai.embeddings.embedding", _embeddings),
    "/v1/images/generations": _Endpoint("openai.images.generation", _images),
    "/v1/audio/speech": _Endpoint("openai.speech.speech", _speech),
    "/v1/inference/chat": _Endpoint("envelope.chat.chat", _chat),
    "/v1/inference/generate": _Endpoint("envelope.chat.generate", _chat),
    "/v1/inference/embed": _Endpoint("envelope.embeddings.embedding", _embeddings),
    "/v1/inference/images/generate": _Endpoint("envelope.images.generation", _images),
    "/v1/inference/audio/synthesize": _Endpoint("envelope.speech.speech", _speech),
}
URLS = frozenset(_ENDPOINTS)
"""Every URL that a line may have."""
