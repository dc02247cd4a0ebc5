"""The conversation of a chat as Gemini's contents. Signatures: https://ai.google.dev/gemini-api/docs/thought-signatures."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import assert_never

from shared.errors import InvalidRequest, UnsupportedFeature
from shared.providers.gemini.wire import NAME, inline, is_gemini_3
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

# Gemini 3 refuses the first function call of a step without a signature, its image models images and text as well. The
# model's own is missing when another model made the turn or a client dropped it. This value stands in for it:
# https://ai.google.dev/gemini-api/docs/thought-signatures#faqs.
_ANY_SIGNATURE = "skip_thought_signature_validator"


def contents(messages: Sequence[Message], model: Model, *, draws: bool) -> list[JsonObject]:
    """The conversation as contents of the roles user and model, which also carry tool results and late system text."""
    turns: list[JsonObject] = []
    for message in messages:
        role = "model" if message.role == "assistant" else "user"
        for part in _parts(message.parts, gemini_3=is_gemini_3(model)):
            _append(turns, role, part)
    _order_results(turns)
    if draws and is_gemini_3(model):
        _sign(turns)
    # A conversation has to begin with the user; an empty part is enough.
    if not turns or turns[0]["role"] == "model":
        turns.insert(0, {"role": "user", "parts": [{"text": ""}]})
    if "no_prefill" in model.quirks and turns[-1]["role"] == "model":
        turns.append({"role": "user", "parts": [{"text": "Continue."}]})
    return turns


def _append(turns: list[JsonObject], role: str, part: JsonObject) -> None:
    """Adds to the last content or a new one. The results of parallel calls have to share a content, and nothing else
    may be in it: https://github.com/pydantic/pydantic-ai/issues/4210."""
    last = turns[-1] if turns else None
    if last and last["role"] == role and _is_result(last["parts"][-1]) == _is_result(part):
        last["parts"].append(part)
    else:
        turns.append({"role": role, "parts": [part]})


def _is_result(part: JsonObject) -> bool:
    return "functionResponse" in part


def _order_results(turns: list[JsonObject]) -> None:
    """Brings results into the order of their calls: not every model matches them by id."""
    for calls, results in pairwise(turns):
        if _is_result(results["parts"][0]):
            ids = [part["functionCall"]["id"] for part in calls["parts"] if "functionCall" in part]
            place = {call_id: index for index, call_id in enumerate(ids)}
            results["parts"].sort(key=lambda part: place.get(part["functionResponse"]["id"], len(place)))


def _sign(turns: list[JsonObject]) -> None:
    """Gives the model's turns the signatures that an image model refuses them without: one on each image, and one on
    the first part where that is text. See https://ai.google.dev/gemini-api/docs/image-generation#thought-signatures.
    """
    for turn in turns:
        if turn["role"] == "model":
            answer = [part for part in turn["parts"] if not part.get("thought")]
            for position, part in enumerate(answer):
                if "inlineData" in part or (position == 0 and "text" in part):
                    part.setdefault("thoughtSignature", _ANY_SIGNATURE)


def _parts(parts: Sequence[Part], *, gemini_3: bool) -> list[JsonObject]:
    wire: list[JsonObject] = []
    for part in parts:
        match part:
            case Text() | Refusal():
                if part.text:
                    wire.append({"text": part.text})
            case Image():
                wire.append(_media(part.source))
            case Audio():
                wire.append(inline(f"audio/{part.format}", part.data))
            case File():
                wire.append(_media(part.source))
            case Reasoning():
                _add_thought(wire, part)
            case ToolCall():
                first = not any("functionCall" in other for other in wire)
                wire.append(_function_call(part, needs_signature=gemini_3 and first))
            case ToolResult():
                wire.append(_function_response(part, gemini_3=gemini_3))
            case _:
                assert_never(part)
    return wire


def _media(source: Inline | Remote) -> JsonObject:
    match source:
        case Inline():
            return inline(source.media_type, source.data)
        case Remote():
            raise UnsupportedFeature("This model does not take images by URL; send them inline.")
        case _:
            assert_never(source)


def _add_thought(wire: list[JsonObject], thought: Reasoning) -> None:
    """Gives a thought back where it was. One without text is the signature of the part before it (see `_Answer`)."""
    if thought.issuer != NAME:
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
    if call.signature and call.issuer == NAME:
        part["thoughtSignature"] = call.signature
    elif needs_signature:
        part["thoughtSignature"] = _ANY_SIGNATURE
    return part


def _arguments(call: ToolCall) -> JsonObject:
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidRequest.field("messages", f"the arguments of the tool call '{call.id}' are not a JSON object")
    return arguments


def _function_response(result: ToolResult, *, gemini_3: bool) -> JsonObject:
    """The text goes as one string: Gemini takes a `$ref` inside a JSON result for a reference to a part of it."""
    text = "\n".join(piece.text for piece in result.content if isinstance(piece, Text))
    response: JsonObject = {"id": result.call_id, "name": result.name, "response": {"output": text}}
    if images := [_media(piece.source) for piece in result.content if isinstance(piece, Image)]:
        if not gemini_3:
            raise UnsupportedFeature("This model does not take images in tool results.")
        response["parts"] = images
    return {"functionResponse": response}
