"""The events of a streamed chat completion, and their collection into the response.

A stream is one Started, then deltas, then one Finished for each candidate. Events are slotted dataclasses and not
pydantic models because there is one for each token.
"""

from collections.abc import AsyncIterator
from dataclasses import field
from typing import TypeAlias, assert_never

from shared.dataclass import dataclass
from shared.schemas.chat import Candidate, ChatResponse, Citation, TokenLogprob
from shared.schemas.content import Image, Inline, Part, Reasoning, Refusal, Text, ToolCall
from shared.schemas.original import Original
from shared.schemas.usage import FinishReason, Usage, no_usage


@dataclass(slots=True)
class Started:
    """The provider has started to respond; `usage` is what it reports at the start, in case the stream breaks off.

    `service_tier` and `system_fingerprint` are those of ChatResponse.
    """

    usage: Usage = field(default_factory=Usage)
    service_tier: str | None = None
    system_fingerprint: str | None = None


@dataclass(slots=True)
class TextDelta:
    text: str
    index: int = 0


@dataclass(slots=True)
class RefusalDelta:
    text: str
    index: int = 0


@dataclass(slots=True)
class ReasoningDelta:
    """More thinking. A `signature` ends the block of thinking that it signs; `redacted` is a whole encrypted block."""

    text: str = ""
    signature: str | None = None
    redacted: bool = False
    issuer: str | None = None
    index: int = 0


@dataclass(slots=True)
class ToolCallStarted:
    """A tool call begins; `position` counts the candidate's calls from 0 and names it in later deltas."""

    position: int
    id: str
    name: str
    signature: str | None = None
    issuer: str | None = None
    index: int = 0
    custom: bool = False


@dataclass(slots=True)
class ToolCallDelta:
    """The next fragment of a tool call's arguments; fragments of parallel calls may interleave."""

    position: int
    arguments: str
    index: int = 0


@dataclass(slots=True)
class ImageDelta:
    """One whole generated image: `data` is standard base64."""

    media_type: str
    data: str
    index: int = 0


@dataclass(slots=True)
class LogprobsDelta:
    tokens: tuple[TokenLogprob, ...]
    index: int = 0


@dataclass(slots=True)
class CitationDelta:
    """One more source; the text that it supports has come before it."""

    citation: Citation
    index: int = 0


@dataclass(slots=True)
class Finished:
    """A candidate is complete. Usage is that of the whole call, on one of its candidates' Finished.

    `native_reason` is `Candidate.native_finish_reason`, `stop_sequence` that of Candidate. `service_tier` is that of
    ChatResponse, from a vendor that tells it at the end.
    """

    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    index: int = 0
    native_reason: str | None = None
    stop_sequence: str | None = None
    service_tier: str | None = None


@dataclass(slots=True)
class OriginalEvent:
    """The vendor's own event, or its whole answer, sent before the canonical events that say the same.

    Encoders of the same wire format send these and skip the others. `is_opening`: it holds nothing of the answer yet.
    """

    original: Original
    is_opening: bool = False


ChatEvent: TypeAlias = (
    Started
    | OriginalEvent
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ToolCallStarted
    | ToolCallDelta
    | ImageDelta
    | LogprobsDelta
    | CitationDelta
    | Finished
)


@dataclass(slots=True)
class _OpenText:
    chunks: list[str]

    def close(self) -> Part:
        return Text(text="".join(self.chunks))


@dataclass(slots=True)
class _OpenRefusal:
    chunks: list[str]

    def close(self) -> Part:
        return Refusal(text="".join(self.chunks))


@dataclass(slots=True)
class _OpenReasoning:
    chunks: list[str]
    issuer: str | None
    signature: str | None = None
    redacted: bool = False

    def close(self) -> Part:
        return Reasoning(
            text="".join(self.chunks),
            signature=self.signature,
            redacted=self.redacted,
            issuer=self.issuer,
        )


@dataclass(slots=True)
class _OpenToolCall:
    started: ToolCallStarted
    chunks: list[str]

    def close(self) -> Part:
        call = self.started
        return ToolCall(
            id=call.id,
            name=call.name,
            arguments="".join(self.chunks),
            custom=call.custom,
            signature=call.signature,
            issuer=call.issuer,
        )


