"""Chat on the sandbox's wire: the canonical types as JSON, and a stream as one chat event in each server-sent event.

An event's `type` is its class in snake case, its other fields are the event's own:

    data: {"type":"text_delta","text":"Hello","index":0}

A stream ends with a `finished` for each candidate, or with `{"type":"error","status":500,"message":"..."}`.
"""

from collections.abc import Mapping
from functools import cache

from pydantic import TypeAdapter

from shared.providers.sandbox import frames
from shared.schemas.events import (
    ChatEvent,
    Finished,
    ImageDelta,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)

_EVENTS: Mapping[str, type[ChatEvent]] = {
    "started": Started,
    "text_delta": TextDelta,
    "refusal_delta": RefusalDelta,
    "reasoning_delta": ReasoningDelta,
    "tool_call_started": ToolCallStarted,
    "tool_call_delta": ToolCallDelta,
    "image_delta": ImageDelta,
    "logprobs_delta": LogprobsDelta,
    "finished": Finished,
}
_NAMES = {event: name for name, event in _EVENTS.items()}


@cache
def _form(name: str) -> TypeAdapter[ChatEvent]:
    return TypeAdapter(_EVENTS[name])


def write_event(event: ChatEvent) -> bytes:
    """The server-sent event of a chat event."""
    name = _NAMES[type(event)]
    return frames.write(name, _form(name).dump_python(event, mode="json", exclude_none=True))


def read_event(data: bytes) -> ChatEvent | None:
    """The chat event in one frame; None for a type that is unknown here. Raises what `frames.read` raises."""
    name, fields = frames.read(data)
    return _form(name).validate_python(fields) if name in _EVENTS else None
