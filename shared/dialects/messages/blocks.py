"""The content blocks of a request on the wire: https://platform.claude.com/docs/en/api/messages/create.

Blocks of other types than these are allowed. They reach Anthropic's models only.
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from shared.dialects.base import Ignored, JsonObject, Wire
from shared.dialects.openai.caching import WireCacheControl
from shared.schemas.content import CachePoint

_MOST_BLOCKS = 100_000


def _blocks_or_string(value: Any) -> str:
    return "<text>" if isinstance(value, str) else "<blocks>"


def _branch(*types: str) -> Any:
    """Chooses a block's model by its type, which is one of these or another."""

    def choose(value: Any) -> str:
        kind = value.get("type") if isinstance(value, dict) else None
        return f"<{kind}>" if kind in types else "<other>"

    return Discriminator(choose)


class Cached(Wire):
    """What may carry a cache point."""

    cache_control: WireCacheControl | None = None

    @property
    def cache(self) -> CachePoint | None:
        return None if self.cache_control is None else self.cache_control.canonical()


class WireOther(Wire):
    """A block of a type that only Anthropic's models know."""

    type: str


class WireText(Cached):
    type: Literal["text"]
    text: str
    citations: Ignored = None  # of an earlier answer


class WireCitations(Wire):
    enabled: bool = False


class WireImageSource(Wire):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: Ignored = None


class WireImage(Cached):
    type: Literal["image"]
    source: WireImageSource
    transformations: Ignored = None  # how Anthropic scales the image


WirePiece = Annotated[
    Annotated[WireText, Tag("<text>")] | Annotated[WireImage, Tag("<image>")] | Annotated[WireOther, Tag("<other>")],
    _branch("text", "image"),
]


class WireDocumentSource(WireImageSource):
    content: (
        Annotated[
            Annotated[str, Tag("<text>")]
            | Annotated[list[WirePiece], Field(fail_fast=True, max_length=_MOST_BLOCKS), Tag("<blocks>")],
            Discriminator(_blocks_or_string),
        ]
        | None
    ) = None


class WireDocument(Cached):
    type: Literal["document"]
    source: WireDocumentSource
    title: str | None = None
    context: str | None = None
    citations: WireCitations | None = None


class WireSearchResult(Cached):
    type: Literal["search_result"]
    source: str
    title: str
    content: Annotated[list[WireText], Field(fail_fast=True, max_length=_MOST_BLOCKS)]
    citations: WireCitations | None = None


class WireToolReference(Cached):
    """A tool that the client's own search for tools has found."""

    type: Literal["tool_reference"]
    tool_name: str


WireResultBlock = Annotated[
    Annotated[WireText, Tag("<text>")]
    | Annotated[WireImage, Tag("<image>")]
    | Annotated[WireDocument, Tag("<document>")]
    | Annotated[WireSearchResult, Tag("<search_result>")]
    | Annotated[WireToolReference, Tag("<tool_reference>")]
    | Annotated[WireOther, Tag("<other>")],
    _branch("text", "image", "document", "search_result", "tool_reference"),
]


class WireToolResult(Cached):
    type: Literal["tool_result"]
    tool_use_id: str
    content: (
        Annotated[
            Annotated[str, Tag("<text>")]
            | Annotated[list[WireResultBlock], Field(fail_fast=True, max_length=_MOST_BLOCKS), Tag("<blocks>")],
            Discriminator(_blocks_or_string),
        ]
        | None
    ) = None
    is_error: bool = False
    toolset_name: Ignored = None


class WireToolUse(Cached):
    type: Literal["tool_use"]
    id: Annotated[str, Field(min_length=1)]
    name: str
    input: JsonObject
    caller: Ignored = None
    toolset_name: Ignored = None


class WireThinking(Wire):
    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class WireRedactedThinking(Wire):
    type: Literal["redacted_thinking"]
    data: str


class WireCompaction(Cached):
    """A summary that stands for the conversation before it."""

    type: Literal["compaction"]
    content: str | None = None


WireBlock = Annotated[
    Annotated[WireText, Tag("<text>")]
    | Annotated[WireImage, Tag("<image>")]
    | Annotated[WireDocument, Tag("<document>")]
    | Annotated[WireSearchResult, Tag("<search_result>")]
    | Annotated[WireToolResult, Tag("<tool_result>")]
    | Annotated[WireToolUse, Tag("<tool_use>")]
    | Annotated[WireThinking, Tag("<thinking>")]
    | Annotated[WireRedactedThinking, Tag("<redacted_thinking>")]
    | Annotated[WireCompaction, Tag("<compaction>")]
    | Annotated[WireOther, Tag("<other>")],
    _branch(
        "text",
        "image",
        "document",
        "search_result",
        "tool_result",
        "tool_use",
        "thinking",
        "redacted_thinking",
        "compaction",
    ),
]

WireContent = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[list[WireBlock], Field(fail_fast=True, max_length=_MOST_BLOCKS), Tag("<blocks>")],
    Discriminator(_blocks_or_string),
]
WireSystemBlock = Annotated[Annotated[WireText, Tag("<text>")] | Annotated[WireOther, Tag("<other>")], _branch("text")]
WireSystem = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[list[WireSystemBlock], Field(fail_fast=True, max_length=_MOST_BLOCKS), Tag("<blocks>")],
    Discriminator(_blocks_or_string),
]


class WireMessage(Wire):
    role: Literal["user", "assistant", "system"]
    content: WireContent = ""
    clear_at: Ignored = None
    output_config: Ignored = None
