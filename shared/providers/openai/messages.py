"""The messages of a chat completion request."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import assert_never

from shared.providers.base import unsupported
from shared.providers.openai.vendor import NAME
from shared.schemas.chat import ChatRequest, JsonObject
from shared.schemas.content import (
    Audio,
    CachePoint,
    File,
    Image,
    Inline,
    Message,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Text,
    ToolCall,
    ToolResult,
)

# The field that holds the text in each type of OpenRouter's reasoning_details; the other types are opaque.
DETAIL_TEXT = {"reasoning.text": "text", "reasoning.summary": "summary"}


def messages(request: ChatRequest, quirks: frozenset[str]) -> list[JsonObject]:
    """The conversation of a request.

    System text is sent with the role `system`: compatible vendors do not know `developer`, and OpenAI converts it.
    Media is allowed in user messages only. Media of a tool result or of the assistant follows in a user message, after
    all tool results, since nothing may come between these and their calls.
    """
    wire: list[JsonObject] = []
    carried: list[JsonObject] = []
    if request.system:
        wire.append({"role": "system", "content": system_content(request, request.system, quirks)})
    for message in request.messages:
        if carried and message.role != "tool":
            wire.append({"role": "user", "content": carried})
            carried = []
        wire += _wire_messages(message, quirks)
        carried += _carried(message, quirks)
    if carried:
        wire.append({"role": "user", "content": carried})
    return wire


def system_content(request: ChatRequest, system: str, quirks: frozenset[str]) -> str | list[JsonObject]:
    """The system text, cut at its cache points where the vendor takes them."""
    if quirks.isdisjoint(("cache_control", "cache_breakpoints")):
        return system
    parts: list[JsonObject] = []
    begin = 0
    for point in request.system_cache:
        if point.end > begin:
            parts.append(with_cache({"type": "text", "text": system[begin : point.end]}, point, quirks))
            begin = point.end
    if not parts:
        return system
    return [*parts, {"type": "text", "text": system[begin:]}] if begin < len(system) else parts


def cache_control(point: CachePoint) -> JsonObject:
    """OpenRouter's form of a cache point, which is Anthropic's: five minutes or an hour."""
    return {"type": "ephemeral"} if point.ttl in (None, "5m") else {"type": "ephemeral", "ttl": "1h"}


def with_cache(wire: JsonObject, point: CachePoint | None, quirks: frozenset[str]) -> JsonObject:
    """A content part with a cache point, in the form that the vendor takes."""
    if point is None:
        return wire
    if "cache_control" in quirks:
        return {**wire, "cache_control": cache_control(point)}
    if "cache_breakpoints" in quirks:
        # Thirty minutes or, at another price, twelve hours.
        lifetime = {"ttl": "12h"} if point.ttl == "12h" else {}
        return {**wire, "prompt_cache_breakpoint": {"mode": "explicit", **lifetime}}
    return wire


def _wire_messages(message: Message, quirks: frozenset[str]) -> list[JsonObject]:
    named = {"name": message.name} if message.name else {}
    match message.role:
        case "system":
            texts = [part for part in message.parts if isinstance(part, Text)]
            return [{"role": "system", "content": _text_content(texts, "\n", quirks), **named}]
        case "assistant":
            return [{**_assistant(message.parts, quirks), **named}]
        case "user" | "tool":
            results = [_tool_message(part, quirks) for part in message.parts if isinstance(part, ToolResult)]
            content = [wire for part in message.parts if (wire := _cached_part(part, quirks)) is not None]
            if message.role == "user" and (content or not results):
                results.append({"role": "user", "content": _plain_where_possible(content), **named})
            return results
        case _:
            assert_never(message.role)


def _plain_where_possible(content: list[JsonObject]) -> str | list[JsonObject]:
    """A single text as a string, which every vendor accepts."""
    if not content:
        return ""
    is_text = len(content) == 1 and content[0].keys() == {"type", "text"}
    return str(content[0]["text"]) if is_text else content


def _text_content(texts: Sequence[Text], separator: str, quirks: frozenset[str]) -> str | list[JsonObject]:
    """Texts as one string or, with a cache point that the vendor takes, as parts."""
    parts = [with_cache({"type": "text", "text": text.text}, text.cache, quirks) for text in texts]
    if all(part.keys() == {"type", "text"} for part in parts):
        return separator.join(text.text for text in texts)
    return parts


def _cached_part(part: Part, quirks: frozenset[str]) -> JsonObject | None:
    wire = _content_part(part, quirks)
    if wire is None or isinstance(part, Reasoning | Refusal):
        return wire
    return with_cache(wire, part.cache, quirks)


def _content_part(part: Part, quirks: frozenset[str]) -> JsonObject | None:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            image = {"url": media_url(part.source)}
            return {"type": "image_url", "image_url": {**image, "detail": part.detail} if part.detail else image}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case File():
            if isinstance(part.source, Remote) and "file_urls" not in quirks:
                raise unsupported(part.field, "this model takes no URLs of documents; send the document in base64")
            media_type = part.source.media_type if isinstance(part.source, Inline) else "application/pdf"
            name = part.name or "document." + media_type.rpartition("/")[2]
            return {"type": "file", "file": {"filename": name, "file_data": media_url(part.source)}}
        case Reasoning() | Refusal() | ToolCall() | ToolResult():
            return None
        case _:
            assert_never(part)


def media_url(source: Inline | Remote) -> str:
    match source:
        case Inline():
            return f"data:{source.media_type};base64,{source.data}"
        case Remote():
            return source.url
        case _:
            assert_never(source)


def _tool_message(result: ToolResult, quirks: frozenset[str]) -> JsonObject:
    texts = [part for part in result.content if isinstance(part, Text)]
    if not texts and result.content:
        texts = [Text(text="See the next user message.")]
    if result.is_error:
        texts.insert(0, Text(text="The call failed:"))
    if result.cache and texts:
        texts[-1] = texts[-1].model_copy(update={"cache": result.cache})
    content = _text_content(texts, "\n", quirks)
    return {"role": "tool", "tool_call_id": _call_id(result.call_id, quirks), "content": content}


def _carried(message: Message, quirks: frozenset[str]) -> list[JsonObject]:
    """The message's media that its own role cannot carry, preceded by a text that says where it belongs."""
    origins: list[tuple[str, Iterable[Part]]] = [
        (f"Result of tool call {_call_id(part.call_id, quirks)}:", part.content)
        for part in message.parts
        if isinstance(part, ToolResult)
    ]
    if message.role == "assistant":
        origins.append(("From the assistant's message:", message.parts))
    carried: list[JsonObject] = []
    for origin, parts in origins:
        media = [wire for part in parts if (wire := _content_part(part, quirks)) is not None and wire["type"] != "text"]
        if media:
            carried += [{"type": "text", "text": origin}, *media]
    return carried


