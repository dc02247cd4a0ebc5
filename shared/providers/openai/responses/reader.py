"""The reader of the Responses API: whole answers and streamed events.

Wire format: https://developers.openai.com/api/reference/resources/responses/streaming-events.
"""

from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import Any

from pydantic_core import from_json

from shared.dataclass import dataclass
from shared.errors import UpstreamError
from shared.framing import Frame
from shared.providers.base import drawn_image, truncated
from shared.providers.openai.logprobs import token_logprobs
from shared.providers.openai.responses.items import signature
from shared.providers.openai.usage import responses_usage
from shared.providers.openai.vendor import NAME, raise_error
from shared.providers.service_tiers import told_tier
from shared.schemas.chat import Citation, JsonObject
from shared.schemas.events import (
    ChatEvent,
    CitationDelta,
    Finished,
    ImageDelta,
    LogprobsDelta,
    OriginalEvent,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.original import Original
from shared.schemas.usage import FinishReason

_OPENINGS = frozenset(
    {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
    }
)
_ENDS = frozenset({"response.completed", "response.incomplete"})
# An unknown reason counts as a length that was reached.
_INCOMPLETE = {"content_filter": FinishReason.CONTENT_FILTER, "steered": FinishReason.STOP}

# Between the paragraphs of a summary of reasoning, and between two messages of one answer.
_PARAGRAPH = "\n\n"


def _is_opening(kind: Any, event: JsonObject) -> bool:
    """Whether an event says nothing of the answer yet."""
    if kind == "response.output_item.added":
        return event["item"]["type"] in ("message", "reasoning")
    return kind in _OPENINGS


@dataclass(slots=True)
class _Item:
    """An item of the output; `told` is how much of each of its texts the deltas have told."""

    told: dict[tuple[str, int], int] = field(default_factory=dict)
    begins: dict[int, int] = field(default_factory=dict)  # of each text among the candidate's, in characters
    position: int | None = None  # of a tool call
    is_complete: bool = False

    def count(self, name: str, at: int, length: int) -> None:
        self.told[name, at] = self.told.get((name, at), 0) + length

    def rest(self, name: str, at: int, whole: str) -> str:
        """What has not been told of a text that is now known whole."""
        return whole[self.told.get((name, at), 0) :]


@dataclass(slots=True)
class ResponsesReader:
    """Reads one response, whole or in events. A stream is complete at its `response.completed` or `.incomplete`.

    An item is told by its deltas, and what these have left out when it is complete. With `tells_originals` each event
    is preceded by what it was read from.
    """

    tells_originals: bool = False
    done: bool = False
    _has_started: bool = False
    _items: dict[int, _Item] = field(default_factory=dict)
    _calls: int = 0
    _length: int = 0  # of the text so far
    _searches: int = 0

    def body(self, body: bytes) -> Iterator[ChatEvent]:
        return self.answer(from_json(body))

    def answer(self, answer: Any) -> Iterator[ChatEvent]:
        """All events of a whole answer."""
        raise_error(answer, named_error=answer.get("status") == "failed" if isinstance(answer, dict) else False)
        if answer["status"] not in ("completed", "incomplete"):
            raise UpstreamError("The provider did not finish its response.")
        yield from self._original(answer)
        yield Started()
        yield from self._end(answer)

    def frame(self, frame: Frame) -> Iterator[ChatEvent]:
        if self.done:
            return
        if frame.data.strip() == b"[DONE]":
            raise truncated()
        event = from_json(frame.data)
        if not isinstance(event, dict):
            return
        kind = event.get("type")
        if "error" in (kind, frame.event):
            raise_error(event, named_error=True)
        if kind == "response.failed":
            raise_error(event["response"], named_error=True)
        yield from self._original(event, is_opening=_is_opening(kind, event))
        if not self._has_started:
            self._has_started = True
            yield Started()  # the tier that it will be served by is not known yet
        if kind in _ENDS:
            yield from self._end(event["response"])
        else:
            yield from self._read(str(kind), event)

    def end(self) -> Iterable[ChatEvent]:
        if not self.done:
            raise truncated()
        return ()

    def _original(self, body: JsonObject, *, is_opening: bool = False) -> Iterator[ChatEvent]:
        if self.tells_originals:
            yield OriginalEvent(Original("responses", body), is_opening=is_opening)

    def _item(self, event: JsonObject) -> _Item:
        return self._items.setdefault(event["output_index"], _Item())

    def _read(self, kind: str, event: JsonObject) -> Iterator[ChatEvent]:
        """The events of one streamed event; those of unknown kinds tell nothing."""
        match kind.removeprefix("response."):
            case "output_item.added":
                yield from self._begin(self._item(event), event["item"])
            case "output_item.done":
                yield from self._complete(self._item(event), event["item"])
            case "output_text.delta":
                yield from self._text(self._item(event), event["content_index"], event["delta"])
                yield from self._logprobs(self._item(event), event["content_index"], event.get("logprobs"), told=0)
            case "output_text.annotation.added":
                item, at = self._item(event), event["content_index"]
                item.count("annotation", at, 1)
                yield from self._annotation(item, at, event.get("annotation") or {})
            case "refusal.delta":
                yield from self._refusal(self._item(event), event["content_index"], event["delta"])
            case "reasoning_summary_text.delta":
                yield from self._thought(self._item(event), "summary", event["summary_index"], event["delta"])
            case "reasoning_text.delta":
                yield from self._thought(self._item(event), "content", event["content_index"], event["delta"])
            case "function_call_arguments.delta" | "custom_tool_call_input.delta":
                yield from self._arguments(self._item(event), event["delta"])

    def _begin(self, item: _Item, body: JsonObject) -> Iterator[ChatEvent]:
        if body["type"] in ("function_call", "custom_tool_call") and item.position is None:
            item.position = self._calls
            self._calls += 1
            is_custom = body["type"] == "custom_tool_call"
            yield ToolCallStarted(item.position, id=body["call_id"], name=body["name"], custom=is_custom)

    def _complete(self, item: _Item, body: JsonObject) -> Iterator[ChatEvent]:
        """What is left to tell of an item that is now known whole."""
        if item.is_complete:
            return
        item.is_complete = True
        match body["type"]:
            case "message":
                for at, part in enumerate(body["content"]):
                    yield from self._complete_part(item, at, part)
            case "reasoning":
                yield from self._complete_reasoning(item, body)
            case "function_call" | "custom_tool_call":
                yield from self._begin(item, body)
                whole = body["input"] if body["type"] == "custom_tool_call" else body["arguments"]
                yield from self._arguments(item, item.rest("arguments", 0, whole))
            case "image_generation_call" if body.get("result") and body.get("output_format") != "svg":
                drawn = drawn_image(body["result"])
                yield ImageDelta(drawn.media_type, drawn.data)
            case "web_search_call" if (body.get("action") or {}).get("type") == "search":
                self._searches += 1

    def _complete_part(self, item: _Item, at: int, part: JsonObject) -> Iterator[ChatEvent]:
        match part["type"]:
            case "output_text":
                yield from self._text(item, at, item.rest("text", at, part["text"]))
                told = item.told.get(("logprobs", at), 0)
                yield from self._logprobs(item, at, part.get("logprobs"), told=told)
                for annotation in (part.get("annotations") or ())[item.told.get(("annotation", at), 0) :]:
                    yield from self._annotation(item, at, annotation)
            case "refusal":
                yield from self._refusal(item, at, item.rest("refusal", at, part["refusal"]))

    def _complete_reasoning(self, item: _Item, body: JsonObject) -> Iterator[ChatEvent]:
        for name in ("summary", "content"):
            for at, part in enumerate(body.get(name) or ()):
                yield from self._thought(item, name, at, item.rest(name, at, part.get("text") or ""))
        if (signed := signature(body)) is not None:
            yield ReasoningDelta(signature=signed, redacted=not item.told, issuer=NAME)

    def _text(self, item: _Item, at: int, text: str) -> Iterator[ChatEvent]:
        if not text:
            return
        if not item.begins and self._length:
            self._length += len(_PARAGRAPH)
            yield TextDelta(_PARAGRAPH)
        item.begins.setdefault(at, self._length)
        item.count("text", at, len(text))
        self._length += len(text)
        yield TextDelta(text)

    def _logprobs(self, item: _Item, at: int, logprobs: Any, *, told: int) -> Iterator[ChatEvent]:
        if tokens := token_logprobs((logprobs or ())[told:]):
            item.count("logprobs", at, len(tokens))
            yield LogprobsDelta(tokens)

    def _refusal(self, item: _Item, at: int, text: str) -> Iterator[ChatEvent]:
        if text:
            item.count("refusal", at, len(text))
            yield RefusalDelta(text)

    def _thought(self, item: _Item, name: str, at: int, text: str) -> Iterator[ChatEvent]:
        if not text:
            return
        if item.told and (name, at) not in item.told:
            yield ReasoningDelta(_PARAGRAPH, issuer=NAME)
        item.count(name, at, len(text))
        yield ReasoningDelta(text, issuer=NAME)

    def _arguments(self, item: _Item, text: str) -> Iterator[ChatEvent]:
        if text and item.position is not None:
            item.count("arguments", 0, len(text))
            yield ToolCallDelta(item.position, text)

    def _annotation(self, item: _Item, at: int, annotation: JsonObject) -> Iterator[ChatEvent]:
        """Annotations of other types are about files that only the vendor has."""
        if annotation.get("type") == "url_citation":
            begin = item.begins.get(at, 0)
            yield CitationDelta(
                Citation(
                    url=annotation["url"],
                    title=annotation.get("title") or "",
                    start=begin + annotation["start_index"],
                    end=begin + annotation["end_index"],
                )
            )

    def _end(self, response: JsonObject) -> Iterator[ChatEvent]:
        for index, body in enumerate(response["output"]):
            yield from self._complete(self._items.setdefault(index, _Item()), body)
        self.done = True
        usage = responses_usage(response.get("usage") or {}, response.get("tool_usage") or {}, self._searches)
        yield Finished(self._reason(response), usage, service_tier=told_tier(response.get("service_tier")))

    def _reason(self, response: JsonObject) -> FinishReason:
        if response["status"] == "incomplete":
            reason = (response.get("incomplete_details") or {}).get("reason")
            return _INCOMPLETE.get(str(reason), FinishReason.LENGTH)
        return FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP
