"""Estimates the expected and the maximum usage of a request before it is made.

Each function returns both as `Usage`. The expected usage counts against the tokens per minute; the ceiling bounds the
cost: a budget is never exceeded as long as no request costs more than was reserved for it.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

from pydantic_core import to_json

from shared.schemas.content import Audio, File, Image, Inline, Reasoning, Refusal, Text, ToolCall, ToolResult
from shared.schemas.model import Capability, Model
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.schemas.chat import ChatRequest
    from shared.schemas.content import Part
    from shared.schemas.embedding import EmbeddingRequest
    from shared.schemas.generated_content import ContentRequest
    from shared.schemas.image import ImageRequest
    from shared.schemas.original import Original
    from shared.schemas.speech import SpeechRequest
    from shared.schemas.transcription import TranscriptionRequest

# A conservative estimate: English has about 4 bytes of UTF-8 per token, code and other scripts fewer.
BYTES_PER_TOKEN = 3
_TOKENS_PER_MEDIUM = 1500
# Output tokens if the caller sets no maximum.
_PROBABLE_ANSWER = 1024
_LONGEST_ANSWER = 32_768
# More than any vendor's largest image takes, as output and as input.
_TOKENS_PER_IMAGE = 8192
_TOKENS_PER_LOOK = 10_000
# Of a document behind a URL, whose size is not known here: the longest context of any model.
_LARGEST_DOCUMENT = 2_000_000
# Overhead of each message, tool and text, and the instructions about tools that some vendors add.
_TOKENS_AROUND = 16
_TOKENS_ABOUT_TOOLS = 1000
_TOKENS_ABOUT_A_HOSTED_TOOL = 5000
# Speech as usually compressed; vendors' input tokens and spoken tokens per second.
_BYTES_PER_SECOND = 16_000
_TOKENS_PER_SECOND = 32
_LEAST_SECONDS = 10  # shorter sounds are rounded up to no more than this
_SPOKEN_PER_SECOND = 5
_MOST_SPOKEN_PER_SECOND = 25
# The items of the Responses API that the canonical messages hold whole.
_IN_MESSAGES = frozenset(
    {
        *("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
        "item_reference",
    }
)


def of_chat(requests: "Sequence[ChatRequest]", model: Model) -> tuple[Usage, Usage]:
    """The usage of chat requests that are answered together."""
    calls = [(request, request.n if "single_candidate" in model.quirks else 1) for request in requests]
    draws = Capability.IMAGE_OUTPUT in model.capabilities and Capability.FUNCTION_CALLING not in model.capabilities
    longest = _TOKENS_PER_IMAGE if draws else model.max_output_tokens or _LONGEST_ANSWER
    expected = Usage(
        input_tokens=sum(input_tokens(request) * times for request, times in calls),
        output_tokens=sum((request.max_tokens or _PROBABLE_ANSWER) * request.n for request in requests),
    )
    ceiling = Usage(
        input_tokens=sum(_most_input(request, model) * times for request, times in calls),
        cache_write_1h_tokens=sum(_most_input(request, model) * times for request, times in calls if _is_long(request)),
        output_tokens=sum(
            (longest if draws else request.max_output_tokens or longest) * request.n for request in requests
        ),
        images=sum(request.n for request in requests) if draws else 0,
    )
    return expected, ceiling


def _is_long(request: "ChatRequest") -> bool:
    """Whether the caller asks for caches that are kept longer than usual, which costs more."""
    points = (*request.cache_points(), *([request.cache] if request.cache else ()))
    return any(point.ttl not in (None, "5m") for point in points)


def input_tokens(request: "ChatRequest") -> int:
    """The approximate number of a request's input tokens."""
    size = _bytes(request.system or "")
    size += sum(
        _bytes(tool.name) + _bytes(tool.description or "") + _bytes(str(tool.parameters)) for tool in request.tools
    )
    if request.response_format is not None:
        size += _bytes(request.response_format.model_dump_json())
    media = 0
    for message in request.messages:
        for part in message.parts:
            match part:
                case Text() | Reasoning() | Refusal():
                    size += _bytes(part.text)
                case ToolCall():
                    size += _bytes(part.arguments)
                case ToolResult():
                    size += sum(_bytes(piece.text) for piece in part.content if isinstance(piece, Text))
                    media += sum(not isinstance(piece, Text) for piece in part.content)
                case Image() | Audio() | File():
                    media += 1
    return size // BYTES_PER_TOKEN + media * _TOKENS_PER_MEDIUM


def _most_input(request: "ChatRequest", model: Model) -> int:
    """An upper bound of the input tokens: no tokenizer produces more tokens than a text has bytes."""
    size = _TOKENS_AROUND + _bytes(request.system or "")
    if request.tools or request.hosted_tools:
        size += _TOKENS_ABOUT_TOOLS + _most_about_tools(request)
    if request.response_format is not None:
        size += _bytes(request.response_format.model_dump_json())
    for message in request.messages:
        size += _TOKENS_AROUND + _bytes(message.name or "") + sum(_most_of_part(part, model) for part in message.parts)
    return size + (0 if request.original is None else _most_beside_messages(request.original))


