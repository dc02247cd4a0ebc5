"""The sandbox's models: one that answers, one that is slow, and one for each way in which a provider can fail."""

import json
from collections.abc import Iterator
from itertools import islice

from pydantic import ValidationError

from shared.providers.base import LocalAnswer
from shared.providers.sandbox import streaming
from shared.providers.sandbox.chat import respond
from shared.providers.sandbox.streaming import Pace
from shared.providers.sandbox.wire import write_error
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.events import Finished

_USUAL = Pace(first=0.0, between=0.02)
_SLOW = Pace(first=0.5, between=0.2)

# Longer than any time-out.
_FOREVER = 3600.0
_EVENTS_BEFORE_BREAK = 6
_BROKEN = "The sandbox failed on purpose."
# Neither JSON nor, read as a stream, an event that holds JSON.
_GARBAGE = b"data: <html>This is not JSON.</html>\n\n"


def chat_answer(body: bytes) -> LocalAnswer:
    """The answer of the model that a request names."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError:
        return _failure(400, "The request is not a chat request.")
    match request.model.removeprefix("sandbox/"):
        case "chat" | "slow" | "fail-midstream" | "fail-truncated" as name:
            return _engine_answer(name, request)
        case "fail-400":
            return _failure(400, "The sandbox refuses this request on purpose.")
        case "fail-401":
            return _failure(401, "Incorrect API key provided: sk-sandbox-0000. The key may not reach a client.")
        case "fail-429":
            return _failure(429, "The sandbox is busy on purpose.", {"retry-after": "7"})
        case "fail-500":
            return _failure(500, _BROKEN)
        case "fail-timeout":
            return _success(request, iter((_FOREVER,)))
        case "fail-garbage":
            return _success(request, iter((_GARBAGE,)))
        case _:
            return _failure(404, "The sandbox has no such model.")


def _engine_answer(name: str, request: ChatRequest) -> LocalAnswer:
    try:
        response = respond(request)
    except ValueError as error:
        return _failure(400, str(error))
    if name == "fail-midstream" and not request.stream:
        return _failure(500, _BROKEN)
    return _success(request, _streamed(name, response) if request.stream else _whole(name, response))


def _streamed(name: str, response: ChatResponse) -> Iterator[bytes | float]:
    pace = _SLOW if name == "slow" else _USUAL
    if name in ("chat", "slow"):
        yield from streaming.paced(streaming.events(response), pace)
        return
    unfinished = (event for event in streaming.events(response) if not isinstance(event, Finished))
    yield from streaming.paced(islice(unfinished, _EVENTS_BEFORE_BREAK), pace)
    if name == "fail-midstream":
        yield write_error(500, _BROKEN)


def _whole(name: str, response: ChatResponse) -> Iterator[bytes | float]:
    """The body in one piece, for which the slow model takes as long as it would to stream it."""
    if name == "slow":
        stream = streaming.paced(streaming.events(response), _SLOW)
        yield sum(chunk for chunk in stream if isinstance(chunk, float))
    body = response.model_dump_json(exclude_none=True).encode()
    yield body[: len(body) // 2] if name == "fail-truncated" else body


def _success(request: ChatRequest, chunks: Iterator[bytes | float]) -> LocalAnswer:
    media_type = "text/event-stream" if request.stream else "application/json"
    return LocalAnswer(chunks, headers={"content-type": media_type})


def _failure(status: int, message: str, headers: dict[str, str] | None = None) -> LocalAnswer:
    body = json.dumps({"error": {"message": message}}).encode()
    return LocalAnswer(iter((body,)), status, {"content-type": "application/json", **(headers or {})})


def no_such_path() -> LocalAnswer:
    """The answer to a request for something that the sandbox does not do."""
    return _failure(404, "The sandbox has no such path.")
