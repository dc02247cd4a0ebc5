"""Requests that came in Anthropic's own wire format: sent as they came, but for what the gateway has changed.

Rules of a model that its caller cannot know are still absorbed: a public id may be served by a newer model, which
refuses sampling parameters, budgets for thinking or a last message of the assistant.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.providers.anthropic.messages import GO_ON, Block, conversation, valid_id
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Image, Inline, ToolResult
from shared.schemas.model import Model
from shared.schemas.original import Original

_OLDEST_VERSION = "2023-06-01"
# This version and later ones refuse sampling parameters for every model.
_WITHOUT_SAMPLING = "2026-10-21"
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
_BETAS = re.compile(r"[\x20-\x7e]{1,4000}")
_SEARCH = re.compile(r"web_search_\d{8}")
_SAMPLING = ("temperature", "top_p", "top_k")
_SMALLEST_BUDGET = 1024


def original_headers(original: Original) -> dict[str, str]:
    """The version of the API and the beta features that the caller has asked for."""
    headers = {"anthropic-version": _version(original)}
    if _BETAS.fullmatch(betas := original.headers.get("anthropic-beta", "")):
        headers["anthropic-beta"] = betas
    return headers


def _version(original: Original) -> str:
    version = original.headers.get("anthropic-version", "")
    return version if _VERSION.fullmatch(version) else _OLDEST_VERSION


def original_body(request: ChatRequest, original: Original, model: Model) -> Block:
    """The body of a call. The caller's own is not changed."""
    body: Block = {**original.body, "model": model.upstream, "messages": _messages(request, original, model)}
    if request.withholds_search:
        body["tools"] = [tool for tool in body["tools"] if not _SEARCH.fullmatch(tool.get("type") or "")]
    for name in _refused_sampling(body, original, model):
        body.pop(name, None)
    if request.max_tokens is not None:  # not in a request for a count of tokens
        body["max_tokens"] = request.max_tokens
    changed = _thinking(body, request, model)
    return {name: value for name, value in {**body, **changed}.items() if name not in changed or value is not None}


def _refused_sampling(body: Mapping[str, Any], original: Original, model: Model) -> Iterator[str]:
    if "no_sampling" in model.quirks or _version(original) >= _WITHOUT_SAMPLING:
        yield from _SAMPLING
    elif "temperature_or_top_p" in model.quirks and body.get("temperature") is not None:
        yield "temperature" if body["temperature"] == 1 and body.get("top_p") is not None else "top_p"


# ---- Thinking --------------------------------------------------------------------------------------------------------


def _thinking(body: Mapping[str, Any], request: ChatRequest, model: Model) -> Block:
    """The fields about thinking as the model takes them, where they are to be changed; None for one to leave out."""
    thinking = body.get("thinking") or {}
    config = body.get("output_config") or {}
    changed: Block = {}
    if "budget_thinking" in model.quirks and "effort" in config:
        changed["output_config"] = {name: value for name, value in config.items() if name != "effort"}
    match thinking.get("type"):
        case "enabled" if "adaptive_thinking" in model.quirks:
            display = {name: thinking[name] for name in ("display",) if name in thinking}
            changed["thinking"] = {"type": "adaptive", **display}
            changed["output_config"] = {"effort": _effort(request), **config}
        case "enabled":
            changed["thinking"] = _within(thinking, body.get("max_tokens"))
        case "adaptive" if "budget_thinking" in model.quirks:
            changed["thinking"] = _budget(body.get("max_tokens"))
        case "disabled" if "thinking_between_tools" in model.quirks:
            changed["thinking"] = {"type": "between_tools"}
        case "disabled" | "between_tools" if "always_thinks" in model.quirks:
            changed["thinking"] = None
        case "between_tools" if "thinking_between_tools" not in model.quirks:
            changed["thinking"] = {"type": "disabled"}
    return changed


def _effort(request: ChatRequest) -> str:
    """The effort that stands for the caller's budget."""
    effort = request.reasoning_effort
    return "low" if effort in (None, "none", "minimal") else str(effort)


def _within(thinking: Block, max_tokens: int | None) -> Block:
    """A budget that is smaller than `max_tokens`, which may have been lowered."""
    budget = thinking.get("budget_tokens")
    if max_tokens is None or budget is None or budget < max_tokens or max_tokens <= _SMALLEST_BUDGET:
        return thinking
    return {**thinking, "budget_tokens": max_tokens - 1}


def _budget(max_tokens: int | None) -> Block | None:
    """A budget in place of adaptive thinking, which leaves room for the answer."""
    budget = min(8192, (max_tokens or 0) * 3 // 4)
    return {"type": "enabled", "budget_tokens": budget} if budget >= _SMALLEST_BUDGET else None


# ---- Messages --------------------------------------------------------------------------------------------------------


def _messages(request: ChatRequest, original: Original, model: Model) -> list[Block]:
    messages: list[Block] = original.body["messages"]
    if _has_stored_images(request, messages) and not request.hosted_tools:
        return conversation(request, model)[1]
    messages = [_with_valid_ids(message) for message in messages]
    if "no_prefill" in model.quirks and messages and messages[-1]["role"] == "assistant":
        messages.append({"role": "user", "content": GO_ON})
    return messages


def _has_stored_images(request: ChatRequest, messages: list[Block]) -> bool:
    """Whether the gateway has read images from its own store, which the provider could not fetch for ever."""
    pieces = [
        piece
        for message in request.messages
        for part in message.parts
        for piece in (part.content if isinstance(part, ToolResult) else (part,))
    ]
    inline = sum(isinstance(piece, Image) and isinstance(piece.source, Inline) for piece in pieces)
    return inline > sum(_inline_images(message.get("content")) for message in messages)


def _inline_images(content: Any) -> int:
    """How many images in base64 are in content blocks, those of tool results and documents included."""
    if not isinstance(content, list):
        return 0
    count = 0
    for block in content:
        source = block.get("source")
        if block.get("type") == "image":
            count += isinstance(source, dict) and source.get("type") == "base64"
        elif block.get("type") == "document" and isinstance(source, dict):
            count += _inline_images(source.get("content"))
        elif block.get("type") == "tool_result":
            count += _inline_images(block.get("content"))
    return count


def _with_valid_ids(message: Block) -> Block:
    """The message with tool call ids as the vendor accepts them: other vendors' models may have made them."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    blocks = [_with_valid_id(block) for block in content]
    return (
        message if all(new is old for new, old in zip(blocks, content, strict=True)) else {**message, "content": blocks}
    )


def _with_valid_id(block: Block) -> Block:
    field = {"tool_use": "id", "tool_result": "tool_use_id"}.get(block.get("type", ""))
    if field is None or valid_id(block[field]) == block[field]:
        return block
    return {**block, field: valid_id(block[field])}
