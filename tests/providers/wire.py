"""The shape of a provider's test data: what goes over its wire in the scenarios that every chat provider must pass."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import GatewayError
from shared.framing import Frame, SseDecoder
from shared.providers.base import FrameDecoder
from shared.schemas.chat import ChatRequest, ChatResponse


def _json_of(frame: Frame) -> Any:
    return json.loads(frame.data)


@dataclass(frozen=True)
class Answer:
    """One result in the vendor's two forms, and what both mean."""

    body: bytes  # the non-streamed JSON body
    stream: bytes  # the streamed body as the vendor sends it
    means: ChatResponse


@dataclass(frozen=True)
class Sent:
    """A canonical request and the JSON that the vendor must get for it."""

    request: ChatRequest  # `model` is a catalog id
    json: Any
    path: str = ""  # the URL's path where it is not the wire's own


@dataclass(frozen=True)
class Failure:
    """An error response of the vendor and the error that our caller gets."""

    status: int
    body: bytes
    raises: type[GatewayError]
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: int | None = None
    message: str | None = None  # text that the caller's message must contain
    secret: str | None = None  # text that the caller's message must not contain


@dataclass(frozen=True)
class ChatWire:
    """One vendor.

    `answers` holds at least: text, tools (two parallel calls, arguments split over several fragments in the stream),
    length, content_filter, usage (cached and reasoning tokens), and reasoning (thinking with its signature, then a
    tool call) where the vendor has it.
    `sent` holds at least: minimal, everything (all knobs), multi_turn, tools, tool_choice_*, tool_results (parallel,
    with ids or names matched), image_inline, image_remote (where the vendor fetches), json_object, json_schema,
    reasoning_round_trip.
    `failures` holds at least: bad_request, bad_key, rate_limited (with Retry-After), server_error, overloaded, html
    (a body that is not JSON), and bad_key_as_400 where the vendor does that.
    """

    adapter: str
    model: str  # the catalog id that `answers` is asked from
    env: Mapping[str, str]  # the variables that configure the provider, its base URL at https://vendor.test
    path: str  # the URL's path of a plain call
    stream_path: str  # of a streamed one (with its query, if any)
    auth: tuple[str, str]  # header and value that carry the key
    answers: Mapping[str, Answer]
    sent: Mapping[str, Sent]
    failures: Mapping[str, Failure]
    midstream_error: bytes  # a stream that breaks off with the vendor's own error event
    midstream_raises: type[GatewayError]
    validate_request: Callable[[Any], object]  # raises when the JSON is not what the vendor's SDK types say
    validate_answer: Callable[[Any], object]  # the same for a body, so that the test data itself is true
    validate_chunk: Callable[[Any], object]  # the same for the value of one stream frame
    decoder: Callable[[], FrameDecoder] = SseDecoder  # of streamed bodies
    value_of: Callable[[Frame], Any] = _json_of  # what a frame holds
