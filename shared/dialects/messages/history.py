"""The request as an Anthropic model can take it: without what the gateway has put into other vendors' answers."""

from typing import Any

from shared.dialects.base import JsonObject
from shared.sealing import is_seal


def native_body(body: JsonObject) -> JsonObject:
    """The body without sealed thoughts and sources of other vendors; the same object if it has none.

    The body has been found valid.
    """
    messages = body["messages"]
    cleaned = [_cleaned(message) for message in messages]
    if all(new is old for new, old in zip(cleaned, messages, strict=True)):
        return body
    # A turn without content is refused, and turns of the same role are taken for one.
    kept = [new for new, old in zip(cleaned, messages, strict=True) if new is old or new["content"]]
    return {**body, "messages": kept}


def _cleaned(message: JsonObject) -> JsonObject:
    content = message.get("content")
    if message["role"] != "assistant" or not isinstance(content, list):
        return message
    blocks = [_without_sources(block) for block in content if not _is_sealed(block)]
    if len(blocks) == len(content) and all(new is old for new, old in zip(blocks, content, strict=True)):
        return message
    return {**message, "content": blocks}


def _is_sealed(block: JsonObject) -> bool:
    match block:
        case {"type": "thinking", "signature": str(token)} | {"type": "redacted_thinking", "data": str(token)}:
            return is_seal(token)
    return False


def _without_sources(block: JsonObject) -> JsonObject:
    """The block without citations that no Anthropic model has made: they have no index that it could read."""
    citations = block.get("citations")
    if not isinstance(citations, list) or not any(map(_is_foreign, citations)):
        return block
    own = [citation for citation in citations if not _is_foreign(citation)]
    return {**block, "citations": own} if own else {name: value for name, value in block.items() if name != "citations"}


def _is_foreign(citation: Any) -> bool:
    return isinstance(citation, dict) and citation.get("encrypted_index") == ""
