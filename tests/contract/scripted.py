"""What a model says, in the wire formats of the three vendors of chat: whole, or streamed where that is asked for."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.contract.all_vendors import CONTENT, MESSAGE, streaming
from tests.contract.vendor import HEAD

OPENAI, ANTHROPIC, GEMINI = "deepseek-ai/DeepSeek-V3-0324", "claude-sonnet-5-5", "gemini-3-pro-preview"
"""A model of each vendor. The first is one of OpenAI's Chat Completions format."""
MODELS = (OPENAI, ANTHROPIC, GEMINI)


@dataclass(frozen=True)
class Thought:
    text: str
    signature: str | None = None


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: dict[str, Any]
    signature: str | None = None


@dataclass(frozen=True)
class Saying:
    """Thoughts, texts and calls in their order; `ending` is `stop`, `tools`, `length` or `filter`."""

    parts: Sequence[str | Thought | Call] = ("Hello there",)
    ending: str = "stop"
    usage: dict[str, int] = field(default_factory=dict)


def answered(request: httpx.Request, saying: Saying) -> httpx.Response:
    """The answer of the vendor that is asked."""
    match request.url.path.split("/")[1]:
        case "anthropic":
            return _anthropic(request, saying)
        case "gemini":
            return _gemini(request, saying)
        case _:
            return _openai(request, saying)


def _is_streamed(request: httpx.Request) -> bool:
    return bool(json.loads(request.content).get("stream")) or "streamGenerateContent" in request.url.path


def _pieces(text: str) -> list[str]:
    """A text in two pieces."""
    return [text[: len(text) // 2], text[len(text) // 2 :]]


# ---- OpenAI's Chat Completions ---------------------------------------------------------------------------------------


def _openai(request: httpx.Request, saying: Saying) -> httpx.Response:
    reasons = {"stop": "stop", "tools": "tool_calls", "length": "length", "filter": "content_filter"}
    reason = reasons[saying.ending]
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16} | {
        "prompt_tokens_details": {"cached_tokens": saying.usage.get("cached", 0)},
        "completion_tokens_details": {"reasoning_tokens": saying.usage.get("reasoning", 0)},
    }
    if not _is_streamed(request):
        texts = [part for part in saying.parts if isinstance(part, str)]
        thoughts = [part.text for part in saying.parts if isinstance(part, Thought)]
        calls = [_openai_call(part) for part in saying.parts if isinstance(part, Call)]
        message = {"role": "assistant", "content": "".join(texts) or None}
        message |= {"reasoning_content": "".join(thoughts)} if thoughts else {}
        message |= {"tool_calls": calls} if calls else {}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return httpx.Response(200, json={**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage})
    chunks = [*_openai_deltas(saying), ({}, reason)]
    bodies = [
        {**HEAD, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": ended}]}
        for delta, ended in chunks
    ]
    last = {**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": usage}
    return _sent(streaming(*bodies, last, done=True), request)


def _openai_call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _openai_deltas(saying: Saying) -> Iterator[tuple[dict[str, Any], None]]:
    yield {"role": "assistant", "content": ""}, None
    position = 0
    for part in saying.parts:
        match part:
            case str():
                yield from (({"content": piece}, None) for piece in _pieces(part))
            case Thought():
                yield from (({"reasoning_content": piece}, None) for piece in _pieces(part.text))
            case Call():
                whole = _openai_call(part)
                head = {**whole, "function": {"name": part.name, "arguments": ""}}
                yield {"tool_calls": [{"index": position, **head}]}, None
                for piece in _pieces(whole["function"]["arguments"]):
                    yield {"tool_calls": [{"index": position, "function": {"arguments": piece}}]}, None
                position += 1


# ---- Anthropic -------------------------------------------------------------------------------------------------------


def _anthropic(request: httpx.Request, saying: Saying) -> httpx.Response:
    reasons = {"stop": "end_turn", "tools": "tool_use", "length": "max_tokens", "filter": "refusal"}
    reason = reasons[saying.ending]
    usage = {"input_tokens": 11, "output_tokens": 5} | {
        "cache_read_input_tokens": saying.usage.get("cached", 0),
        "cache_creation_input_tokens": saying.usage.get("written", 0),
    }
    blocks = [_anthropic_block(part) for part in saying.parts]
    if not _is_streamed(request):
        body = {**MESSAGE, "content": blocks, "stop_reason": reason, "usage": usage}
        return httpx.Response(200, json=body)
    events: list[tuple[str, Any]] = [("message_start", {"message": {**MESSAGE, "content": [], "usage": usage}})]
    for index, block in enumerate(blocks):
        events += _anthropic_events(index, block)
    events += [
        ("message_delta", {"delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 5}}),
        ("message_stop", {}),
    ]
    return _sent(streaming(*((name, {"type": name, **event}) for name, event in events)), request)


def _anthropic_block(part: str | Thought | Call) -> dict[str, Any]:
    match part:
        case str():
            return {"type": "text", "text": part}
        case Thought():
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case Call():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments}


def _anthropic_events(index: int, block: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    def delta(kind: str, **fields: Any) -> tuple[str, Any]:
        return "content_block_delta", {"index": index, "delta": {"type": kind, **fields}}

    match block["type"]:
        case "text":
            yield "content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}}
            yield from (delta("text_delta", text=piece) for piece in _pieces(block["text"]))
        case "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            yield "content_block_start", {"index": index, "content_block": empty}
            yield from (delta("thinking_delta", thinking=piece) for piece in _pieces(block["thinking"]))
            yield delta("signature_delta", signature=block["signature"])
        case "tool_use":
            yield "content_block_start", {"index": index, "content_block": {**block, "input": {}}}
            pieces = _pieces(json.dumps(block["input"]))
            yield from (delta("input_json_delta", partial_json=piece) for piece in pieces)
    yield "content_block_stop", {"index": index}


# ---- Gemini ----------------------------------------------------------------------------------------------------------


def _gemini(request: httpx.Request, saying: Saying) -> httpx.Response:
    reasons = {"stop": "STOP", "tools": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY"}
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 5, "totalTokenCount": 16} | {
        "cachedContentTokenCount": saying.usage.get("cached", 0),
    }
    parts = [_gemini_part(part) for part in saying.parts]
    if not _is_streamed(request):
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": reasons[saying.ending]}
        return httpx.Response(200, json={**CONTENT, "candidates": [candidate], "usageMetadata": usage})
    split = [
        {**part, "text": piece} for part in parts for piece in (_pieces(part["text"]) if "text" in part else [None])
    ]
    bodies: list[Any] = []
    for part in split:
        shown = {name: value for name, value in part.items() if value is not None}
        bodies.append({**CONTENT, "candidates": [{"content": {"role": "model", "parts": [shown]}}]})
    candidate = {"content": {"role": "model", "parts": []}, "finishReason": reasons[saying.ending]}
    bodies.append({**CONTENT, "candidates": [candidate], "usageMetadata": usage})
    return _sent(streaming(*bodies), request)


def _gemini_part(part: str | Thought | Call) -> dict[str, Any]:
    match part:
        case str():
            return {"text": part}
        case Thought():
            return {"text": part.text, "thought": True}
        case Call():
            call = {"id": part.id, "name": part.name, "args": part.arguments}
            signature = {"thoughtSignature": part.signature} if part.signature else {}
            return {"functionCall": call, **signature}


def _sent(handler: Any, request: httpx.Request) -> httpx.Response:
    response: httpx.Response = handler(request)
    return response
