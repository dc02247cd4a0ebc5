"""The conversation of a request as items of the Responses API."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import field
from typing import assert_never

from shared.dataclass import dataclass
from shared.providers.base import unsupported
from shared.providers.openai.messages import json_object, media_url, with_cache
from shared.providers.openai.vendor import NAME
from shared.schemas.chat import ChatRequest, JsonObject
from shared.schemas.content import (
    Audio,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Text,
    ToolCall,
    ToolResult,
)


def signature(item: JsonObject) -> str | None:
    """What has to be sent back of a reasoning item; None where the vendor, which keeps nothing, could not use it."""
    if not item.get("encrypted_content"):
        return None
    kept = {name: item[name] for name in ("type", "id", "encrypted_content")}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def input_items(request: ChatRequest, quirks: frozenset[str]) -> list[JsonObject]:
    """The messages of a request.

    Media of the assistant follows in a user message, after the results of its tool calls: its own messages hold text.
    """
    custom = frozenset(
        part.id for message in request.messages for part in message.parts if isinstance(part, ToolCall) and part.custom
    )
    items: list[JsonObject] = []
    carried: list[JsonObject] = []
    for message in request.messages:
        if carried and message.role != "tool":
            items.append({"role": "user", "content": carried})
            carried = []
        match message.role:
            case "system":
                texts = [part for part in message.parts if isinstance(part, Text)]
                items.append({"role": "developer", "content": _content(texts, quirks)})
            case "assistant":
                items += _Assistant(message.parts).items()
                carried += _carried(message.parts)
            case "user" | "tool":
                items += _user_items(message, quirks, custom)
            case _:
                assert_never(message.role)
    if carried:
        items.append({"role": "user", "content": carried})
    return items


def _user_items(message: Message, quirks: frozenset[str], custom: frozenset[str]) -> list[JsonObject]:
    results = [_result(part, quirks, custom) for part in message.parts if isinstance(part, ToolResult)]
    content = [part for part in message.parts if isinstance(part, Text | Image | Audio | File)]
    if message.role == "user" and (content or not results):
        results.append({"role": "user", "content": _content(content, quirks)})
    return results


def _content(parts: Iterable[Part], quirks: frozenset[str], separator: str | None = None) -> str | list[JsonObject]:
    """Content parts; as one string where they are a single text, or texts that `separator` may join."""
    wire = [content for part in parts if (content := _content_part(part, quirks)) is not None]
    is_text = all(content.keys() == {"type", "text"} for content in wire)
    if is_text and (len(wire) <= 1 or separator is not None):
        return (separator or "").join(content["text"] for content in wire)
    return wire


def _content_part(part: Part, quirks: frozenset[str]) -> JsonObject | None:
    match part:
        case Text():
            return with_cache({"type": "input_text", "text": part.text}, part.cache, quirks)
        case Image():
            image = {"type": "input_image", "image_url": media_url(part.source), "detail": part.detail or "auto"}
            return with_cache(image, part.cache, quirks)
        case File():
            return with_cache(_file(part), part.cache, quirks)
        case Audio():
            raise unsupported("input_audio", "this model takes no audio")
        case Reasoning() | Refusal() | ToolCall() | ToolResult():
            return None
        case _:
            assert_never(part)


def _file(file: File) -> JsonObject:
    if isinstance(file.source, Remote):
        return {"type": "input_file", "file_url": file.source.url}
    name = file.name or "document." + file.source.media_type.rpartition("/")[2]
    return {"type": "input_file", "filename": name, "file_data": media_url(file.source)}


def _result(result: ToolResult, quirks: frozenset[str], custom: frozenset[str]) -> JsonObject:
    pieces = list(result.content)
    if result.cache and pieces:
        pieces[-1] = pieces[-1].model_copy(update={"cache": result.cache})
    kind = "custom_tool_call_output" if result.call_id in custom else "function_call_output"
    return {"type": kind, "call_id": result.call_id, "output": _content(pieces, quirks, "\n")}


def _carried(parts: Iterable[Part]) -> list[JsonObject]:
    media = [part for part in parts if isinstance(part, Image | Audio | File)]
    found = [content for part in media if (content := _content_part(part, frozenset())) is not None]
    return [{"type": "input_text", "text": "From the assistant's message:"}, *found] if found else []


@dataclass(slots=True)
class _Assistant:
    """The items of one assistant message, in the order of its parts.

    Every text gets a phase, which OpenAI's models rely on:
    https://developers.openai.com/api/docs/guides/deployment-checklist#set-up-the-assistant-phase-parameter.
    """

    parts: tuple[Part, ...]
    _items: list[JsonObject] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)

    def items(self) -> list[JsonObject]:
        said = [at for at, part in enumerate(self.parts) if isinstance(part, Text | Refusal | ToolCall)]
        calls = [at for at in said if isinstance(self.parts[at], ToolCall)]
        last, last_call = max(said, default=-1), max(calls, default=-1)
        for at, part in enumerate(self.parts):
            if isinstance(part, Text):
                self._texts.append(part.text)
                continue
            self._end_text(is_final=at > last_call)
            if isinstance(part, Refusal):
                self._items.append(_refusal(part))
            elif isinstance(part, ToolCall):
                self._items.append(_tool_call(part))
            elif isinstance(part, Reasoning) and at < last and (thought := _reasoning(part)) is not None:
                self._items.append(thought)  # one without what it led to is refused
        self._end_text(is_final=True)
        return self._items

    def _end_text(self, *, is_final: bool) -> None:
        if text := "".join(self._texts):
            phase = "final_answer" if is_final else "commentary"
            self._items.append({"role": "assistant", "content": text, "phase": phase})
        self._texts.clear()


def _refusal(refusal: Refusal) -> JsonObject:
    """OpenAI wants an id, which only has to look like one of its own."""
    return {
        "type": "message",
        "id": "msg_" + hashlib.sha256(refusal.text.encode(errors="replace")).hexdigest()[:48],
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "refusal", "refusal": refusal.text}],
    }


def _tool_call(call: ToolCall) -> JsonObject:
    if call.custom:
        return {"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": call.arguments}
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments or "{}"}


def _reasoning(thought: Reasoning) -> JsonObject | None:
    """The reasoning item that the part was made from; None for a part from elsewhere, or one that has been altered."""
    kept = json_object(thought.signature) if thought.issuer == NAME else None
    if kept is None or kept.keys() != {"type", "id", "encrypted_content"} or kept["type"] != "reasoning":
        return None
    if not all(isinstance(value, str) for value in kept.values()):
        return None
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    return {**kept, "summary": summary}
