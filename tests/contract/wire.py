"""What goes over the wires of the dialects: how each route is asked, and the exact shape of each error."""

import json
from dataclasses import dataclass
from typing import Any

import httpx

from shared.framing import Frame, SseDecoder
from shared.routes import ROUTES

SANDBOX = "sandbox/chat"


def paths_of(function: str) -> list[str]:
    """The paths that a function answers, one model being the sandbox's."""
    paths = dict.fromkeys(route.path for route in ROUTES if route.function == function)
    return [path.replace("{model_id:path}", SANDBOX) for path in paths]


CHATS = paths_of("chat")
GENERATES = paths_of("completions")
LISTS = paths_of("models")
POSTS = [*CHATS, *GENERATES]
# One of each kind of answer; what is left out is an alias or shares all of its code with one that is in.
DISTINCT = ["/v1/chat/completions", "/v1/completions", "/ai/chat", "/ai/generate", "/v1/inference/chat"]


def asking(path: str, model: Any = SANDBOX, **fields: Any) -> dict[str, Any]:
    """A body that the route answers, with `fields` added to it or in the place of its own."""
    asked = {"messages": [{"role": "user", "content": "Hello"}]} if path in CHATS else {"prompt": "Hello"}
    return {"model": model, **asked, **fields}


async def make_request(client: httpx.AsyncClient, path: str, **options: Any) -> httpx.Response:
    """A request that the route answers, when nothing in `options` keeps it from that."""
    if path in LISTS:
        return await client.get(path, **options)
    return await client.post(path, json=asking(path), **options)


def events(response: httpx.Response) -> list[Frame]:
    """The events of a streamed answer."""
    assert response.status_code == 200, f"{response.request.url.path}: {response.text[:1000]}"
    assert response.headers["content-type"].startswith("text/event-stream")
    return SseDecoder().feed(response.content)


def dialect_of(path: str) -> str:
    if f"{path}/".startswith("/v1/inference/"):
        return "envelope"
    return "compact" if f"{path}/".startswith("/ai/") else "openai"


@dataclass(frozen=True)
class Kind:
    """One kind of error: its status, and its code in each dialect. `openai` is type and code."""

    status: int
    openai: tuple[str, str | None]
    compact: str
    envelope: str


_INVALID = "invalid_request_error"
KINDS = {
    "malformed": Kind(400, (_INVALID, None), "invalid_request", "VALIDATION_ERROR"),
    "validation": Kind(400, (_INVALID, None), "invalid_request", "VALIDATION_ERROR"),
    "rejected": Kind(400, (_INVALID, None), "invalid_request", "VALIDATION_ERROR"),
    "unsupported": Kind(400, (_INVALID, "unsupported_feature"), "invalid_request", "VALIDATION_ERROR"),
    "too_long": Kind(400, (_INVALID, "context_length_exceeded"), "invalid_request", "VALIDATION_ERROR"),
    "filtered": Kind(400, (_INVALID, "content_filter"), "invalid_request", "VALIDATION_ERROR"),
    "token_missing": Kind(401, ("authentication_error", "missing_api_key"), "unauthorized", "AUTH_TOKEN_MISSING"),
    "token_invalid": Kind(401, ("authentication_error", "invalid_api_key"), "unauthorized", "AUTH_TOKEN_INVALID"),
    "permission": Kind(403, ("permission_error", "permission_denied"), "forbidden", "AUTHZ_PERMISSION_DENIED"),
    "model_access": Kind(403, ("permission_error", "model_access_denied"), "forbidden", "MODEL_ACCESS_DENIED"),
    "not_found": Kind(404, (_INVALID, "not_found"), "not_found", "NOT_FOUND"),
    "model_not_found": Kind(404, (_INVALID, "model_not_found"), "model_not_found", "MODEL_NOT_FOUND"),
    "method": Kind(405, (_INVALID, "method_not_allowed"), "method_not_allowed", "METHOD_NOT_ALLOWED"),
    "too_large": Kind(413, (_INVALID, "payload_too_large"), "payload_too_large", "PAYLOAD_TOO_LARGE"),
    "rate_limited": Kind(
        429, ("rate_limit_error", "rate_limit_exceeded"), "rate_limit_exceeded", "BACKEND_RATE_LIMITED"
    ),
    "no_quota": Kind(429, ("insufficient_quota", "insufficient_quota"), "rate_limit_exceeded", "INSUFFICIENT_QUOTA"),
    "internal": Kind(500, ("server_error", "internal_error"), "internal_error", "INTERNAL_ERROR"),
    "upstream": Kind(502, ("server_error", "upstream_error"), "provider_error", "BACKEND_ERROR"),
    "unavailable": Kind(503, ("server_error", "model_unavailable"), "model_unavailable", "MODEL_UNAVAILABLE"),
    "overloaded": Kind(503, ("server_error", "overloaded"), "provider_error", "MODEL_UNAVAILABLE"),
    "timeout": Kind(504, ("server_error", "upstream_timeout"), "provider_timeout", "BACKEND_TIMEOUT"),
}


