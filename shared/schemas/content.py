"""What messages are made of: a closed union of parts, and the message that holds them."""

from functools import cached_property
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from shared.media import SNIFF_BYTES, decoded, sniff
from shared.schemas.base import Frozen


class CachePoint(Frozen):
    """The request up to the end of what carries this is worth keeping for later requests that begin in the same way.

    `ttl` is how long it should be kept at least; None leaves it to the vendor.
    """

    ttl: Literal["5m", "30m", "1h", "12h"] | None = None


class Inline(Frozen):
    """Media contained in the request. `data` is standard base64 with padding, as every vendor expects it."""

    kind: Literal["inline"] = "inline"
    media_type: str
    data: str = Field(repr=False)


class Remote(Frozen):
    """Media at a URL, to be fetched by the provider or by the gateway."""

    kind: Literal["remote"] = "remote"
    url: str = Field(repr=False)


Source: TypeAlias = Annotated[Inline | Remote, Field(discriminator="kind")]


class Text(Frozen):
    kind: Literal["text"] = "text"
    text: str
    cache: CachePoint | None = None


class Image(Frozen):
    """`field` is where the request has it, for errors."""

    kind: Literal["image"] = "image"
    source: Source
    detail: Literal["auto", "low", "high"] | None = None
    cache: CachePoint | None = None
    field: str = "image_url"


class Audio(Frozen):
    """Recorded sound in a message; `format` is the container's short name (wav, mp3, …)."""

    kind: Literal["audio"] = "audio"
    data: str = Field(repr=False)
    format: str
    cache: CachePoint | None = None

    @cached_property
    def longest_seconds(self) -> float:
        """How long it is at most. Takes up to seconds when it is first asked for."""
        from shared.audio.bounds import longest_seconds

        data = decoded(self.data)
        return longest_seconds(data, sniff(data[:SNIFF_BYTES]) or "")


class File(Frozen):
    """A document in a message: a PDF or text; of another type only for vendors of the request's own wire format.

    `field` is where the request has it, for errors.
    """

    kind: Literal["file"] = "file"
    source: Source
    name: str | None = None
    cache: CachePoint | None = None
    field: str = "file_data"

    @property
    def is_text(self) -> bool:
        return isinstance(self.source, Inline) and self.source.media_type == "text/plain"


class Reasoning(Frozen):
    """The model's thinking, to be sent back unchanged so that it can go on after a tool call.

    `signature` is opaque and only means something to the adapter named in `issuer`; `redacted` marks
    thinking that the vendor sent encrypted (then `text` is empty and `signature` holds all of it).
    """

    kind: Literal["reasoning"] = "reasoning"
    text: str = ""
    signature: str | None = Field(default=None, repr=False)
    redacted: bool = False
    issuer: str | None = None


class Refusal(Frozen):
    """The model's text for declining, which OpenAI separates from content."""

    kind: Literal["refusal"] = "refusal"
    text: str


class ToolCall(Frozen):
    """A call requested by the model. `arguments` is JSON text exactly as the model wrote it.

    Those of a `custom` tool are free text.
    """

    kind: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    arguments: str
    custom: bool = False
    signature: str | None = Field(default=None, repr=False)
    issuer: str | None = None
    cache: CachePoint | None = None


class ToolResult(Frozen):
    """The caller's result for a ToolCall; `name` is that call's function name. `is_error`: the call has failed."""

    kind: Literal["tool_result"] = "tool_result"
    call_id: str
    name: str
    content: tuple[Annotated[Text | Image | File, Field(discriminator="kind")], ...]
    is_error: bool = False
    cache: CachePoint | None = None


Part: TypeAlias = Annotated[
    Text | Image | Audio | File | Reasoning | Refusal | ToolCall | ToolResult,
    Field(discriminator="kind"),
]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class Message(Frozen):
    """One turn. `system` only occurs after the first user turn; leading system text is `ChatRequest.system`."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
