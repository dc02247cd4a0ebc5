"""A request of the Responses API that goes to it as it came, but for what the gateway has changed."""

from collections.abc import Iterator
from typing import Any

from shared.providers.openai.abilities import reasoning_effort, takes_sampling
from shared.providers.openai.messages import media_url
from shared.providers.openai.responses.request import ENCRYPTED_REASONING, conversation
from shared.schemas.chat import ChatRequest, JsonObject
from shared.schemas.content import Image, ToolResult
from shared.schemas.model import Model
from shared.schemas.original import Original

# The gateway's own: it keeps responses and runs those in the background, and OpenAI does not know `client_metadata`.
_NOT_SENT = frozenset({"background", "client_metadata", "previous_response_id"})
# What a request has for its answer, of which a compaction has none: OpenAI refuses these there.
_OF_THE_ANSWER = frozenset(
    {
        *("context_management", "frequency_penalty", "include", "max_output_tokens", "max_tool_calls", "metadata"),
        *("presence_penalty", "safety_identifier", "store", "stream", "stream_options", "temperature", "tool_choice"),
        *("top_logprobs", "top_p", "truncation", "user"),
    }
)


def original_payload(request: ChatRequest, original: Original, model: Model) -> JsonObject:
    """The caller's body for the upstream model, which stores nothing.

    The gateway decides on the output's length, and on the reasoning effort and the sampling where the model refuses or
    must not get what the caller wants. Images of the gateway's own store go inline.
    """
    effort = reasoning_effort(request, model, over_responses=True)
    body = _without_search(_body(original)) if request.withholds_search else _body(original)
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


def shortened_payload(request: ChatRequest, original: Original, model: Model) -> JsonObject:
    """The body for a compaction of the caller's conversation by the upstream model."""
    body = {name: value for name, value in _body(original).items() if name not in _OF_THE_ANSWER}
    given = _input(request, body.get("input"))
    changed = conversation(request, model) if given is None else {"input": given}
    return {name: value for name, value in {**body, **changed, "model": model.upstream}.items() if value is not None}


def _body(original: Original) -> JsonObject:
    return {name: value for name, value in original.body.items() if name not in _NOT_SENT and value is not None}


def _without_search(body: JsonObject) -> JsonObject:
    """The body without web searches among its tools, those that its input adds, and those that may be called."""
    items = body.get("input")
    changed = {
        "tools": _others(body.get("tools")),
        "input": [_with_others(item) for item in items] if isinstance(items, list) else items,
        "tool_choice": _with_others(body.get("tool_choice")),
    }
    return {**body, **changed}


def _with_others(holder: Any) -> Any:
    """An item, or a choice among tools, whose tools are without web searches."""
    if isinstance(holder, dict) and holder.get("type") in ("additional_tools", "allowed_tools"):
        return {**holder, "tools": _others(holder.get("tools"))}
    return holder


def _others(tools: Any) -> Any:
    if not isinstance(tools, list):
        return tools
    return [tool for tool in tools if not str(tool.get("type")).startswith("web_search")]


def _reasoning(given: Any, effort: str | None) -> Any:
    if effort is None:
        return given
    return {**given, "effort": effort} if isinstance(given, dict) else {"effort": effort}


def _include(given: Any) -> list[Any]:
    names = list(given) if isinstance(given, list) else []
    return names if ENCRYPTED_REASONING in names else [*names, ENCRYPTED_REASONING]


def _input(request: ChatRequest, given: Any) -> Any:
    """The caller's input with its images as the gateway sends them: those of its own store are in no other place.

    None where these are not the images of the canonical messages, since the gateway has added or removed some.
    """
    if not isinstance(given, list):
        return given
    sent = list(_images(request))
    if len(sent) != sum(map(_is_image, (part for item in given for _, parts in _contents(item) for part in parts))):
        return None
    images = iter(sent)
    return [_with_images(item, images) for item in given]


def _images(request: ChatRequest) -> Iterator[Image]:
    for message in request.messages:
        for part in message.parts:
            pieces = part.content if isinstance(part, ToolResult) else (part,)
            yield from (piece for piece in pieces if isinstance(piece, Image))


def _contents(item: Any) -> Iterator[tuple[str, list[Any]]]:
    """The lists of content parts of an item, with the names of their fields: a message's, or a tool's output."""
    if isinstance(item, dict):
        yield from ((name, item[name]) for name in ("content", "output") if isinstance(item.get(name), list))


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "input_image"


def _with_images(item: Any, images: Iterator[Image]) -> Any:
    changed = {
        name: [_sent(part, next(images)) if _is_image(part) else part for part in parts]
        for name, parts in _contents(item)
    }
    return item | changed if changed else item


def _sent(part: JsonObject, image: Image) -> JsonObject:
    url = media_url(image.source)
    rest = {name: value for name, value in part.items() if name != "file_id"}
    return part if part.get("image_url") == url else {**rest, "image_url": url}
