"""How models behave whatever they are asked: most work, one is slow, and each of the others fails in its own way."""

import json
from collections.abc import Mapping

from shared.providers.base import LocalAnswer

JSON = "application/json"
EVENTS = "text/event-stream"

SLOW = "slow"
# These do their work, but do not get to its end.
MIDSTREAM = "fail-midstream"
TRUNCATED = "fail-truncated"
# Between a streamed model's words, in seconds.
USUAL_PAUSE = 0.02
SLOW_PAUSE = 0.2

BROKEN = "The sandbox failed on purpose."
# Longer than any time-out.
_FOREVER = 3600.0
# Neither JSON nor, read as a stream, an event that holds JSON.
_GARBAGE = b"data: <html>This is not JSON.</html>\n\n"


def name_of(model: str) -> str:
    """A model's name without the vendor's."""
    return model.removeprefix("sandbox/")


def instead(model: str, *workers: str, media_type: str = JSON) -> LocalAnswer | None:
    """What a model answers instead of doing its work; None for one of the `workers`, and for those that get stuck."""
    match name_of(model):
        case "fail-400":
            return failure(400, "The sandbox refuses this request on purpose.")
        case "fail-401":
            return failure(401, "Incorrect API key provided: sk-sandbox-0000. The key may not reach a client.")
        case "fail-429":
            return failure(429, "The sandbox is busy on purpose.", headers={"retry-after": "7"})
        case "fail-500":
            return failure(500, BROKEN)
        case "fail-timeout":
            return success(_FOREVER, media_type=media_type)
        case "fail-garbage":
            return success(_GARBAGE, media_type=media_type)
        case name if name in (*workers, SLOW, MIDSTREAM, TRUNCATED):
            return None
        case _:
            return failure(404, "The sandbox has no such model.")


def whole(model: str, body: bytes, *, slow_seconds: float = 2.0) -> LocalAnswer:
    """A JSON body in one piece, as the model brings it out: late, cut off, or not at all."""
    match name_of(model):
        case "slow":
            return success(slow_seconds, body)
        case "fail-midstream":
            return failure(500, BROKEN)
        case "fail-truncated":
            return success(body[: len(body) // 2])
        case _:
            return success(body)


def success(*chunks: bytes | float, media_type: str = JSON) -> LocalAnswer:
    """Body bytes, and pauses in seconds."""
    return LocalAnswer(iter(chunks), headers={"content-type": media_type})


def failure(
    status: int, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None
) -> LocalAnswer:
    """An error in the sandbox's format."""
    error = {"message": message} if code is None else {"message": message, "code": code}
    return LocalAnswer(
        iter((json.dumps({"error": error}).encode(),)), status, {"content-type": JSON, **(headers or {})}
    )


def filtered() -> LocalAnswer:
    """The answer to a whole request that a content filter has stopped."""
    return failure(400, "The sandbox's content filter refused this prompt.", code=FILTERED)


FILTERED = "content_filter"