def _most_beside_messages(original: "Original") -> int:
    """An upper bound of the tokens of what a vendor of the same wire format is sent beside the canonical messages."""
    items = original.body.get("input") if original.wire == "responses" else None
    if not isinstance(items, list):
        return 0
    kinds = [(item.get("type", "message"), item) for item in items if isinstance(item, dict)]
    return sum(
        _TOKENS_PER_LOOK if kind == "image_generation_call" else _bytes(json.dumps(item, ensure_ascii=False))
        for kind, item in kinds
        if kind not in _IN_MESSAGES
    )


def _most_about_tools(request: "ChatRequest") -> int:
    """The tools as they came, where more of them than the canonical form has may reach the provider.

    What a provider tells the model about a tool of its own is not known.
    """
    hosted = len(request.hosted_tools) * _TOKENS_ABOUT_A_HOSTED_TOOL
    if request.original is not None:
        return hosted + len(to_json(request.original.body.get("tools"))) + len(request.tools) * _TOKENS_AROUND
    return hosted + sum(_bytes(tool.model_dump_json()) + _TOKENS_AROUND for tool in request.tools)


def _most_of_part(part: "Part", model: Model) -> int:
    match part:
        case Text() | Refusal():
            return _bytes(part.text)
        case Reasoning():
            return _bytes(part.text) + len(part.signature or "")
        case ToolCall():
            return _TOKENS_AROUND + _bytes(part.name) + _bytes(part.arguments) + len(part.signature or "")
        case ToolResult():
            return _TOKENS_AROUND + _bytes(part.name) + sum(_most_of_part(piece, model) for piece in part.content)
        case Image():
            return _TOKENS_PER_LOOK
        case Audio():
            size = max(_LEAST_SECONDS, int(part.longest_seconds) + 1) * _TOKENS_PER_SECOND
            return min(size, model.context_length or size)
        case File():
            size = len(part.source.data) if isinstance(part.source, Inline) else _LARGEST_DOCUMENT
            size = max(size, _TOKENS_PER_LOOK)
            return min(size, model.context_length or size)
        case _:
            assert_never(part)


def of_images(request: "ImageRequest") -> tuple[Usage, Usage]:
    """The usage of image generation or editing."""
    media = len(request.images) + (request.mask is not None)
    return _of_pictures(request.prompt, media, request.n)


def of_content(request: "ContentRequest") -> tuple[Usage, Usage]:
    """The usage of raw content generation."""
    text = request.prompt + (request.system_instruction or "")
    return _of_pictures(text, len(request.images), request.candidate_count)


def _of_pictures(text: str, media: int, count: int) -> tuple[Usage, Usage]:
    inputs = _bytes(text) // BYTES_PER_TOKEN + media * _TOKENS_PER_MEDIUM + 1
    ceiling = _bytes(text) + _TOKENS_AROUND + media * _TOKENS_PER_LOOK
    return (
        Usage(input_tokens=inputs * count, output_tokens=_TOKENS_PER_MEDIUM * count, images=count),
        Usage(input_tokens=ceiling * count, output_tokens=_TOKENS_PER_IMAGE * count, images=count),
    )


def of_embeddings(request: "EmbeddingRequest") -> tuple[Usage, Usage]:
    """The usage of embedding texts or tokens."""
    expected = ceiling = 0
    for item in request.inputs:
        expected += (_bytes(item) // BYTES_PER_TOKEN if isinstance(item, str) else len(item)) + 1
        ceiling += (_bytes(item) if isinstance(item, str) else len(item)) + _TOKENS_AROUND
    return Usage(input_tokens=expected), Usage(input_tokens=ceiling)


def of_transcription(request: "TranscriptionRequest") -> tuple[Usage, Usage]:
    """The usage of transcribing a recording, which is looked through: up to seconds of a thread's time."""
    from shared.audio.bounds import longest_seconds_of_file

    ceiling = int(longest_seconds_of_file(request.file.file, request.file.media_type)) + 1
    seconds = min(request.file.size // _BYTES_PER_SECOND + 1, ceiling)
    prompt = _bytes(request.prompt_with_keywords or "")
    return (
        Usage(
            input_tokens=seconds * _TOKENS_PER_SECOND + prompt // BYTES_PER_TOKEN,
            output_tokens=seconds * _SPOKEN_PER_SECOND,
            audio_seconds=float(seconds),
        ),
        Usage(
            input_tokens=ceiling * _TOKENS_PER_SECOND + prompt,
            output_tokens=ceiling * _MOST_SPOKEN_PER_SECOND + prompt,
            audio_seconds=float(ceiling),
        ),
    )


def of_speech(request: "SpeechRequest") -> tuple[Usage, Usage]:
    """The usage of speaking a text."""
    characters = len(request.input)
    tokens = (characters + len(request.instructions or "")) // BYTES_PER_TOKEN + 1
    ceiling = _bytes(request.input) + _bytes(request.instructions or "") + _TOKENS_AROUND
    return (
        Usage(input_tokens=tokens, characters=characters),
        Usage(input_tokens=ceiling, output_tokens=characters * 2, characters=characters),
    )


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
