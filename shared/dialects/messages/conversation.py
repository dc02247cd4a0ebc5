"""The system text and the messages of a request, as canonical ones.

What has no canonical form is collected in `hosted`: it reaches Anthropic's models in the request's original.
"""

import json
from collections.abc import Iterator, Sequence
from typing import assert_never

from shared.dialects.base import Seal
from shared.dialects.messages.blocks import (
    WireBlock,
    WireCitations,
    WireCompaction,
    WireDocument,
    WireImage,
    WireImageSource,
    WireMessage,
    WireOther,
    WireRedactedThinking,
    WireSearchResult,
    WireSystem,
    WireText,
    WireThinking,
    WireToolReference,
    WireToolResult,
    WireToolUse,
)
from shared.dialects.messages.thoughts import ANTHROPIC, CallSignature, open_thought, with_signature
from shared.dialects.sources import content, sniffed
from shared.errors import InvalidRequest
from shared.media import IMAGE_TYPES
from shared.schemas.chat import HostedTool, SystemCachePoint
from shared.schemas.content import (
    CachePoint,
    File,
    Image,
    Inline,
    Message,
    Part,
    Reasoning,
    Remote,
    Text,
    ToolCall,
    ToolResult,
)
from shared.sealing import is_seal

Piece = Text | Image | File