def assert_error(
    response: httpx.Response, kind: str, *, field: str | None = None, retry_after: int | None = None
) -> str:
    """That an answer is this error in its route's dialect and nothing more; gives its message.

    `field` is the one that the error must name.
    """
    path = response.request.url.path
    dialect = dialect_of(path)
    status = 422 if (dialect, kind) == ("envelope", "validation") else KINDS[kind].status
    assert response.status_code == status, f"{path} answered {response.status_code}: {response.text[:1000]}"
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert response.headers.get("retry-after") == (None if retry_after is None else str(retry_after))
    body = response.json()
    message: str = body["error"]["message"]
    assert message
    if dialect == "envelope":
        details = body["error"].get("details")
        error = envelope_error(kind, message)
        if details is not None:
            assert all(detail.keys() == {"field", "message"} for detail in details)
            error["details"] = details
        if retry_after is not None:
            error["retry_after"] = retry_after
        meta = {"request_id": response.headers["x-request-id"]}
        assert body == {"status": "error", "error": error, "meta": meta}
        assert response.headers["x-scaigrid-request-id"] == meta["request_id"]
        assert field is None or field in [detail["field"] for detail in details], body
    elif dialect == "compact":
        assert body == {"error": compact_error(kind, message, retry_after)}
        assert field is None or field in message, body
    else:
        assert body == {"error": openai_error(kind, message, field)}
    return message


def openai_error(kind: str, message: str, param: str | None = None) -> dict[str, Any]:
    error_type, code = KINDS[kind].openai
    return {"message": message, "type": error_type, "param": param, "code": code}


def compact_error(kind: str, message: str, retry_after: int | None = None) -> dict[str, Any]:
    error = {"code": KINDS[kind].compact, "message": message, "status": KINDS[kind].status}
    if retry_after is None:
        return error
    assert f"{retry_after} seconds" in message
    return {**error, "retry_after": retry_after}


def envelope_error(kind: str, message: str) -> dict[str, Any]:
    return {"code": KINDS[kind].envelope, "message": message}


def assert_broken_stream(response: httpx.Response, kind: str) -> str:
    """That a stream has begun, and ends with this error as its dialect tells it; gives the error's message."""
    dialect = dialect_of(response.request.url.path)
    told = events(response)
    if dialect == "envelope":
        assert told.pop().data == b"[DONE]"
        assert told[-1].event == "error"
    else:
        assert all(not event.event for event in told)
    body = json.loads(told.pop().data)
    message: str = body["message"] if dialect == "envelope" else body["error"]["message"]
    match dialect:
        case "envelope":
            assert body == envelope_error(kind, message)
        case "compact":
            assert body == {"error": compact_error(kind, message, body["error"].get("retry_after"))}
        case _:
            assert body == {"error": openai_error(kind, message)}
    assert all(event.data != b"[DONE]" and "error" not in json.loads(event.data) for event in told)
    return message