def _assistant(parts: tuple[Part, ...], quirks: frozenset[str]) -> JsonObject:
    texts = [part for part in parts if isinstance(part, Text)]
    text = "".join(part.text for part in texts)
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    calls = [_tool_call(part, quirks) for part in parts if isinstance(part, ToolCall)]
    content = _text_content(texts, "", quirks - {"cache_breakpoints"})
    message: JsonObject = {"role": "assistant", "content": content or (None if calls else "")}
    if refusal:
        message["refusal"] = refusal
    if calls:
        message["tool_calls"] = calls
    reasoning = [part for part in parts if isinstance(part, Reasoning)]
    return message | _returned_reasoning(reasoning, text, quirks, calls=bool(calls))


def _tool_call(call: ToolCall, quirks: frozenset[str]) -> JsonObject:
    return {
        "id": _call_id(call.id, quirks),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }


def _call_id(call_id: str, quirks: frozenset[str]) -> str:
    """Mistral accepts ids of nine letters and digits only, including ids that other vendors generated."""
    if "short_call_ids" not in quirks or re.fullmatch(r"[A-Za-z0-9]{9}", call_id):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def _returned_reasoning(reasoning: list[Reasoning], text: str, quirks: frozenset[str], *, calls: bool) -> JsonObject:
    """The fields that return reasoning to the model in the form that the vendor documents; empty where it has none."""
    thoughts = "".join(part.text for part in reasoning)
    if "reasoning_content" in quirks and (thoughts or calls):
        # https://api-docs.deepseek.com/guides/thinking_mode#tool-calls. A message with tool calls is refused without
        # it, by some models also when it is empty or when content is null.
        return {"reasoning_content": thoughts or " ", "content": text}
    if "reasoning_details" in quirks:
        # https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks: unchanged or not at all.
        details = [detail for part in reasoning if (detail := _reasoning_detail(part)) is not None]
        return {"reasoning_details": details} if details else {}
    if "reasoning_field" in quirks and thoughts:
        return {"reasoning": thoughts}  # Ollama
    if "thinking_parts" in quirks and thoughts:
        # https://docs.mistral.ai/studio-api/conversations/reasoning
        thinking: list[JsonObject] = [{"type": "thinking", "thinking": [{"type": "text", "text": thoughts}]}]
        return {"content": [*thinking, {"type": "text", "text": text}] if text else thinking}
    return {}


def _reasoning_detail(part: Reasoning) -> JsonObject | None:
    """The reasoning_details entry that the part was made from; None for a part from another vendor."""
    detail = json_object(part.signature) if part.issuer == NAME else None
    if detail is None or detail.keys() == {"type", "id", "encrypted_content"}:  # the Responses API's
        return None
    text_field = DETAIL_TEXT.get(str(detail.get("type")))
    return {**detail, text_field: part.text} if text_field else detail


def json_object(text: str | None) -> JsonObject | None:
    """A signature that this adapter generated; None for one that a caller has altered."""
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
