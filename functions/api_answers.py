"""The answers in the API's document: media types of successes, and errors as the dialect of the route gives them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from functions.api_bodies import bodies_of, query_of, reference, words
from shared.dialects import dialect_named
from shared.dialects.base import JsonObject
from shared.dialects.openai.speech import MEDIA_TYPES
from shared.errors import (
    Conflict,
    GatewayError,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InternalError,
    InvalidRequest,
    MalformedRequest,
    ModelNotFound,
    ModelUnavailable,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    Unauthorized,
    UpstreamError,
    UpstreamTimeout,
)
from shared.routes import ROUTES, DialectName, Route

_TEXT: JsonObject = {"type": "string"}
_OBJECT: JsonObject = {"type": "object"}
_BINARY: JsonObject = {"type": "string", "format": "binary"}
_STREAMED = ("chat.complete", "responses.create_response", "responses.retrieve_response")


def _object(required: Mapping[str, JsonObject], optional: Mapping[str, JsonObject] | None = None) -> JsonObject:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


_OR_NULL: JsonObject = {"type": ["string", "null"]}
_SECONDS: JsonObject = {"type": "integer", "description": "Seconds to wait before a retry."}
_DETAILS: JsonObject = {"type": "array", "items": _object({"field": _TEXT, "message": _TEXT})}
_META = _object({"request_id": _TEXT})
_ENVELOPE = "Envelope"

COMPONENTS: Mapping[str, JsonObject] = {
    _ENVELOPE: _object({"status": {"const": "ok"}, "data": _OBJECT, "meta": _META}),
    "OpenAIError": _object({"error": _object({"message": _TEXT, "type": _TEXT, "param": _OR_NULL, "code": _OR_NULL})}),
    "CompactError": _object(
        {"error": _object({"code": _TEXT, "message": _TEXT, "status": {"type": "integer"}}, {"retry_after": _SECONDS})}
    ),
    "EnvelopeError": _object(
        {
            "status": {"const": "error"},
            "error": _object({"code": _TEXT, "message": _TEXT}, {"retry_after": _SECONDS, "details": _DETAILS}),
            "meta": _META,
        }
    ),
    "MessagesError": _object(
        {
            "type": {"const": "error"},
            "error": _object({"type": _TEXT, "message": _TEXT}, {"details": _OBJECT}),
            "request_id": _TEXT,
        }
    ),
}
"""The schemas to which answers refer."""
_ERRORS: Mapping[DialectName, str] = {
    "openai": "OpenAIError",
    "stable": "OpenAIError",
    "responses": "OpenAIError",
    "compact": "CompactError",
    "envelope": "EnvelopeError",
    "messages": "MessagesError",
}


def _always(route: Route) -> bool:
    return True


def _has_body(route: Route) -> bool:
    return bool(bodies_of(route))


def _has_input(route: Route) -> bool:
    return _has_body(route) or query_of(route) is not None


def _uses_model(route: Route) -> bool:
    return route.is_answered_by_model


def _names_object(route: Route) -> bool:
    return "{" in route.path


def _cancels(route: Route) -> bool:
    return route.path.endswith("/cancel")


# Errors as they may be, when they come, and which routes give them.
_POSSIBLE: tuple[tuple[GatewayError, str, Callable[[Route], bool]], ...] = (
    (InvalidRequest.field("model", "is required"), "a field is missing or wrong", _has_input),
    (MalformedRequest("The request body is not valid JSON."), "the body cannot be read", _has_body),
    (Unauthorized("The API key is not valid."), "the key is missing, unknown, expired or revoked", _always),
    (PermissionDenied("This key lacks the permission models:use."), "the key does not allow this", _always),
    (ModelNotFound("The model 'none' does not exist."), "the model is unknown", _uses_model),
    (NotFound("There is no such object."), "what the path names is unknown", _names_object),
    (Conflict("The batch has ended."), "what the path names has ended", _cancels),
    (
        IdempotencyKeyInUse("The first request with this Idempotency-Key is still being answered.", retry_after=1),
        "the first request with the Idempotency-Key is still being answered",
        _uses_model,
    ),
    (
        IdempotencyKeyReused("This Idempotency-Key was used for a request with another body."),
        "the Idempotency-Key was used for a request with another body",
        _uses_model,
    ),
    (PayloadTooLarge("The request body is larger than 32 MB."), "the body is too large", _has_body),
    (RateLimited("The limit of requests is reached.", retry_after=7), "a limit is reached", _always),
    (InternalError("The gateway failed."), "the gateway failed", _always),
    (UpstreamError("The provider failed."), "the provider failed", _uses_model),
    (
        ModelUnavailable("Keys cannot be checked at the moment. Try again later.", retry_after=1),
        "the model or the gateway is not available at the moment",
        _always,
    ),
    (UpstreamTimeout("The provider timed out."), "the provider took too long", _uses_model),
)
_REQUEST_ID: JsonObject = {"schema": _TEXT, "description": "The id of the request, as in the gateway's log."}
_ANSWERED: Mapping[str, JsonObject] = {
    "x-gateway-model": {"schema": _TEXT, "description": "The model that answered."},
    "x-gateway-backend": {"schema": _TEXT, "description": "The provider and its model behind it."},
    "x-gateway-cost": {"schema": _TEXT, "description": "What the answer cost in dollars; not on streams."},
}


def success(route: Route) -> JsonObject:
    """The description of the answer 200, without its text."""
    headers = {"x-request-id": _REQUEST_ID, **(_ANSWERED if _uses_model(route) else {})}
    return {"headers": headers, "content": {kind: {"schema": schema} for kind, schema in _content(route)}}


def _content(route: Route) -> Iterator[tuple[str, JsonObject]]:
    """The media types of an answer 200 and their schemas."""
    match route.operation:
        case "speech.speak":
            yield from ((media_type, _BINARY) for media_type in MEDIA_TYPES.values())
        case "files.get_content":
            yield "application/octet-stream", _BINARY
        case "transcriptions.transcribe" if route.dialect == "openai":
            yield from (
                (kind, _OBJECT if kind == "application/json" else _TEXT)
                for kind in ("application/json", "text/plain", "text/vtt", "text/event-stream")
            )
        case operation:
            yield "application/json", reference(_ENVELOPE) if route.dialect == "envelope" else _OBJECT
            if operation in _STREAMED:
                yield "text/event-stream", _TEXT


def error_references(route: Route) -> dict[str, JsonObject]:
    """The errors of a route by their status, as references to components."""
    statuses = {_status(route.dialect, error) for error, _, gives in _POSSIBLE if gives(route)}
    return {
        str(status): {"$ref": f"#/components/responses/{_response_name(route.dialect, status)}"}
        for status in sorted(statuses)
    }


def error_responses() -> dict[str, JsonObject]:
    """The components to which `error_references` refers: each with examples that the dialect has written."""
    found: dict[str, list[tuple[DialectName, GatewayError, str]]] = {}
    for dialect in _ERRORS:
        routes = [route for route in ROUTES if route.dialect == dialect]
        for error, when, gives in _POSSIBLE:
            if any(map(gives, routes)):
                name = _response_name(dialect, _status(dialect, error))
                found.setdefault(name, []).append((dialect, error, when))
    return {name: _error_response(errors) for name, errors in sorted(found.items())}


def _error_response(errors: Sequence[tuple[DialectName, GatewayError, str]]) -> JsonObject:
    """The response of one dialect's errors that have the same status."""
    headers = {"x-request-id": _REQUEST_ID}
    if any(error.retry_after is not None for _, error, _ in errors):
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds to wait, where a retry helps."}
    examples = {
        re.sub(r"\W+", "-", when): {
            "summary": _sentence(when),
            "value": dialect_named(dialect).error(error, "example"),
        }
        for dialect, error, when in errors
    }
    schema = reference(_ERRORS[errors[0][0]])
    return {
        "description": _sentence("; or ".join(when for _, _, when in errors)),
        "headers": headers,
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _status(dialect: DialectName, error: GatewayError) -> int:
    return dialect_named(dialect).status(error)


def _response_name(dialect: DialectName, status: int) -> str:
    return f"{words(dialect)}{status}"
