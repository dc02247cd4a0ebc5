"""The system text and the messages of a Converse request.

Wire format: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html. Media is base64, as AWS's
JSON protocol has all bytes.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, TypeAlias, assert_never

from shared.errors import InvalidRequest, UnsupportedFeature
from shared.providers.bedrock.vendor import NAME, family
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

_IMAGE_FORMATS = {
    "image/gif": "gif",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/png": "png",
    "image/webp": "webp",
}
_DOCUMENT_FORMATS = {
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
}
_MEDIA = frozenset({"document", "image"})
_CALL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_SHORT_CALL_ID = re.compile(r"[a-zA-Z0-9]{9}")
_MAX_NAME = 200
_CACHE = "cachePoint"

_JSON_ONLY = "Answer with a single JSON object and nothing else: no text around it and no code fence."
_BEGIN = "Begin."
_GO_ON = "Go on exactly where your last message ends."
_RECEIVED = "I have the results."
_SEE_DOCUMENT = "See the document."


def conversation(request: ChatRequest, model: Model) -> tuple[list[Block], list[Block]]:
    """The blocks of the system text and the messages: alternating turns, the first and the last one the user's.

    System text between turns goes to the head.
    """
    system: list[str] = []
    writer = _Writer(model)
    carried: list[Block] = []
    turns: list[Block] = []
    for message in request.messages:
        if message.role == "system":
            system += [part.text for part in message.parts if isinstance(part, Text)]
            continue
        blocks = [block for part in message.parts for block in writer.cached_blocks(part)]
        if message.role == "assistant":
            # Media is refused in the assistant's turns: images that another model generated go into the next user turn.
            carried += [block for block in blocks if not _MEDIA.isdisjoint(block)]
            _append(turns, "assistant", [block for block in blocks if _MEDIA.isdisjoint(block)])
        else:
            _append(turns, "user", carried + blocks)
            carried = []
    if isinstance(request.response_format, JsonObjectFormat):
        system.append(_JSON_ONLY)
    texts = [*_system_blocks(request, model), *({"text": text} for text in system if text.strip())]
    if not turns:
        if not texts:
            raise InvalidRequest.field("messages", "must not be empty or blank")
        return [], [{"role": "user", "content": texts}]
    messages = [{**turn, "content": _in_two(turn["content"])} for turn in _completed(turns, model)]
    if request.last_cache_point is not None:
        messages[-1]["content"] += cache_point(request.last_cache_point, model)
    return texts, messages


def _system_blocks(request: ChatRequest, model: Model) -> Iterator[Block]:
    """The request's own system text, cut at its cache points."""
    text = request.system or ""
    begin = 0
    for point in request.system_cache:
        if (piece := text[begin : point.end].strip("\n")).strip():
            yield {"text": piece}
            yield from cache_point(point, model)
            begin = point.end
    if (rest := text[begin:].strip("\n") if begin else text).strip():
        yield {"text": rest}


def cache_point(point: CachePoint, model: Model) -> list[Block]:
    """The block behind what is worth keeping; none for a model that has no such blocks.

    Claude's are kept for five minutes or an hour, the others' for five minutes.
    """
    if "cache_points" not in model.quirks:
        return []
    ttl = {} if point.ttl in (None, "5m") or family(model) != "anthropic" else {"ttl": "1h"}
    return [{"cachePoint": {"type": "default", **ttl}}]


def _in_two(blocks: list[Block]) -> list[Block]:
    """The blocks, with cache points behind those that carry one: until here, the two had to move together."""
    found: list[Block] = []
    for block in blocks:
        point = block.pop(_CACHE, None)
        found += [block] if point is None else [block, {_CACHE: point}]
    return found


def _append(turns: list[Block], role: str, blocks: list[Block]) -> None:
    if blocks and turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    elif blocks:
        turns.append({"role": role, "content": blocks})


def _completed(turns: list[Block], model: Model) -> Iterator[Block]:
    """The turns with what the API demands of their order and content."""
    if turns[0]["role"] == "assistant":
        yield _turn("user", _BEGIN)
    for turn in turns:
        if turn["role"] == "user":
            yield from _user_turns(turn["content"], model)
        else:
            yield turn
    if turns[-1]["role"] == "assistant":
        if "no_prefill" in model.quirks:
            yield _turn("user", _GO_ON)
        elif "text" in (last := turns[-1]["content"][-1]):
            last["text"] = last["text"].rstrip()  # trailing white space is refused


def _user_turns(blocks: list[Block], model: Model) -> Iterator[Block]:
    """A user's turn, its tool results first.

    Some models refuse anything beside results, and Claude documents. Turns of one role are joined again by the vendor,
    so a turn of the assistant stands between the two.
    """
    results = [block for block in blocks if "toolResult" in block]
    rest = [block for block in blocks if "toolResult" not in block]
    has_document = any("document" in block for block in rest)
    if has_document and not any("text" in block for block in rest):
        rest.append({"text": _SEE_DOCUMENT})  # a document alone is refused
    if results and rest and (has_document or "lone_tool_results" in model.quirks):
        yield {"role": "user", "content": results}
        yield _turn("assistant", _RECEIVED)
        yield {"role": "user", "content": rest}
    else:
        yield {"role": "user", "content": results + rest}