class Conversation:
    """Reads the messages of one request in their order. Raises InvalidRequest naming the field that is wrong.

    One that is not whole has its beginning at Anthropic.
    """

    def __init__(self, seal: Seal | None, *, is_whole: bool = True) -> None:
        self._is_whole = is_whole
        self.hosted: list[HostedTool] = []
        self._seal = seal
        self._called: dict[str, str] = {}  # the tools' names by the ids of the calls so far

    def system(
        self, system: WireSystem | None, leading: Sequence[WireMessage]
    ) -> tuple[str | None, tuple[SystemCachePoint, ...]]:
        """The system text with that of system messages before all others, and its cache points."""
        text = ""
        points: list[SystemCachePoint] = []
        sources = [("system", system), *((f"messages[{at}].content", each.content) for at, each in enumerate(leading))]
        for path, source in sources:
            for piece in [] if source is None else self._system_texts(source, path):
                if piece.text:
                    text += ("\n\n" if text else "") + piece.text
                if piece.cache and text:
                    points.append(SystemCachePoint(end=len(text), ttl=piece.cache.ttl))
        return text or None, tuple(points)

    def messages(self, messages: Sequence[WireMessage], first: int) -> tuple[Message, ...]:
        """The messages, of which the first has the index `first`; one for each that has content."""
        read = [self._message(message, f"messages[{at}].content") for at, message in enumerate(messages, first)]
        return tuple(message for message in read if message.parts)

    def _message(self, message: WireMessage, path: str) -> Message:
        blocks = message.content
        if message.role == "system":
            return Message(role="system", parts=tuple(self._system_texts(blocks, path)))
        if isinstance(blocks, str):
            return Message(role=message.role, parts=(Text(text=blocks),) if blocks else ())
        if message.role == "assistant":
            return Message(role="assistant", parts=tuple(self._assistant_parts(blocks, path)))
        parts = tuple(part for at, block in enumerate(blocks) for part in self._user_parts(block, f"{path}[{at}]"))
        is_results = bool(parts) and all(isinstance(part, ToolResult) for part in parts)
        return Message(role="tool" if is_results else "user", parts=parts)

    def _system_texts(self, source: WireSystem | str | Sequence[WireBlock], path: str) -> list[Text]:
        if isinstance(source, str):
            return [Text(text=source)] if source else []
        texts: list[Text] = []
        for at, block in enumerate(source):
            if isinstance(block, WireText):
                texts.append(Text(text=block.text, cache=block.cache))
            else:
                self._add(block.type, f"{path}[{at}]", optional=True)
        return texts

    # ---- What the assistant has said ---------------------------------------------------------------------------------

    def _assistant_parts(self, blocks: Sequence[WireBlock], path: str) -> Iterator[Part]:
        signatures: dict[str, CallSignature] = {}
        for at, block in enumerate(blocks):
            match block:
                case WireText():
                    yield Text(text=block.text, cache=block.cache)
                case WireThinking(thinking=text, signature=signature) if not is_seal(signature):
                    yield Reasoning(text=text, signature=signature or None, issuer=ANTHROPIC if signature else None)
                case WireRedactedThinking(data=data) if not is_seal(data):
                    yield Reasoning(signature=data, redacted=True, issuer=ANTHROPIC)
                case WireThinking() | WireRedactedThinking():
                    opened = self._opened(block)
                    if isinstance(opened, CallSignature):
                        signatures[opened.call_id] = opened
                    elif opened is not None:
                        yield opened
                case WireToolUse():
                    self._called[block.id] = block.name
                    arguments = json.dumps(block.input, ensure_ascii=False)
                    call = ToolCall(id=block.id, name=block.name, arguments=arguments, cache=block.cache)
                    yield with_signature(call, signatures)
                case WireCompaction(content=summary):
                    if summary:
                        yield Text(text=summary, cache=block.cache)
                case _:
                    # What the model has made with tools of its vendor, which other models can do without.
                    self._add(block.type, f"{path}[{at}]", optional=True)

    def _opened(self, block: WireThinking | WireRedactedThinking) -> Reasoning | CallSignature | None:
        if isinstance(block, WireThinking):
            return open_thought(block.signature, block.thinking, self._seal)
        return open_thought(block.data, "", self._seal)

    # ---- What the user has said --------------------------------------------------------------------------------------

    def _user_parts(self, block: WireBlock, path: str) -> Iterator[Part]:
        match block:
            case WireToolResult():
                yield self._result(block, path)
            case WireToolUse() | WireThinking() | WireRedactedThinking():
                raise InvalidRequest.field(f"{path}.type", f"'{block.type}' is not possible in a user message")
            case WireCompaction(content=summary):
                if summary:
                    yield Text(text=summary, cache=block.cache)
            case _:
                yield from self._pieces(block, path)

    def _result(self, block: WireToolResult, path: str) -> ToolResult:
        name = self._called.get(block.tool_use_id)
        if name is None and not self._is_whole:
            name = "unknown"
        if name is None:
            raise InvalidRequest.field(f"{path}.tool_use_id", "no earlier assistant message made this call")
        blocks = block.content or ""
        pieces = (
            [Text(text=blocks)]
            if isinstance(blocks, str)
            else [piece for at, each in enumerate(blocks) for piece in self._pieces(each, f"{path}.content[{at}]")]
        )
        return ToolResult(
            call_id=block.tool_use_id,
            name=name,
            content=tuple(pieces) or (Text(text=""),),
            is_error=block.is_error,
            cache=block.cache,
        )

    def _pieces(
        self,
        block: WireText | WireImage | WireDocument | WireSearchResult | WireToolReference | WireOther,
        path: str,
    ) -> Iterator[Piece]:
        match block:
            case WireText():
                yield Text(text=block.text, cache=block.cache)
            case WireImage():
                field = f"{path}.source"
                if (source := self._source(block.source, IMAGE_TYPES, field)) is not None:
                    yield Image(source=source, cache=block.cache, field=_place(source, field))
            case WireDocument():
                yield from self._document(block, path)
            case WireSearchResult():
                self._check_citations(block.citations, path)
                texts = "\n".join(text.text for text in block.content)
                cache = block.cache or next((text.cache for text in reversed(block.content) if text.cache), None)
                yield Text(text=_tagged("search_result", texts, source=block.source, title=block.title), cache=cache)
            case WireToolReference():
                yield Text(text=f"The tool {block.tool_name} is available.", cache=block.cache)
            case WireOther():
                self._add(block.type, path)
            case _:
                assert_never(block)

    def _document(self, block: WireDocument, path: str) -> Iterator[Piece]:
        """A PDF as a file, and a document of text as text, which every model reads."""
        self._check_citations(block.citations, path)
        source, field = block.source, f"{path}.source"
        if source.type == "text":
            yield self._text_document(block, _present(source.data, f"{field}.data"), block.cache)
        elif source.type == "content":
            content = source.content or ""
            if isinstance(content, str):
                yield self._text_document(block, content, block.cache)
                return
            pieces = [
                piece for at, each in enumerate(content) for piece in self._pieces(each, f"{field}.content[{at}]")
            ]
            text = "\n".join(piece.text for piece in pieces if isinstance(piece, Text))
            cache = block.cache or next((piece.cache for piece in reversed(pieces) if piece.cache), None)
            yield from (piece for piece in pieces if not isinstance(piece, Text))
            yield self._text_document(block, text, cache)
        elif (pdf := self._source(source, frozenset({"application/pdf"}), field)) is not None:
            if block.context:
                yield Text(text=_tagged("document_context", block.context, title=block.title))
            yield File(source=pdf, name=block.title, cache=block.cache, field=_place(pdf, field))

    def _text_document(self, block: WireDocument, text: str, cache: CachePoint | None) -> Text:
        return Text(text=_tagged("document", text, title=block.title, context=block.context), cache=cache)

    def _source(self, source: WireImageSource, allowed: frozenset[str], path: str) -> Inline | Remote | None:
        """The medium; None for one that only the vendor has."""
        match source.type:
            case "url":
                url = _present(source.url, f"{path}.url")
                if not url[:8].lower().startswith(("https://", "http://")):
                    raise InvalidRequest.field(f"{path}.url", "must be an https URL")
                return Remote(url=url)
            case "base64":
                data = content(_present(source.data, f"{path}.data"), f"{path}.data")
                media_type = sniffed(data)
                if media_type is None or media_type not in allowed:
                    wanted = "a PDF" if "application/pdf" in allowed else "a PNG, JPEG, GIF or WebP image"
                    raise InvalidRequest.field(f"{path}.data", f"is not {wanted}")
                return Inline(media_type=media_type, data=data)
            case _:
                self._add(f"source of type {source.type}", path)
                return None

    def _check_citations(self, citations: WireCitations | None, path: str) -> None:
        if citations is not None and citations.enabled:
            self.hosted.append(HostedTool(wire="messages", name="citations", field=f"{path}.citations", is_priced=True))

    def _add(self, name: str, field: str, *, optional: bool = False) -> None:
        self.hosted.append(HostedTool(wire="messages", name=name[:100], field=field, optional=optional))


def _present(value: str | None, field: str) -> str:
    if value is None:
        raise InvalidRequest.field(field, "is required")
    return value


def _place(source: Inline | Remote, path: str) -> str:
    """Where the source at `path` holds its medium."""
    return f"{path}.url" if isinstance(source, Remote) else f"{path}.data"


def _tagged(tag: str, text: str, **attributes: str | None) -> str:
    """A text between tags, which models take for one thing apart from the rest."""
    given = "".join(f' {name}="{_escaped(value)}"' for name, value in attributes.items() if value)
    return f"<{tag}{given}>\n{text}\n</{tag}>"


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace("\n", " ")
