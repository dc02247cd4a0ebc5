"""What the sandbox's operations share: how it is reached, its errors, and how its models fail.

Its wire format is its own. A request is JSON with the upstream model's name, sent to a path named after the operation.
An answer is JSON, or events as in `wire.py`; an error is `{"error": "message"}`.

A prompt that holds `[sandbox:refuse]` is refused, and one with `[sandbox:filter]` runs into a content filter.
`fail-timeout` times out at once, unless the request holds for example `[sandbox:wait 30]`: then after 30 seconds.
"""

import json
import re
from collections.abc import Mapping
from importlib import import_module

from pydantic_core import from_json

from shared.errors import ContentFiltered, GatewayError
from shared.framing import SseDecoder
from shared.providers.base import LocalAnswer, clean, error_body, error_for_status

REFUSE = "[sandbox:refuse]"
FILTER = "[sandbox:filter]"
REFUSAL = "I am sorry, but I cannot help with that."
_WAIT = re.compile(rb"\[sandbox:wait (\d{1,4})\]")

SLOW = "slow"
# These do their work, but break off in the middle of it: with an error, and without one.
MIDSTREAM, TRUNCATED = "fail-midstream", "fail-truncated"
_WORKING = {"chat", "image", "embedding", "transcription", "speech", SLOW, MIDSTREAM, TRUNCATED}
BROKEN = "The sandbox failed on purpose."
_FAILURES = {
    "fail-400": (400, "The sandbox refuses this request on purpose."),
    "fail-401": (401, "Incorrect API key provided: sk-sandbox-0000. The key may not reach a client."),
    "fail-429": (429, "The sandbox is busy on purpose."),
    "fail-500": (500, BROKEN),
    "fail-timeout": (504, "The sandbox timed out on purpose."),
}
# Neither JSON nor, read as a stream, an event that holds JSON.
_GARBAGE = b"data: <html>This is not JSON.</html>\n\n"
FILTERED = 451  # the status where a content filter has stopped an answer as a whole
_SLOW_SECONDS = 2.0


class Unanswerable(Exception):
    """A request that the sandbox does not answer. The arguments are a status and a message for the caller."""


class SandboxVendor:
    """Also stands in for the vendor's server (`InProcess` in `base.py`)."""

    name = "sandbox"

    def auth(self, api_key: str | None) -> None:
        """No authentication: there is no key."""

    def frames(self) -> SseDecoder:
        return SseDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        match error_body(body):
            case {"error": str(message)} if status == FILTERED:
                return ContentFiltered(clean(message))
            case {"error": str(message)}:
                return error_for_status(status, headers, message)
            case _:
                return error_for_status(status, headers, None)

    def answer(self, path: str, body: bytes) -> LocalAnswer:
        """The answer to a call of one of the adapters, by the module of its operation."""
        request = from_json(body)
        model = request["model"]
        if model == "fail-garbage":
            return LocalAnswer(iter((_GARBAGE,)))
        if model not in _WORKING:
            wait = _WAIT.search(body) if model == "fail-timeout" else None
            status, message = _FAILURES.get(model, (404, "The sandbox has no such model."))
            return _failure(status, message, *([float(wait[1])] if wait else []))
        try:
            operation = import_module(f"shared.providers.sandbox.{path.removeprefix('/')}")
            answer: LocalAnswer = operation.answer(request)
            return answer
        except Unanswerable as error:
            return _failure(*error.args)


vendor = SandboxVendor()


def whole(model: str, body: bytes) -> LocalAnswer:
    """An answer in one piece as the model gives it: late, cut off, or not at all."""
    if model == MIDSTREAM:
        return _failure(500, BROKEN)
    if model == TRUNCATED:
        body = body[: len(body) // 2]
    return LocalAnswer(iter((_SLOW_SECONDS, body) if model == SLOW else (body,)))


def _failure(status: int, message: str, *pauses: float) -> LocalAnswer:
    body = json.dumps({"error": message}).encode()
    return LocalAnswer(iter((*pauses, body)), status, {"retry-after": "7"} if status == 429 else {})
