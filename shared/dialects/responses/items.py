"""The items of a conversation, as clients of the Responses API send them, and the canonical messages that they make.

https://developers.openai.com/api/reference/resources/responses. Consecutive items of the model make one turn. Items of
tools that OpenAI runs say nothing to other vendors and are left out for them.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Discriminator, Field, Tag

from shared.dataclass import dataclass
from shared.dialects.base import Ignored, JsonObject, Seal, Wire
from shared.dialects.openai.caching import Cacheable
from shared.dialects.openai.messages import WireInputAudio, leading_system
from shared.dialects.responses.carrier import CallSignature, Carried, opened
from shared.dialects.responses.tools import Toolbox, WireTools, flat_name
from shared.dialects.sources import audio_content, content, image_source, is_web_url, sniffed
from shared.errors import InvalidRequest
from shared.schemas.chat import SystemCachePoint
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
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from shared.schemas.stored_response import response_of
from shared.sealing import is_seal

# Items of tools that OpenAI has run; what they told the model is in its answer.
_TOLD = frozenset(
    {
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "web_search_call",
    }
)


class WirePart(Cacheable):
    """A part of a message. What other types hold is for OpenAI."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: WireInputAudio | None = None
    annotations: Ignored = None
    logprobs: Ignored = None


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


class WireMessageItem(Wire):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: WireContent
    id: Ignored = None
    status: Ignored = None
    phase: Ignored = None


class WireCall(Wire):
    call_id: str
    name: str
    namespace: str | None = None
    id: Ignored = None
    status: Ignored = None
    caller: Ignored = None  # the model, or a program of OpenAI's that it wrote


class WireFunctionCall(WireCall):
    type: Literal["function_call"]
    arguments: str


class WireCustomCall(WireCall):
    type: Literal["custom_tool_call"]
    input: str


class WireCallOutput(Wire):
    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: str
    output: WireContent
    id: Ignored = None
    status: Ignored = None
    caller: Ignored = None
    name: Ignored = None  # the call has it
    namespace: Ignored = None


class WireThought(Wire):
    type: str
    text: str = ""


class WireReasoningItem(Wire):
    """`content` is what the model thought, `summary` what its vendor tells of that."""

    type: Literal["reasoning"]
    summary: list[WireThought] = Field(default_factory=list)
    content: list[WireThought] = Field(default_factory=list)
    encrypted_content: str | None = None
    id: Ignored = None
    status: Ignored = None


class WireAdditionalTools(Wire):
    """Tools that the model may call from there on."""

    type: Literal["additional_tools"]
    tools: WireTools
    role: Ignored = None
    id: Ignored = None


class WireOtherItem(Wire):
    type: str


_BRANCHES = {
    "message": "<message>",
    "function_call": "<function_call>",
    "custom_tool_call": "<custom_tool_call>",
    "function_call_output": "<output>",
    "custom_tool_call_output": "<output>",
    "reasoning": "<reasoning>",
    "additional_tools": "<additional_tools>",
}