@dataclass(slots=True)
class _WholeImage:
    media_type: str
    data: str

    def close(self) -> Part:
        return Image(source=Inline(media_type=self.media_type, data=self.data))


_Open: TypeAlias = _OpenText | _OpenRefusal | _OpenReasoning | _OpenToolCall | _WholeImage


@dataclass(slots=True)
class _OpenCandidate:
    parts: list[_Open] = field(default_factory=list)
    calls: dict[int, _OpenToolCall] = field(default_factory=dict)
    logprobs: list[TokenLogprob] | None = None
    citations: list[Citation] = field(default_factory=list)
    reason: FinishReason | None = None
    native_reason: str | None = None
    stop_sequence: str | None = None

    def add_reasoning(self, delta: ReasoningDelta) -> None:
        last = self.parts[-1] if self.parts else None
        if delta.redacted or not isinstance(last, _OpenReasoning) or last.signature is not None:
            last = _OpenReasoning([], delta.issuer, redacted=delta.redacted)
            self.parts.append(last)
        last.chunks.append(delta.text)
        last.signature = delta.signature


class ChatCollector:
    """Collects events into the response that the call would have given without streaming."""

    def __init__(self) -> None:
        self._candidates: dict[int, _OpenCandidate] = {}
        self._usage = no_usage()
        self._service_tier: str | None = None
        self._system_fingerprint: str | None = None
        self._original: Original | None = None

    def add(self, event: ChatEvent) -> None:
        if isinstance(event, Started):
            self._service_tier = self._service_tier or event.service_tier
            self._system_fingerprint = self._system_fingerprint or event.system_fingerprint
            return
        if isinstance(event, OriginalEvent):
            self._original = event.original
            return
        candidate = self._candidates.setdefault(event.index, _OpenCandidate())
        parts = candidate.parts
        last = parts[-1] if parts else None
        match event:
            case TextDelta():
                if not isinstance(last, _OpenText):
                    parts.append(last := _OpenText([]))
                last.chunks.append(event.text)
            case RefusalDelta():
                if not isinstance(last, _OpenRefusal):
                    parts.append(last := _OpenRefusal([]))
                last.chunks.append(event.text)
            case ReasoningDelta():
                candidate.add_reasoning(event)
            case ToolCallStarted():
                candidate.calls[event.position] = call = _OpenToolCall(event, [])
                parts.append(call)
            case ToolCallDelta():
                candidate.calls[event.position].chunks.append(event.arguments)
            case ImageDelta():
                parts.append(_WholeImage(event.media_type, event.data))
            case LogprobsDelta():
                if candidate.logprobs is None:
                    candidate.logprobs = []
                candidate.logprobs.extend(event.tokens)
            case CitationDelta():
                candidate.citations.append(event.citation)
            case Finished():
                candidate.reason, candidate.native_reason = event.reason, event.native_reason
                candidate.stop_sequence = event.stop_sequence
                self._service_tier = event.service_tier or self._service_tier
                self._usage += event.usage
            case _:
                assert_never(event)

    def response(self) -> ChatResponse:
        """The response so far; an unfinished candidate gets the finish reason `stop`."""
        return ChatResponse(
            candidates=tuple(
                Candidate(
                    index=index,
                    parts=tuple(part.close() for part in candidate.parts),
                    finish_reason=candidate.reason or FinishReason.STOP,
                    native_finish_reason=candidate.native_reason,
                    stop_sequence=candidate.stop_sequence,
                    logprobs=None if candidate.logprobs is None else tuple(candidate.logprobs),
                    citations=tuple(candidate.citations),
                )
                for index, candidate in sorted(self._candidates.items())
            ),
            usage=self._usage,
            service_tier=self._service_tier,
            system_fingerprint=self._system_fingerprint,
            original=self._original,
        )


async def collect(events: AsyncIterator[ChatEvent]) -> ChatResponse:
    """Collects a whole stream. Raises what the stream raises."""
    collector = ChatCollector()
    async for event in events:
        collector.add(event)
    return collector.response()
