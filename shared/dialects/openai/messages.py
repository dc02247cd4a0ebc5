"""Chat messages on the wire, which all dialects share: OpenAI's message objects to canonical messages and back.

https://developers.openai.com/api/reference/resources/chat. What a model thought comes as `reasoning_content` (text) and
`reasoning_details` (with signatures, as OpenRouter has them), the signature of a tool call as
`extra_content.<vendor>.thought_signature` (as Google's OpenAI-compatible endpoint has it). A client that sends an
answer's message back unchanged keeps them all.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Discriminator, Field, Tag, model_validator

from shared.dialects.base import JsonObject, Unsupported, Wire
from shared.dialects.openai.caching import Cacheable
from shared.dialects.sources import audio_content, image_source, pdf_source
from shared.errors import InvalidRequest
from shared.json_text import Tally, TooComplex
from shared.schemas.chat import Citation, SystemCachePoint
from shared.schemas.content import (
    Audio,
    CachePoint,
    File,
    Image,
    Inline,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)

# Google's clients know its signatures by this name; every other adapter's go under its own.
_VENDOR_OF_ISSUER = {"gemini": "google"}
_ISSUER_OF_VENDOR = {vendor: issuer for issuer, vendor in _VENDOR_OF_ISSUER.items()}


class WireImageUrl(Wire):
    """An image; a string in its place is its URL."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value


class WireInputAudio(Wire):
    data: str
    format: Literal["wav", "mp3"]


class WireFile(Wire):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class WirePart(Cacheable):
    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: str | None = None
    image_url: WireImageUrl | None = None
    input_audio: WireInputAudio | None = None
    file: WireFile | None = None
    refusal: str | None = None


MAX_MESSAGES = 10_000
MAX_PARTS = 10_000
"""The most content parts, tool calls and blocks of thinking that all messages of a request have together."""
_PARTS_OF_MESSAGE = ("content", "tool_calls", "reasoning_details")


def check_parts(messages: Any) -> Any:
    """The messages as they came, counted before any is validated: each of their parts becomes a kilobyte.

    Raises ValueError, also where the JSON in strings, such as the arguments of tool calls, would take too much.
    """
    if not isinstance(messages, list):
        return messages
    lists = [message.get(name) for message in messages if isinstance(message, dict) for name in _PARTS_OF_MESSAGE]
    parts = [part for found in lists if isinstance(found, list) for part in found]
    if len(parts) > MAX_PARTS:
        raise ValueError(f"at most {MAX_PARTS:,} parts and tool calls are possible in one request")
    tally = Tally()
    try:
        for text in _json_in(parts):
            tally.add(text.encode("utf-8", "surrogatepass"))
    except TooComplex as error:
        raise ValueError(f"the arguments of tool calls hold {error}") from None
    return messages


def _json_in(parts: Sequence[Any]) -> Iterator[str]:
    """The strings of wire parts that vendors' formats want as JSON, and not as text."""
    for part in parts:
        if isinstance(part, dict):
            function = part.get("function")
            arguments = function.get("arguments") if isinstance(function, dict) else None
            texts = (arguments, part.get("data"), part.get("signature"))
            yield from (text for text in texts if isinstance(text, str))


def _content_branch(value: Any) -> str | None:
    return "<text>" if isinstance(value, str) else "<parts>" if isinstance(value, list) else None


WireContent = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[WirePart], Field(fail_fast=True, max_length=2000), Tag("<parts>")],
    Discriminator(
        _content_branch,
        custom_error_type="content_type",
        custom_error_message="Input should be a string or an array of content parts",
    ),
]


class WireFunctionCall(Wire):
    name: str
    arguments: str


class WireToolCall(Wire):
    id: str
    type: Literal["function"] = "function"
    function: WireFunctionCall
    extra_content: dict[str, Any] | None = None

    def signature(self) -> tuple[str | None, str | None]:
        """The signature that came with the call, and the adapter that issued it."""
        for vendor, extra in (self.extra_content or {}).items():
            if isinstance(extra, dict) and isinstance(signature := extra.get("thought_signature"), str):
                return signature, _ISSUER_OF_VENDOR.get(vendor, vendor)
        return None, None


class WireReasoningDetail(Wire):
    type: str
    text: str | None = None
    data: str | None = None
    signature: str | None = None
    format: str | None = None


class WireMessage(Cacheable):
    """A message's cache point is its last part's. `function_call` and the role `function` are legacy tool calls."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: WireContent | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[WireToolCall], Field(fail_fast=True)] | None = None
    function_call: WireFunctionCall | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning_details: Annotated[list[WireReasoningDetail], Field(fail_fast=True)] | None = None
    audio: Unsupported = None  # speech that a vendor has kept of an earlier answer


def canonical_messages(
    messages: Sequence[WireMessage],
) -> tuple[str | None, tuple[SystemCachePoint, ...], tuple[Message, ...]]:
    """The leading system text, its cache points, and the turns after it.

    Raises InvalidRequest naming the field that is wrong. A conversation of system text alone is taken for the user's
    turn, since no vendor answers without one.
    """
    if not messages:
        raise InvalidRequest.field("messages", "at least one message is required")
    first_turn = next((at for at, message in enumerate(messages) if message.role not in ("system", "developer")), None)
    if first_turn is None:
        texts = [_system_text(message, f"messages[{at}]") for at, message in enumerate(messages)]
        return None, (), (Message(role="user", parts=tuple(texts)),)
    leading = [_system_parts(message, f"messages[{at}]") for at, message in enumerate(messages[:first_turn])]
    system, points = leading_system(leading)
    called: dict[str, str] = {}
    turns = tuple(
        _message(message, f"messages[{at}]", called) for at, message in enumerate(messages[first_turn:], first_turn)
    )
    return system, points, turns


def leading_system(messages: Iterable[Sequence[Text]]) -> tuple[str | None, tuple[SystemCachePoint, ...]]:
    """The text of system messages, in paragraphs, and where in it their cache points are."""
    system = ""
    points: list[SystemCachePoint] = []
    for texts in messages:
        separator = "\n\n"
        for part in texts:
            if part.text:
                system += (separator if system else "") + part.text
                separator = "\n"
            if part.cache and system:
                points.append(SystemCachePoint(end=len(system), ttl=part.cache.ttl))
    return system or None, tuple(points)


def _message(message: WireMessage, path: str, called: dict[str, str]) -> Message:
    """One turn; `called` maps the ids of the calls so far to their functions' names."""
    match message.role:
        case "system" | "developer":
            return Message(role="system", parts=(_system_text(message, path),), name=message.name)
        case "user":
            parts = _with_cache(_parts(message, path, required=True), message.cache)
            return Message(role="user", parts=parts, name=message.name)
        case "assistant":
            called.update((call.id, call.function.name) for call in message.tool_calls or ())
            parts = _assistant_parts(message, path)
            if message.function_call is not None:
                parts = (*parts, _function_call(message.function_call, called))
            return Message(role="assistant", parts=_with_cache(parts, message.cache), name=message.name)
        case "tool":
            return Message(role="tool", parts=_with_cache((_tool_result(message, path, called),), message.cache))
        case "function":
            return Message(role="tool", parts=_with_cache((_function_result(message, path, called),), message.cache))


def _system_parts(message: WireMessage, path: str) -> list[Text]:
    parts = _with_cache(_parts(message, path, required=True), message.cache)
    texts = [part for part in parts if isinstance(part, Text)]
    if len(texts) < len(parts):
        raise InvalidRequest.field(f"{path}.content", f"a {message.role} message may only hold text")
    return texts


def _system_text(message: WireMessage, path: str) -> Text:
    texts = _system_parts(message, path)
    cache = next((text.cache for text in reversed(texts) if text.cache), None)
    return Text(text="\n".join(text.text for text in texts), cache=cache)


def _with_cache(parts: tuple[Part, ...], cache: CachePoint | None) -> tuple[Part, ...]:
    """The parts of a message that has a cache point. Vendors have none for thoughts and refusals."""
    if cache is None or not parts or isinstance(parts[-1], Reasoning | Refusal):
        return parts
    return (*parts[:-1], parts[-1].model_copy(update={"cache": cache}))


def _function_call(call: WireFunctionCall, called: dict[str, str]) -> ToolCall:
    """A legacy call. It has no id, so that its result is matched by name."""
    call_id = f"function_call_{len(called)}"
    called[call_id] = call.name
    return ToolCall(id=call_id, name=call.name, arguments=call.arguments)


def _function_result(message: WireMessage, path: str, called: dict[str, str]) -> ToolResult:
    call_id = next((call_id for call_id, name in reversed(called.items()) if name == message.name), None)
    if call_id is None:
        raise InvalidRequest.field(f"{path}.name", "must be that of a function that was called before")
    texts = tuple(part for part in _parts(message, path, required=False) if isinstance(part, Text))
    return ToolResult(call_id=call_id, name=called[call_id], content=texts or (Text(text=""),))


def _assistant_parts(message: WireMessage, path: str) -> tuple[Part, ...]:
    parts: list[Part] = _reasoning(message)
    has_content = message.tool_calls or message.function_call or message.refusal
    parts += _parts(message, path, required=not has_content)
    if message.refusal:
        parts.append(Refusal(text=message.refusal))
    for call in message.tool_calls or ():
        signature, issuer = call.signature()
        parts.append(
            ToolCall(
                id=call.id,
                name=call.function.name,
                arguments=call.function.arguments,
                signature=signature,
                issuer=issuer,
            )
        )
    return tuple(parts)


def _reasoning(message: WireMessage) -> list[Part]:
    if message.reasoning_details is None:
        return [Reasoning(text=message.reasoning_content)] if message.reasoning_content else []
    return [
        Reasoning(
            text=detail.text or "",
            signature=detail.data if detail.type == "reasoning.encrypted" else detail.signature,
            redacted=detail.type == "reasoning.encrypted",
            issuer=detail.format,
        )
        for detail in message.reasoning_details
    ]