def _item_branch(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    if kind is None:
        return "<message>"
    return _BRANCHES.get(kind, "<other>") if isinstance(kind, str) else None


WireItem = Annotated[
    Annotated[WireMessageItem, Tag("<message>")]
    | Annotated[WireFunctionCall, Tag("<function_call>")]
    | Annotated[WireCustomCall, Tag("<custom_tool_call>")]
    | Annotated[WireCallOutput, Tag("<output>")]
    | Annotated[WireReasoningItem, Tag("<reasoning>")]
    | Annotated[WireAdditionalTools, Tag("<additional_tools>")]
    | Annotated[WireOtherItem, Tag("<other>")],
    Discriminator(_item_branch, custom_error_type="item_type", custom_error_message="Input should be an item"),
]
WireItems = Annotated[list[WireItem], Field(fail_fast=True, max_length=20_000)]


@dataclass(slots=True)
class Conversation:
    """Takes in the items of a conversation and holds the canonical messages that they make."""

    seal: Seal | None
    toolbox: Toolbox
    _leading: list[list[Text]] = field(default_factory=list)
    _messages: list[Message] = field(default_factory=list)
    _answer: list[Part] = field(default_factory=list)
    _called: dict[str, str] = field(default_factory=dict)
    _signatures: dict[str, CallSignature] = field(default_factory=dict)

    def instruct(self, text: str) -> None:
        """Adds text for the system in front of what follows."""
        self._leading.append([Text(text=text)])

    def say(self, text: str) -> None:
        """Adds a text of the user's."""
        self._turn("user", [Text(text=text)])

    def add(self, item: "WireItem", path: str) -> None:
        """Adds an item; `path` names it in errors. Raises InvalidRequest."""
        match item:
            case WireMessageItem():
                self._add_message(item, f"{path}.content")
            case WireFunctionCall():
                self._call(item, item.arguments, custom=False)
            case WireCustomCall():
                self._call(item, item.input, custom=True)
            case WireCallOutput():
                self._add_output(item, path)
            case WireReasoningItem():
                self._think(item)
            case WireAdditionalTools():
                self.toolbox.add(item.tools)
            case WireOtherItem() if item.type not in _TOLD:
                self.toolbox.need(item.type)

    def close(self) -> tuple[str | None, tuple[SystemCachePoint, ...], tuple[Message, ...]]:
        """The leading system text, its cache points, and the turns after it.

        Raises InvalidRequest if there are none. A conversation of system text alone is taken for the user's turn, since
        no vendor answers without one.
        """
        self._end_answer()
        if not self._messages:
            texts = [text for paragraph in self._leading for text in paragraph]
            if not texts:
                raise InvalidRequest.field("input", "at least one item is required")
            return None, (), (Message(role="user", parts=tuple(texts)),)
        return *leading_system(self._leading), tuple(self._messages)

    def _add_message(self, item: WireMessageItem, path: str) -> None:
        parts = self._parts(item.content, path)
        match item.role:
            case "assistant":
                self._answer += parts
            case "user":
                self._turn("user", parts)
            case "system" | "developer":
                texts = [part for part in parts if isinstance(part, Text)]
                if len(texts) < len(parts):
                    raise InvalidRequest.field(path, f"a {item.role} message may only hold text")
                if self._messages or self._answer:
                    cache = next((text.cache for text in reversed(texts) if text.cache), None)
                    self._turn("system", [Text(text="\n".join(text.text for text in texts), cache=cache)])
                else:
                    self._leading.append(texts)

    def _call(self, item: WireFunctionCall | WireCustomCall, arguments: str, *, custom: bool) -> None:
        name = self._called[item.call_id] = flat_name(item.namespace, item.name)
        signed = self._signatures.get(item.call_id)
        self._answer.append(
            ToolCall(
                id=item.call_id,
                name=name,
                arguments=arguments,
                custom=custom,
                signature=signed.signature if signed else None,
                issuer=signed.issuer if signed else None,
            )
        )

    def _add_output(self, item: WireCallOutput, path: str) -> None:
        if item.call_id not in self._called:
            raise InvalidRequest.field(f"{path}.call_id", "no earlier item is this call")
        parts = self._parts(item.output, f"{path}.output")
        kept = tuple(part for part in parts if isinstance(part, Text | Image | File))
        if len(kept) < len(parts):
            raise InvalidRequest.field(f"{path}.output", "may only hold text, images and files")
        result = ToolResult(call_id=item.call_id, name=self._called[item.call_id], content=kept or (Text(text=""),))
        self._turn("tool", [result])

    def _think(self, item: WireReasoningItem) -> None:
        """Adds thoughts: those that the item carries sealed, else what the model is told to have thought."""
        carried: Carried | None = None
        if item.encrypted_content is not None and self.seal is not None:
            carried = opened(item.encrypted_content, self.seal)
        if carried is not None:
            self._answer += carried.thoughts
            self._signatures |= {call.call_id: call for call in carried.calls}
        elif thought := "".join(part.text for part in item.content):
            self._answer.append(Reasoning(text=thought))

    def _parts(self, wire: str | list[WirePart], path: str) -> list[Part]:
        if isinstance(wire, str):
            return [Text(text=wire)]
        return [part for at, given in enumerate(wire) for part in self._part(given, f"{path}[{at}]")]

    def _part(self, part: WirePart, path: str) -> list[Part]:
        match part.type:
            case "input_text" | "output_text" | "text":
                return [Text(text=_present(part.text, f"{path}.text"), cache=part.cache)]
            case "refusal":
                return [Refusal(text=_present(part.refusal, f"{path}.refusal"))]
            case "input_image":
                field_path = f"{path}.image_url"
                source = image_source(_present(part.image_url, field_path), field_path)
                detail = "high" if part.detail == "original" else part.detail
                return [Image(source=source, detail=detail, cache=part.cache, field=field_path)]
            case "input_audio":
                audio = _present(part.input_audio, f"{path}.input_audio")
                data = audio_content(audio.data, audio.format, f"{path}.input_audio.data")
                return [Audio(data=data, format=audio.format, cache=part.cache)]
            case "input_file":
                return [self._file(part, path)]
            case _:
                self.toolbox.need(part.type)
                return []

    def _file(self, part: WirePart, path: str) -> File:
        """A document. One that is neither a PDF nor text is for OpenAI alone."""
        if part.file_url is not None:
            field_path = f"{path}.file_url"
            if not is_web_url(part.file_url):
                raise InvalidRequest.field(field_path, "must be an https URL")
            return File(source=Remote(url=part.file_url), name=part.filename, cache=part.cache, field=field_path)
        field_path = f"{path}.file_data"
        data = content(_present(part.file_data, field_path), field_path)
        if sniffed(data) == "application/pdf":
            media_type = "application/pdf"
        elif _is_text(data):
            media_type = "text/plain"
        else:
            media_type = "application/octet-stream"
            self.toolbox.need("input_file of a type other than PDF and text")
        source = Inline(media_type=media_type, data=data)
        return File(source=source, name=part.filename, cache=part.cache, field=field_path)

    def _turn(self, role: Role, parts: Sequence[Part]) -> None:
        self._end_answer()
        self._messages.append(Message(role=role, parts=tuple(parts)))

    def _end_answer(self) -> None:
        if self._answer:
            self._messages.append(Message(role="assistant", parts=tuple(self._answer)))
            self._answer = []


_FieldT = TypeVar("_FieldT")


def _present(value: _FieldT | None, path: str) -> _FieldT:
    if value is None:
        raise InvalidRequest.field(path, "is required")
    return value


def _is_text(data: str) -> bool:
    try:
        base64.b64decode(data).decode()
    except UnicodeDecodeError:
        return False
    return True


def native_items(items: Iterable[Mapping[str, Any]]) -> list[JsonObject]:
    """The items for OpenAI's own API: without the reasoning items that carry other vendors' thoughts, and without the
    gateway's own ids of OpenAI's.

    OpenAI refuses encrypted content under another id than it was given under, and takes it without one.
    """
    return [_native(item) for item in items if not _is_carrier(item)]


def _is_carrier(item: Mapping[str, Any]) -> bool:
    token = item.get("encrypted_content")
    return isinstance(token, str) and is_seal(token)


def _native(item: Mapping[str, Any]) -> JsonObject:
    given = item.get("id")
    if item.get("type") not in ("compaction", "reasoning") or not isinstance(given, str) or response_of(given) is None:
        return dict(item)
    return {name: value for name, value in item.items() if name != "id"}