def _turn(role: str, text: str) -> Block:
    return {"role": role, "content": [{"text": text}]}


class _Writer:
    """Writes the parts of one request, whose documents must have different names."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._names: set[str] = set()

    def cached_blocks(self, part: Part) -> Iterator[Block]:
        """The blocks of a part. One that ends at a cache point carries it."""
        for block in self.blocks(part):
            for point in _points(part):
                for cached in cache_point(point, self._model):
                    block.update(cached)
            yield block

    def blocks(self, part: Part) -> Iterator[Block]:
        match part:
            case Text(text=text) | Refusal(text=text):
                if text.strip():  # blank blocks are refused
                    yield {"text": text}
            case Image():
                yield _image(part)
            case File():
                yield self._document(part)
            case Audio():
                raise UnsupportedFeature(f"The model '{self._model.id}' does not support audio input.")
            case Reasoning():
                if _may_return(part, self._model):
                    yield _reasoning(part)
            case ToolCall():
                call_id = _call_id(part.id, self._model)
                yield {"toolUse": {"toolUseId": call_id, "name": part.name, "input": _input(part.arguments)}}
            case ToolResult():
                content = [block for piece in part.content for block in self.blocks(piece)]
                result: Block = {"toolUseId": _call_id(part.call_id, self._model), "content": content}
                if part.is_error and family(self._model) in ("anthropic", "amazon"):  # others refuse the field
                    result["status"] = "error"
                yield {"toolResult": result}
            case _:
                assert_never(part)

    def _document(self, file: File) -> Block:
        if isinstance(file.source, Remote):
            raise UnsupportedFeature(f"The model '{self._model.id}' takes documents inline only, not by URL.")
        media_type = file.source.media_type
        plain = "txt" if media_type.startswith("text/") else None
        document_format = _DOCUMENT_FORMATS.get(media_type, plain)
        if document_format is None:
            accepted = "PDF, Word, Excel, CSV, HTML, Markdown and text files"
            raise UnsupportedFeature(f"The model '{self._model.id}' accepts {accepted}, not {media_type}.")
        source = {"bytes": file.source.data}
        return {"document": {"format": document_format, "name": self._name(file.name), "source": source}}

    def _name(self, name: str | None) -> str:
        """A document's name without its extension, in the characters that the vendor accepts, told from the others."""
        stem = (name or "").rpartition(".")[0] or name or ""
        clean = " ".join(re.sub(r"[^a-zA-Z0-9\s()\[\]-]", " ", stem).split())[: _MAX_NAME - 8] or "document"
        unique, count = clean, 1
        while unique in self._names:
            count += 1
            unique = f"{clean} ({count})"
        self._names.add(unique)
        return unique


def _points(part: Part) -> Iterator[CachePoint]:
    """The cache points of a part. Those within a tool's result have no place but behind it."""
    if isinstance(part, Reasoning | Refusal):
        return
    if isinstance(part, ToolResult):
        yield from (piece.cache for piece in part.content if piece.cache is not None)
    if part.cache is not None:
        yield part.cache


def _image(image: Image) -> Block:
    match image.source:
        case Remote():
            raise UnsupportedFeature("The model takes images inline only, not by URL.")
        case Inline(media_type=media_type, data=data):
            image_format = _IMAGE_FORMATS.get(media_type)
            if image_format is None:
                raise UnsupportedFeature(f"The model accepts JPEG, PNG, GIF and WebP images, not {media_type}.")
            return {"image": {"format": image_format, "source": {"bytes": data}}}
        case _:
            assert_never(image.source)


def _may_return(part: Reasoning, model: Model) -> bool:
    """Whether the model takes this reasoning back: what it has signed itself, or what its vendor has sealed.

    Unsigned reasoning is refused by some models and repeated aloud by others.
    """
    if part.issuer != NAME or not part.signature:
        return False
    match family(model):
        case "anthropic":
            return not (part.redacted and _is_openais(part.signature))
        case "openai":
            return part.redacted and _is_openais(part.signature)
        case _:
            return False


def _is_openais(redacted: str) -> bool:
    """Whether redacted reasoning is that of OpenAI's models, which Claude cannot read."""
    try:
        return b64decode(redacted[:8]).startswith(b"rsn_")
    except ValueError:
        return False


def _reasoning(part: Reasoning) -> Block:
    if part.redacted:
        return {"reasoningContent": {"redactedContent": part.signature}}
    return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}


def _call_id(call_id: str, model: Model) -> str:
    """A tool call's id in the characters and length that the model accepts. Different ids stay different."""
    if "short_call_ids" in model.quirks:
        return call_id if _SHORT_CALL_ID.fullmatch(call_id) else _hash(call_id)[:9]
    return call_id if _CALL_ID.fullmatch(call_id) else _hash(call_id)


def _hash(call_id: str) -> str:
    return sha256(call_id.encode(errors="replace")).hexdigest()


def _input(arguments: str) -> JsonObject:
    try:
        value = json.loads(arguments.strip() or "{}")
    except ValueError:
        value = None
    # A call that was cut off is not valid JSON, but the model can still see what it wrote.
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}
