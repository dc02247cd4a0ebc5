"""The sandbox's wire format: the canonical types as JSON, and a stream as one chat event in each server-sent event.

An event's `type` is its class in snake case, its other fields are the event's own:

    data: {"type":"text_delta","text":"Hello","index":0}

A stream ends with a `finished` for each candidate, or with `{"type":"error","status":500,"message":"..."}`.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from shared.framing import sse_frame
from shared.providers.base import error_for_status
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
    fields = _form(name).dump_python(event, mode="json", exclude_none=True)
    return _frame({"type": name, **fields})


def write_error(status: int, message: str) -> bytes:
    """The server-sent event of a failure after the stream has begun."""
    return _frame({"type": "error", "status": status, "message": message})


def _frame(fields: Mapping[str, Any]) -> bytes:
    return sse_frame(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode())


def read_event(data: bytes) -> ChatEvent | None:
    """The chat event in one frame; None for a type that is unknown here.

    Raises the GatewayError that an error event stands for, and ValueError or KeyError for anything else that is not
    the wire format.
    """
    fields: dict[str, Any] = json.loads(data)
    name = fields.pop("type")
    if name == "error":
        raise error_for_status(fields["status"], {}, fields["message"])
    return _form(name).validate_python(fields) if name in _EVENTS else None
