"""Chat messages as Gemini's contents. Signatures: https://ai.google.dev/gemini-api/docs/thought-signatures."""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from typing import assert_never

from shared.errors import InvalidRequest, UnsupportedFeature
from shared.providers.base import unsupported
from shared.providers.gemini.requests import inline_data, is_gemini_3
from shared.providers.gemini.vendor import vendor as gemini
from shared.schemas.chat import JsonObject
from shared.schemas.content import (
    Audio,
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
from shared.schemas.model import Model

# Gemini 3 requires a signature on the first function call of a step, and its image models on images and text as well.
# The model's own is missing if another model made the turn or a client dropped it. This value is accepted instead:
# https://ai.google.dev/gemini-api/docs/thought-signatures#faqs.
_PLACEHOLDER_SIGNATURE = "skip_thought_signature_validator"


def contents(messages: Sequence[Message], model: Model, *, image_output: bool) -> list[JsonObject]:
    """Messages as contents of the roles `model` and `user`; the latter also carries tool results and system messages.

    Raises what `GeminiChat.call` raises for a message.
    """
    turns: list[JsonObject] = []
    for message in messages:
        role = "model" if message.role == "assistant" else "user"
        for part in _parts(message.parts, gemini_3=is_gemini_3(model)):
            _append(turns, role, part)
    _order_results(turns)
    if image_output and is_gemini_3(model):
        _add_placeholders(turns)
    # A conversation has to start with the user; an empty part is enough.
    if not turns or turns[0]["role"] == "model":
        turns.insert(0, {"role": "user", "parts": [{"text": ""}]})
    if "no_prefill" in model.quirks and turns[-1]["role"] == "model":
        turns.append({"role": "user", "parts": [{"text": "Continue."}]})
    return turns


def _append(turns: list[JsonObject], role: str, part: JsonObject) -> None:
    """Appends a part to the last content or to a new one.

    The results of parallel calls must share one content and be alone in it:
    https://github.com/pydantic/pydantic-ai/issues/4210.
    """
    last = turns[-1] if turns else None
    if last and last["role"] == role and _is_result(last["parts"][-1]) == _is_result(part):
        last["parts"].append(part)
    else:
        turns.append({"role": role, "parts": [part]})


def _is_result(part: JsonObject) -> bool:
    return "functionResponse" in part


def _order_results(turns: list[JsonObject]) -> None:
    """Sorts results into the order of their calls, since not every model matches them by id."""
    for calls, results in pairwise(turns):
        if _is_result(results["parts"][0]):
            ids = [part["functionCall"]["id"] for part in calls["parts"] if "functionCall" in part]
            order = {call_id: index for index, call_id in enumerate(ids)}
            results["parts"].sort(key=lambda part: order.get(part["functionResponse"]["id"], len(order)))


def _add_placeholders(turns: list[JsonObject]) -> None:
    """Adds the signatures that image models require in their turns: on each image, and on the first part if it is text.

    See https://ai.google.dev/gemini-api/docs/image-generation#thought-signatures.
    """
    for turn in turns:
        if turn["role"] == "model":
            for part in _signed_by_the_model([part for part in turn["parts"] if not part.get("thought")]):
                part.setdefault("thoughtSignature", _PLACEHOLDER_SIGNATURE)


def _parts(parts: Sequence[Part], *, gemini_3: bool) -> list[JsonObject]:
    wire: list[JsonObject] = []
    for part in parts:
        match part:
            case Text() | Refusal():
                if part.text:
                    wire.append({"text": part.text})
            case Image():
                wire.append(_image(part.source))
            case Audio():
                wire.append(inline_data(f"audio/{part.format}", part.data))
            case File():
                wire.append(_document(part.source))
            case Reasoning():
                _add_thought(wire, part)
            case ToolCall():
                first = not any("functionCall" in other for other in wire)
                wire.append(_function_call(part, needs_signature=gemini_3 and first))
            case ToolResult():
                wire.append(_function_response(part, gemini_3=gemini_3))
            case _:
                assert_never(part)
    return _with_signatures_in_place(wire)


def _with_signatures_in_place(parts: list[JsonObject]) -> list[JsonObject]:
    """The parts, with signatures that precede the content moved onto the text and images that they belong to.

    In the dialects all reasoning precedes the content, so a signature arrives apart from its part. Gemini signs the
    first part if it is text, each image, and function calls, which carry their own. If the number of signatures does
    not match, they stay on empty text parts, which Gemini accepts too.
    """
    ahead = list(takewhile(lambda part: part.get("thought") or _is_bare_signature(part), parts))
    bare = [part for part in ahead if _is_bare_signature(part)]
    shown = [part for part in parts if not part.get("thought") and not _is_bare_signature(part)]
    unsigned = [part for part in _signed_by_the_model(shown) if "thoughtSignature" not in part]
    if not bare or len(bare) != len(unsigned):
        return parts
    for part, signature in zip(unsigned, bare, strict=True):
        part["thoughtSignature"] = signature["thoughtSignature"]
    thoughts = [part for part in ahead if not _is_bare_signature(part)]
    return [*thoughts, *parts[len(ahead) :]]


def _is_bare_signature(part: JsonObject) -> bool:
    return part.get("text") == "" and "thoughtSignature" in part


def _signed_by_the_model(shown: Sequence[JsonObject]) -> Iterator[JsonObject]:
    """The parts of a turn that image models sign, besides calls: images, and the first part if it is text."""
    for position, part in enumerate(shown):
        if "inlineData" in part or (position == 0 and "text" in part):
            yield part


def _image(source: Inline | Remote) -> JsonObject:
    if isinstance(source, Remote):
        raise UnsupportedFeature("This model does not accept images by URL; send them inline.")
    return inline_data(source.media_type, source.data)


def _document(source: Inline | Remote) -> JsonObject:
    if isinstance(source, Remote):
        return {"fileData": {"fileUri": source.url, "mimeType": "application/pdf"}}
    return inline_data(source.media_type, source.data)


def _add_thought(wire: list[JsonObject], thought: Reasoning) -> None:
    """Appends one of Gemini's own thoughts. One without text is the signature of the part before it: see ChatReader."""
    if thought.issuer != gemini.name:
        return
    signature = {"thoughtSignature": thought.signature} if thought.signature else {}
    if thought.text:
        wire.append({"text": thought.text, "thought": True, **signature})
    elif signature and wire and wire[-1].keys() in ({"text"}, {"inlineData"}):
        wire[-1] |= signature
    elif signature:
        wire.append({"text": "", **signature})


def _function_call(call: ToolCall, *, needs_signature: bool) -> JsonObject:
    part: JsonObject = {"functionCall": {"id": call.id, "name": call.name, "args": _arguments(call)}}
    if call.signature and call.issuer == gemini.name:
        part["thoughtSignature"] = call.signature
    elif needs_signature:
        part["thoughtSignature"] = _PLACEHOLDER_SIGNATURE
    return part


def _arguments(call: ToolCall) -> JsonObject:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidRequest.field("messages", f"the arguments of the tool call '{call.id}' are not a JSON object")
    return arguments


def _function_response(result: ToolResult, *, gemini_3: bool) -> JsonObject:
    """The result's text is sent as a string: in a JSON object Gemini would resolve `$ref` as a reference to a part."""
    text = "\n".join(piece.text for piece in result.content if isinstance(piece, Text))
    outcome = {"error" if result.is_error else "output": text}
    response: JsonObject = {"id": result.call_id, "name": result.name, "response": outcome}
    if media := [_media_in_result(piece) for piece in result.content if not isinstance(piece, Text)]:
        if not gemini_3:
            raise UnsupportedFeature("This model does not support images and documents in tool results.")
        response["parts"] = media
    return {"functionResponse": response}


def _media_in_result(piece: Image | File) -> JsonObject:
    """Only what is inline: https://ai.google.dev/gemini-api/docs/function-calling#multimodal."""
    if isinstance(piece, File) and isinstance(piece.source, Remote):
        raise unsupported(piece.field, "this model takes no URLs of documents in tool results; send them in base64")
    return _image(piece.source)
