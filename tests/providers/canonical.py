"""Canonical messages, made short for test data."""

from shared.schemas.content import Image, Message, Part, Text, ToolResult


def user(*parts: Part | str) -> Message:
    return Message(role="user", parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Message:
    return Message(role="assistant", parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def result(call_id: str, name: str, *content: Text | Image) -> Message:
    return Message(role="tool", parts=(ToolResult(call_id=call_id, name=name, content=content),))