def _tool_result(message: WireMessage, path: str, called: dict[str, str]) -> ToolResult:
    if message.tool_call_id is None:
        raise InvalidRequest.field(f"{path}.tool_call_id", "a tool message must name the call that it answers")
    if message.tool_call_id not in called:
        raise InvalidRequest.field(f"{path}.tool_call_id", "no earlier assistant message made this call")
    content = tuple(part for part in _parts(message, path, required=True) if isinstance(part, Text | Image | File))
    return ToolResult(call_id=message.tool_call_id, name=called[message.tool_call_id], content=content)


def _parts(message: WireMessage, path: str, *, required: bool) -> tuple[Part, ...]:
    if message.content is None:
        if required:
            raise InvalidRequest.field(f"{path}.content", "is required")
        return ()
    if isinstance(message.content, str):
        return (Text(text=message.content),) if message.content or required else ()
    allowed = _ALLOWED_PARTS[message.role]
    parts: list[Part] = []
    for at, part in enumerate(message.content):
        where = f"{path}.content[{at}]"
        if part.type not in allowed:
            raise InvalidRequest.field(f"{where}.type", f"'{part.type}' is not possible in a {message.role} message")
        parts += _with_cache((_part(part, where),), part.cache)
    return tuple(parts)


_ALLOWED_PARTS = {
    "developer": {"text"},
    "system": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal", "image_url"},
    "tool": {"text", "image_url", "file"},
    "function": {"text"},
}

_FieldT = TypeVar("_FieldT")


def _present(value: _FieldT | None, field: str) -> _FieldT:
    if value is None:
        raise InvalidRequest.field(field, "is required")
    return value


def _part(part: WirePart, path: str) -> Part:
    match part.type:
        case "text":
            return Text(text=_present(part.text, f"{path}.text"))
        case "refusal":
            return Refusal(text=_present(part.refusal, f"{path}.refusal"))
        case "image_url":
            image, field = _present(part.image_url, f"{path}.image_url"), f"{path}.image_url.url"
            return Image(source=image_source(image.url, field), detail=image.detail, field=field)
        case "input_audio":
            audio = _present(part.input_audio, f"{path}.input_audio")
            data = audio_content(audio.data, audio.format, f"{path}.input_audio.data")
            return Audio(data=data, format=audio.format)
        case "file":
            return _file(_present(part.file, f"{path}.file"), f"{path}.file")


def _file(file: WireFile, path: str) -> File:
    if file.file_id is not None:
        raise InvalidRequest.field(f"{path}.file_id", "stored files are not supported here; send file_data")
    field = f"{path}.file_data"
    return File(source=pdf_source(_present(file.file_data, field), field), name=file.filename, field=field)


def message_body(parts: Sequence[Part], citations: Sequence[Citation]) -> JsonObject:
    """An answer's parts and their sources as OpenAI's assistant message."""
    texts = [part.text for part in parts if isinstance(part, Text)]
    refusals = [part.text for part in parts if isinstance(part, Refusal)]
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    images = [part.source for part in parts if isinstance(part, Image)]
    body: JsonObject = {
        "role": "assistant",
        "content": "".join(texts) if texts or not (calls or refusals) else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    if spoken := "".join(thought.text for thought in thoughts):
        body["reasoning_content"] = spoken
    details = [reasoning_detail(thought, at) for at, thought in enumerate(thoughts) if thought.issuer]
    if details:
        body["reasoning_details"] = details
    if calls:
        body["tool_calls"] = [
            tool_call_head(call.id, call.name, call.arguments, call.signature, call.issuer) for call in calls
        ]
    if images:
        body["images"] = [
            image_body(source.media_type, source.data, at)
            for at, source in enumerate(images)
            if isinstance(source, Inline)
        ]
    if citations:
        body["annotations"] = [annotation_body(citation) for citation in citations]
    return body


def annotation_body(citation: Citation) -> JsonObject:
    """A source in the form that goes into `message.annotations`."""
    cited = {
        "start_index": citation.start,
        "end_index": citation.end,
        "title": citation.title,
        "url": citation.url,
    }
    return {"type": "url_citation", "url_citation": cited}


def reasoning_detail(thought: Reasoning, index: int) -> JsonObject:
    """One block of thinking in the form in which it can be sent back."""
    if thought.redacted:
        return {
            "type": "reasoning.encrypted",
            "data": thought.signature,
            "format": thought.issuer,
            "index": index,
        }
    detail = {"type": "reasoning.text", "text": thought.text, "format": thought.issuer, "index": index}
    return {**detail, "signature": thought.signature} if thought.signature else detail


def tool_call_head(call_id: str, name: str, arguments: str, signature: str | None, issuer: str | None) -> JsonObject:
    """A tool call, or its first fragment, with its signature where it has one."""
    call: JsonObject = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    if signature and issuer:
        call["extra_content"] = {_VENDOR_OF_ISSUER.get(issuer, issuer): {"thought_signature": signature}}
    return call


def image_body(media_type: str, data: str, index: int) -> JsonObject:
    """A generated image in the form that goes into `message.images` and `delta.images`."""
    return {"type": "image_url", "index": index, "image_url": {"url": f"data:{media_type};base64,{data}"}}
