"""The reader of chat answers, whole and streamed.

Wire format: https://platform.claude.com/docs/en/api/messages/create and …/build-with-claude/streaming.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from pydantic_core import from_json

from shared.framing import Frame
from shared.providers.anthropic.vendor import NAME, stream_error
from shared.providers.base import truncated
from shared.providers.service_tiers import told_tier
from shared.schemas.chat import Citation
from shared.schemas.events import (
    ChatEvent,
    CitationDelta,
    Finished,
    OriginalEvent,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.original import Original
from shared.schemas.usage import FinishReason, Usage

JsonObject: TypeAlias = dict[str, Any]

# An unknown reason counts as a stop.
_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "pause_turn": FinishReason.LENGTH,  # the vendor has stopped in the middle of its own tool calls
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
}


class ChatReader:
    """Reads one answer as content blocks: a stream starts, extends and stops them, a whole body has them complete.

    Blocks of the types that only the vendor's own tools create are skipped. A stream is complete at `message_stop`.
    With `keeps_original` an OriginalEvent precedes the events of each frame, or of the whole body.
    """

    def __init__(self, *, keeps_original: bool = False) -> None:
        self.done = False
        self._keeps_original = keeps_original
        self._started = False
        self._usage: JsonObject = {}
        self._last: JsonObject = {}  # the stop reason and its details
        self._calls: dict[int, int] = {}  # the position of a tool call by the index of its block
        self._without_arguments: set[int] = set()  # the blocks of tool calls that have no arguments so far
        self._length = 0  # of the text so far, in characters
        self._cited_from = 0  # where the open block's text begins
        self._sources: list[JsonObject] = []  # of the open block

    def body(self, body: bytes) -> Iterator[ChatEvent]:
        message = from_json(body)
        del body
        if self._keeps_original:
            yield OriginalEvent(Original("messages", message))
        yield _started(message["usage"])
        for index, block in enumerate(message["content"]):
            yield from self._start(index, block)
            yield from self._stop(index)
        self.done = True
        yield from self._finish(message, message["usage"])

    def frame(self, frame: Frame) -> Iterable[ChatEvent]:
        if self.done:
            return ()
        data = from_json(frame.data)
        events = self._events(data)
        if not self._keeps_original:
            return events
        return (OriginalEvent(Original("messages", data), is_opening=_is_opening(data)), *events)

    def _events(self, data: JsonObject) -> Iterable[ChatEvent]:
        match data.get("type"):
            case "content_block_delta":
                return self._delta(data["index"], data["delta"])
            case "content_block_start":
                return self._start(data["index"], data["content_block"])
            case "content_block_stop":
                return self._stop(data["index"])
            case "message_start":
                if self._started:
                    raise ValueError("a second message in one stream")
                self._started = True
                self._usage.update(data["message"].get("usage") or {})
                return (_started(self._usage),)
            case "message_delta":
                self._last.update(data["delta"])
                # Counts are totals so far; those that do not apply are missing or null.
                self._usage.update((name, n) for name, n in (data.get("usage") or {}).items() if n is not None)
            case "message_stop":
                self.done = True
                return self._finish(self._last, self._usage)
            case "error":
                raise stream_error(data.get("error"))
        return ()

    def end(self) -> Iterable[ChatEvent]:
        if not self.done:
            raise truncated()
        return ()

    def _start(self, index: int, block: JsonObject) -> Iterator[ChatEvent]:
        match block["type"]:
            case "text":
                self._cited_from, self._sources = self._length, list(block.get("citations") or ())
                if block["text"]:
                    yield self._text(block["text"])
            case "thinking":
                if block["thinking"]:
                    yield ReasoningDelta(block["thinking"], issuer=NAME)
                if block.get("signature"):
                    yield ReasoningDelta(signature=block["signature"], issuer=NAME)
            case "redacted_thinking":
                yield ReasoningDelta(signature=block["data"], redacted=True, issuer=NAME)
            case "tool_use":
                position = self._calls[index] = len(self._calls)
                yield ToolCallStarted(position, block["id"], block["name"])
                if block.get("input"):
                    yield ToolCallDelta(position, json.dumps(block["input"], ensure_ascii=False))
                else:  # no arguments, or a streamed call whose arguments are still to come
                    self._without_arguments.add(index)

    def _delta(self, index: int, delta: JsonObject) -> tuple[ChatEvent, ...]:
        match delta["type"]:
            case "text_delta" if delta["text"]:
                return (self._text(delta["text"]),)
            case "citations_delta":
                self._sources.append(delta["citation"])
            case "thinking_delta" if delta["thinking"]:
                return (ReasoningDelta(delta["thinking"], issuer=NAME),)
            case "signature_delta":
                return (ReasoningDelta(signature=delta["signature"], issuer=NAME),)
            case "input_json_delta" if index in self._calls and delta["partial_json"]:
                self._without_arguments.discard(index)
                return (ToolCallDelta(self._calls[index], delta["partial_json"]),)
        return ()

    def _stop(self, index: int) -> Iterable[ChatEvent]:
        if index in self._without_arguments:
            return (ToolCallDelta(self._calls[index], "{}"),)
        return self._citations() if self._sources else ()

    def _text(self, text: str) -> TextDelta:
        self._length += len(text)
        return TextDelta(text)

    def _citations(self) -> Iterator[ChatEvent]:
        """The sources of a text block, which support all of it. Those within the caller's documents have no URL."""
        for source in self._sources:
            if url := source.get("url"):
                title = source.get("title") or ""
                yield CitationDelta(Citation(url=url, title=title, start=self._cited_from, end=self._length))
        self._sources = []

    def _finish(self, last: JsonObject, usage: JsonObject) -> Iterator[ChatEvent]:
        """The last events. The vendor's explanation of a refusal is meant to be shown: it is the refusal's text."""
        stop_reason, details = last.get("stop_reason"), last.get("stop_details")
        stop_sequence = last.get("stop_sequence")
        reason = _FINISH_REASONS.get(stop_reason or "", FinishReason.STOP)
        if reason is FinishReason.STOP and self._calls:
            reason = FinishReason.TOOL_CALLS
        if details and details.get("explanation"):
            yield RefusalDelta(details["explanation"])
        yield Finished(reason, _usage(usage), stop_sequence=stop_sequence)


def _is_opening(data: JsonObject) -> bool:
    """Whether an event says nothing of the answer yet."""
    match data:
        case {"type": "message_start" | "ping"}:
            return True
        case {"type": "content_block_start", "content_block": {"type": "text" | "thinking"}}:
            return True
    return False


def _started(counts: JsonObject) -> Started:
    return Started(_usage(counts), service_tier=told_tier(counts.get("service_tier")))


def _usage(counts: JsonObject) -> Usage:
    """The vendor does not include cached tokens in input_tokens; `Usage` does."""
    read = counts.get("cache_read_input_tokens") or 0
    written = counts.get("cache_creation_input_tokens") or 0
    details = counts.get("output_tokens_details") or {}
    return Usage(
        input_tokens=(counts.get("input_tokens") or 0) + read + written,
        output_tokens=counts.get("output_tokens") or 0,
        cached_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=(counts.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0,
        searches=(counts.get("server_tool_use") or {}).get("web_search_requests") or 0,
        reasoning_tokens=details.get("thinking_tokens") or 0,
    )
