"""Files of text, for models whose vendors take other documents only: a text with the file's name."""

import base64

from shared.schemas.chat import ChatRequest
from shared.schemas.content import File, Inline, Message, Part, Text, ToolResult


def has_text_files(request: ChatRequest) -> bool:
    return any(
        isinstance(piece, File) and piece.is_text
        for message in request.messages
        for part in message.parts
        for piece in (part.content if isinstance(part, ToolResult) else (part,))
    )


def with_texts(request: ChatRequest) -> ChatRequest:
    """The request with texts in the place of its files of text."""
    return request.model_copy(update={"messages": tuple(map(_with_texts, request.messages))})


def _with_texts(message: Message) -> Message:
    return message.model_copy(update={"parts": tuple(map(_part_with_text, message.parts))})


def _part_with_text(part: Part) -> Part:
    if isinstance(part, ToolResult):
        content = tuple(_text(piece) if isinstance(piece, File) else piece for piece in part.content)
        return part.model_copy(update={"content": content})
    return _text(part) if isinstance(part, File) else part


def _text(file: File) -> File | Text:
    if not (file.is_text and isinstance(file.source, Inline)):
        return file
    text = base64.b64decode(file.source.data).decode(errors="replace")
    return Text(text=f"{file.name or 'file'}:\n{text}", cache=file.cache)
