"""The system text and the messages of a chat request."""

import json
import re
import zlib
from collections.abc import Iterator
from typing import Any, TypeAlias, assert_never

from shared.errors import InvalidRequest, UnsupportedFeature
from shared.media import decoded
from shared.providers.anthropic.vendor import NAME
from shared.schemas.chat import ChatRequest, JsonObject, JsonObjectFormat
from shared.schemas.content import (
    Audio,
    CachePoint,
    File,
    Image,
    Inline,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Text,
    ToolCall,
    ToolResult,
)
from shared.schemas.model import Model

Block: TypeAlias = dict[str, Any]

THINKING = frozenset({"thinking", "redacted_thinking"})

_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_MEDIA = frozenset({"image", "document"})

_JSON_ONLY = "Answer with a single JSON object and nothing else: no text around it and no code fence."
GO_ON = "Go on exactly where your last message ends."


def conversation(request: ChatRequest, model: Model) -> tuple[str | list[Block], list[Block]]:
    """The system text and the messages: alternating turns of user and assistant, none of them empty."""
    system: list[str] = [request.system] if request.system else []
    carried: list[Block] = []
    turns: list[Block] = []
    for message in request.messages:
        if message.role == "system":
            system.append("\n".join(part.text for part in message.parts if isinstance(part, Text)))
            continue
        blocks = [block for part in message.parts for block in _cached_blocks(part)]
        if message.role == "assistant":
            # Media is refused in the assistant's turns: images that another model generated go into the next user turn.
            carried += [block for block in blocks if block["type"] in _MEDIA]
            if said := [block for block in blocks if block["type"] not in _MEDIA]:
                _append(turns, "assistant", said)
        else:
            _append(turns, "user", carried + blocks)
            carried = []
    if not turns and not any(piece.strip() for piece in system):
        raise InvalidRequest.field("messages", "must not be empty or blank")
    if isinstance(request.response_format, JsonObjectFormat):
        system.append(_JSON_ONLY)
    text = "\n\n".join(piece for piece in system if piece.strip())
    if not turns:
        return "", [{"role": "user", "content": [{"type": "text", "text": text}]}]
    for turn in turns:  # tool results must directly follow their calls
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    _end(turns, model)
    return _system_blocks(request, text) if request.system_cache else text, turns


def _system_blocks(request: ChatRequest, text: str) -> list[Block]:
    """The system text, with which the request's own begins, cut at its cache points."""
    blocks: list[Block] = []
    begin = 0
    for point in request.system_cache:
        if piece := text[begin : point.end].strip("\n"):
            blocks.append({"type": "text", "text": piece, "cache_control": cache_control(point)})
            begin = point.end
    if rest := text[begin:].strip("\n"):
        blocks.append({"type": "text", "text": rest})
    return blocks


def cache_control(point: CachePoint) -> Block:
    """A cache point. The vendor keeps it for five minutes or an hour."""
    return {"type": "ephemeral"} if point.ttl in (None, "5m") else {"type": "ephemeral", "ttl": "1h"}


def _append(turns: list[Block], role: str, blocks: list[Block]) -> None:
    if blocks and turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    elif blocks:
        turns.append({"role": role, "content": blocks})


def _end(turns: list[Block], model: Model) -> None:
    """Changes a last turn of the assistant into what the model accepts."""
    if not turns or turns[-1]["role"] != "assistant":
        return
    if "no_prefill" in model.quirks:
        turns.append({"role": "user", "content": [{"type": "text", "text": GO_ON}]})
        return
    last = turns[-1]["content"][-1]
    if last["type"] == "text":  # trailing white space is refused
        turns[-1]["content"][-1] = {**last, "text": last["text"].rstrip()}


def _cached_blocks(part: Part) -> Iterator[Block]:
    for block in _blocks(part):
        point = None if isinstance(part, Reasoning | Refusal) else part.cache
        yield block if point is None else {**block, "cache_control": cache_control(point)}


def _blocks(part: Part) -> Iterator[Block]:
    match part:
        case Text(text=text) | Refusal(text=text):
            if text.strip():  # blank blocks are refused
                yield {"type": "text", "text": text}
        case Image():
            yield _image(part)
        case File():
            yield _document(part)
        case Audio():
            raise UnsupportedFeature("Claude models do not support audio input.")
        case Reasoning():
            # Only reasoning that this vendor has signed is accepted.
            if part.issuer == NAME and part.signature and part.redacted:
                yield {"type": "redacted_thinking", "data": part.signature}
            elif part.issuer == NAME and part.signature:
                yield {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case ToolCall():
            call_id = valid_id(part.id)
            yield {"type": "tool_use", "id": call_id, "name": part.name, "input": _input(part.arguments)}
        case ToolResult():
            result: Block = {"type": "tool_result", "tool_use_id": valid_id(part.call_id)}
            if content := [block for piece in part.content for block in _cached_blocks(piece)]:
                result["content"] = content
            if part.is_error:
                result["is_error"] = True
            yield result
        case _:
            assert_never(part)


def valid_id(call_id: str) -> str:
    """A tool call's id in the characters that the vendor accepts. Different ids stay different."""
    if re.fullmatch(r"[a-zA-Z0-9_-]+", call_id):
        return call_id
    return f"{re.sub(r'[^a-zA-Z0-9_-]', '_', call_id)}_{zlib.crc32(call_id.encode(errors='replace')):08x}"


def _input(arguments: str) -> JsonObject:
    try:
        value = json.loads(arguments.strip() or "{}")
    except (ValueError, RecursionError):
        value = None
    # A call that was cut off is not valid JSON, but the model can still see what it wrote.
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}


def _image(image: Image) -> Block:
    match image.source:
        case Remote(url=url):
            return {"type": "image", "source": {"type": "url", "url": url}}
        case Inline(media_type=media_type, data=data):
            media_type = "image/jpeg" if media_type == "image/jpg" else media_type
            if media_type not in _IMAGE_TYPES:
                raise UnsupportedFeature(f"Claude models accept JPEG, PNG, GIF and WebP images, not {media_type}.")
            return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
        case _:
            assert_never(image.source)


def _document(file: File) -> Block:
    document: Block = {"type": "document", "source": _document_source(file.source)}
    if file.name:
        document["title"] = file.name
    return document


def _document_source(source: Inline | Remote) -> Block:
    if isinstance(source, Remote):
        return {"type": "url", "url": source.url}  # PDF only
    media_type, data = source.media_type, source.data
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": data}
    if media_type.startswith("text/"):
        try:
            text = decoded(data).decode()
        except ValueError:
            raise InvalidRequest.field("messages", "contains a text file that is not UTF-8") from None
        return {"type": "text", "media_type": "text/plain", "data": text}
    raise UnsupportedFeature(f"Claude models accept PDF and text files, not {media_type}.")
