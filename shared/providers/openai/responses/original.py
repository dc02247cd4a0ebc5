"""A request of the Responses API that goes to it as it came, but for what the gateway has changed."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.providers.openai.abilities import reasoning_effort, takes_sampling
from shared.providers.openai.messages import media_url
from shared.providers.openai.responses.request import ENCRYPTED_REASONING, conversation
from shared.schemas.chat import ChatRequest, JsonObject
from shared.schemas.content import File, Image, Inline, ToolResult
from shared.schemas.model import Model
from shared.schemas.original import Original

# The gateway's own: it keeps responses and runs those in the background, and OpenAI does not know `client_metadata`.
_NOT_SENT = frozenset({"background", "client_metadata", "previous_response_id"})


def original_payload(request: ChatRequest, original: Original, model: Model) -> JsonObject:
    """The caller's body for the upstream model, which stores nothing.

    The gateway decides on the output's length, and on the reasoning effort and the sampling where the model refuses or
    must not get what the caller wants. Images and files of the gateway's own go inline.
    """
    effort = reasoning_effort(request, model, over_responses=True)
    body = {name: value for name, value in original.body.items() if name not in _NOT_SENT and value is not None}
    changed: JsonObject = {
        "model": model.upstream,
        "input": _input(request, body.get("input")),
        "max_output_tokens": request.max_output_tokens,
        "reasoning": _reasoning(body.get("reasoning"), effort),
        "include": _include(body.get("include")),
        "store": False,
        "stream": request.stream or None,
    }
    if changed["input"] is None:
        changed |= conversation(request, model)
    if not request.stream:
        changed["stream_options"] = None
    if not takes_sampling(model, effort):
        changed |= {"temperature": None, "top_p": None}
    return {name: value for name, value in (body | changed).items() if value is not None}


def _reasoning(given: Any, effort: str | None) -> Any:
    if effort is None:
        return given
    return {**given, "effort": effort} if isinstance(given, dict) else {"effort": effort}


def _include(given: Any) -> list[Any]:
    names = list(given) if isinstance(given, list) else []
    return names if ENCRYPTED_REASONING in names else [*names, ENCRYPTED_REASONING]


def _input(request: ChatRequest, given: Any) -> Any:
    """The caller's input with its images and files as the gateway sends them.

    None where these are not the same as in the canonical messages: the gateway has added or removed some.
    """
    if not isinstance(given, list):
        return given
    sent = list(_media(request))
    if len(sent) != sum(1 for item in given for _ in _media_parts(item)):
        return None
    media = iter(sent)
    return [_with_media(item, media) for item in given]


def _media(request: ChatRequest) -> Iterator[Image | File]:
    for message in request.messages:
        for part in message.parts:
            pieces = part.content if isinstance(part, ToolResult) else (part,)
            yield from (piece for piece in pieces if isinstance(piece, Image | File))


def _media_parts(item: Any) -> Iterator[Mapping[str, Any]]:
    """The images and files of an item: of a message's content, or of a tool's output."""
    if isinstance(item, dict):
        for name in ("content", "output"):
            parts = item.get(name)
            if isinstance(parts, list):
                yield from (part for part in parts if _is_media(part))


def _is_media(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in ("input_image", "input_file")


def _with_media(item: Any, media: Iterator[Image | File]) -> Any:
    if not any(True for _ in _media_parts(item)):
        return item
    changed = {
        name: [_sent(part, next(media)) if _is_media(part) else part for part in item[name]]
        for name in ("content", "output")
        if isinstance(item.get(name), list)
    }
    return item | changed


def _sent(part: JsonObject, media: Image | File) -> JsonObject:
    """An image or file as the caller gave it, or inline where the gateway has read it from its own store."""
    rest = {name: value for name, value in part.items() if name not in ("file_id", "image_url", "file_url")}
    if isinstance(media, Image):
        url = media_url(media.source)
        return part if part.get("image_url") == url else {**rest, "image_url": url}
    if part.get("file_id") and isinstance(media.source, Inline):
        named = {"filename": media.name} if media.name else {}
        return {**named, **rest, "file_data": media_url(media.source)}
    return part
