"""The reader of chat answers, whole and streamed.

Wire format: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and
…/API_runtime_ConverseStream.html. Bytes are base64.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from pydantic_core import from_json

from shared.errors import UpstreamIncomplete
from shared.framing import Frame
from shared.providers.base import truncated
from shared.providers.bedrock.vendor import NAME, raise_exception
from shared.providers.service_tiers import told_tier
from shared.schemas.chat import Citation
from shared.schemas.events import (
    ChatEvent,
    CitationDelta,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.usage import FinishReason, Usage

JsonObject: TypeAlias = dict[str, Any]

# An unknown reason counts as a stop.
_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
}
# The model wrote what Bedrock could not parse.
_MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})


class ChatReader:
    """Reads one answer as content blocks: a stream starts, extends and stops them, a whole body has them complete.

    Blocks of the types that only the vendor's own tools create are skipped. A stream is complete when both its stop
    reason and its usage have come.
    """

    def __init__(self) -> None:
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None
        self._usage: JsonObject | None = None
        self._started = False
        self._calls: dict[int, int] = {}  # the position of a tool call by the index of its block
        self._without_arguments: set[int] = set()  # the blocks of tool calls that have no arguments so far
        self._length = 0  # of the text so far, in characters
        self._cited_from: dict[int, int] = {}  # where the text of a block begins, by its index

    @property
    def done(self) -> bool:
        return self._stop_reason is not None and self._usage is not None

    def body(self, body: bytes) -> Iterator[ChatEvent]:
        answer = from_json(body)
        del body
        yield Started(service_tier=told_tier((answer.get("serviceTier") or {}).get("type")))
        for index, block in enumerate(answer["output"]["message"]["content"]):
            yield from self._block(index, block)
        self._usage = answer["usage"]
        self._stopped(answer)
        yield self._finished()

    def frame(self, frame: Frame) -> Iterable[ChatEvent]:
        raise_exception(frame)
        if self.done:
            return ()
        data = from_json(frame.data)
        match frame.event:
            case "contentBlockDelta":
                return self._delta(data["contentBlockIndex"], data["delta"])
            case "contentBlockStart":
                return self._start(data["contentBlockIndex"], data["start"])
            case "contentBlockStop":
                return self._stop(data["contentBlockIndex"])
            case "messageStart":
                if self._started:
                    raise ValueError("a second message in one stream")
                self._started = True
                return (Started(),)
            case "messageStop":
                self._stopped(data)
            case "metadata":
                self._usage = data["usage"]
            case _:
                return ()
        return (self._finished(),) if self.done else ()

    def end(self) -> Iterable[ChatEvent]:
        if not self.done:
            raise truncated()
        return ()

    def _block(self, index: int, block: JsonObject) -> Iterator[ChatEvent]:
        """The events of a whole block."""
        match block:
            case {"text": text}:
                yield self._text(index, text)
            case {"citationsContent": cited}:
                yield from (self._text(index, piece["text"]) for piece in cited["content"])
                yield from (event for source in cited["citations"] for event in self._citation(index, source))
            case {"reasoningContent": {"reasoningText": reasoning}}:
                if reasoning["text"]:
                    yield ReasoningDelta(reasoning["text"], issuer=NAME)
                if reasoning.get("signature"):
                    yield ReasoningDelta(signature=reasoning["signature"], issuer=NAME)
            case {"reasoningContent": {"redactedContent": sealed}}:
                yield ReasoningDelta(signature=sealed, redacted=True, issuer=NAME)
            case {"toolUse": call}:
                yield from self._start(index, block)
                if index in self._calls and call["input"]:
                    self._without_arguments.discard(index)
                    yield ToolCallDelta(self._calls[index], json.dumps(call["input"], ensure_ascii=False))
                yield from self._stop(index)

    def _start(self, index: int, start: JsonObject) -> tuple[ChatEvent, ...]:
        call = start.get("toolUse")
        if call is None or call.get("type") == "server_tool_use":
            return ()
        position = self._calls[index] = len(self._calls)
        self._without_arguments.add(index)
        return (ToolCallStarted(position, call["toolUseId"], call["name"]),)

    def _delta(self, index: int, delta: JsonObject) -> tuple[ChatEvent, ...]:
        match delta:
            case {"text": text} if text:
                return (self._text(index, text),)
            case {"citation": source}:
                return self._citation(index, source)
            case {"toolUse": {"input": arguments}} if arguments and index in self._calls:
                self._without_arguments.discard(index)
                return (ToolCallDelta(self._calls[index], arguments),)
            case {"reasoningContent": {"text": text}} if text:
                return (ReasoningDelta(text, issuer=NAME),)
            case {"reasoningContent": {"signature": signature}} if signature:
                return (ReasoningDelta(signature=signature, issuer=NAME),)
            case {"reasoningContent": {"redactedContent": sealed}} if sealed:
                return (ReasoningDelta(signature=sealed, redacted=True, issuer=NAME),)
        return ()

    def _stop(self, index: int) -> tuple[ChatEvent, ...]:
        return (ToolCallDelta(self._calls[index], "{}"),) if index in self._without_arguments else ()

    def _text(self, index: int, text: str) -> TextDelta:
        self._cited_from.setdefault(index, self._length)
        self._length += len(text)
        return TextDelta(text)

    def _citation(self, index: int, source: JsonObject) -> tuple[ChatEvent, ...]:
        """A source of the block's text so far. Those within the caller's documents have no URL."""
        url = ((source.get("location") or {}).get("web") or {}).get("url")
        if not url:
            return ()
        start = self._cited_from.get(index, self._length)
        return (CitationDelta(Citation(url=url, title=source.get("title") or "", start=start, end=self._length)),)

    def _stopped(self, data: JsonObject) -> None:
        self._stop_reason = data["stopReason"]
        self._stop_sequence = (data.get("additionalModelResponseFields") or {}).get("stop_sequence")

    def _finished(self) -> Finished:
        assert self._usage is not None
        if self._stop_reason in _MALFORMED:
            raise UpstreamIncomplete("The model's answer was malformed.")
        reason = _FINISH_REASONS.get(self._stop_reason or "", FinishReason.STOP)
        if reason is FinishReason.STOP and self._calls:
            reason = FinishReason.TOOL_CALLS
        return Finished(reason, _usage(self._usage), stop_sequence=self._stop_sequence)


def _usage(counts: JsonObject) -> Usage:
    """The vendor does not include cached tokens in inputTokens; `Usage` does."""
    read = counts.get("cacheReadInputTokens") or 0
    written = counts.get("cacheWriteInputTokens") or 0
    hours = sum(detail["inputTokens"] for detail in counts.get("cacheDetails") or () if detail["ttl"] == "1h")
    return Usage(
        input_tokens=counts["inputTokens"] + read + written,
        output_tokens=counts["outputTokens"],
        cached_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=hours,
    )
