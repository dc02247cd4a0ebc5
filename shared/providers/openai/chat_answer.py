"""The reader of chat completions: whole answers and streamed chunks go through the same code."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import Any

from pydantic_core import from_json

from shared.dataclass import dataclass
from shared.errors import UpstreamError
from shared.framing import Frame
from shared.providers.base import drawn_image, overloaded, truncated
from shared.providers.openai.logprobs import token_logprobs
from shared.providers.openai.messages import DETAIL_TEXT
from shared.providers.openai.usage import chat_usage
from shared.providers.openai.vendor import NAME, raise_error
from shared.providers.service_tiers import told_tier
from shared.schemas.chat import Citation, JsonObject, TokenLogprob
from shared.schemas.events import (
    ChatEvent,
    CitationDelta,
    Finished,
    ImageDelta,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.usage import FinishReason, Usage

# An unknown reason counts as a stop.
_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,  # Together
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,  # Mistral: the context is full
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
# Mistral and OpenRouter.
_FAILED = "error"
# DeepSeek.
_OUT_OF_CAPACITY = "insufficient_system_resource"

_REFERENCE = re.compile(r"\[([1-9][0-9]{0,2})\]")

# The fields of a delta that belong to the answer and not to the reasoning before it.
_ANSWER_FIELDS = ("content", "refusal", "images", "tool_calls")


@dataclass(slots=True)
class ChatReader:
    """Reads one chat completion, whole or in chunks.

    A stream is complete at `[DONE]`, or at its end when every candidate has a finish reason.
    """

    done: bool = False
    _candidates: "dict[int, _Candidate]" = field(default_factory=dict)
    _usage: JsonObject = field(default_factory=dict)  # as the vendor last reported it
    _sources: list[Any] = field(default_factory=list)  # of all candidates

    def body(self, body: bytes) -> Iterator[ChatEvent]:
        return self.answer(from_json(body))

    def answer(self, answer: Any) -> Iterator[ChatEvent]:
        """All events of a whole answer, which is changed in place."""
        raise_error(answer)
        if not answer["choices"]:
            raise ValueError("no choices")
        for choice in answer["choices"]:
            choice["delta"] = _as_delta(choice.pop("message", None) or {})
        yield from self._read(answer)
        self.done = True
        yield from self.end()

    def frame(self, frame: Frame) -> Iterable[ChatEvent]:
        if self.done:
            return ()
        if frame.data.strip() == b"[DONE]":
            self.done = True
            return ()
        chunk = from_json(frame.data)
        if not isinstance(chunk, dict):
            return ()
        raise_error(chunk, named_error=frame.event == "error")
        return self._read(chunk)

    def end(self) -> Iterator[ChatEvent]:
        candidates = [candidate for _, candidate in sorted(self._candidates.items())]
        if not candidates or not (self.done or all(candidate.reason for candidate in candidates)):
            raise truncated()
        for candidate in candidates:
            yield from candidate.close_reasoning()
            yield from candidate.cite(self._sources)
        for candidate in candidates:
            usage = chat_usage(self._usage) if candidate is candidates[-1] else Usage()
            yield Finished(candidate.finish_reason(), usage, candidate.index, candidate.native_reason)

    def _read(self, chunk: JsonObject) -> Iterator[ChatEvent]:
        if usage := chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage"):
            self._usage = usage
        if sources := chunk.get("search_results") or chunk.get("citations"):
            self._sources = sources
        for position, choice in enumerate(chunk.get("choices") or ()):
            if not self._candidates:
                yield Started(
                    service_tier=told_tier(chunk.get("service_tier")),
                    system_fingerprint=chunk.get("system_fingerprint") or None,
                )
            index = position if choice.get("index") is None else choice["index"]
            candidate = self._candidates.get(index)
            if candidate is None:
                candidate = self._candidates[index] = _Candidate(index, answer_id=str(chunk.get("id")))
            yield from candidate.read(choice)


def _as_delta(message: JsonObject) -> JsonObject:
    """The message of a whole answer in the form of a stream's deltas, in which tool calls are numbered."""
    for index, call in enumerate(message.get("tool_calls") or ()):
        call["index"] = index
    return message


@dataclass(slots=True)
class _Call:
    """An incomplete tool call. Until its name is known it has no position, and its arguments wait in `pending`."""

    id: str
    position: int | None = None
    pending: str = ""


@dataclass(slots=True)
class _Candidate:
    index: int
    answer_id: str
    reason: str = ""
    native_reason: str | None = None
    _text: list[str] = field(default_factory=list)
    _is_cited: bool = False
    _calls: dict[int | str | None, _Call] = field(default_factory=dict)
    _last_call: _Call | None = None
    _positions: int = 0
    _detail: JsonObject | None = None  # the open entry of reasoning_details, without its text

    def read(self, choice: JsonObject) -> Iterator[ChatEvent]:
        """The events of one choice in a chunk."""
        delta: JsonObject = choice.get("delta") or {}
        # OpenRouter sends the same text in `reasoning` and in `reasoning_details`; the others send text only.
        if details := delta.get("reasoning_details"):
            for detail in details:
                yield from self._reasoning_detail(detail)
        elif text := delta.get("reasoning_content") or delta.get("reasoning"):
            yield ReasoningDelta(text, issuer=NAME, index=self.index)
        if self._detail is not None and any(delta.get(name) for name in _ANSWER_FIELDS):
            yield from self.close_reasoning()
        content = delta.get("content")
        if isinstance(content, str):
            if content:
                self._text.append(content)
                yield TextDelta(content, self.index)
        elif content:
            yield from self._parts(content)
        if refusal := delta.get("refusal"):
            yield RefusalDelta(refusal, self.index)
        for image in delta.get("images") or ():
            yield self._image(image)
        for fragment in delta.get("tool_calls") or ():
            yield from self._tool_call(fragment)
        if (logprobs := choice.get("logprobs")) and (tokens := _logprobs(logprobs)):
            yield LogprobsDelta(tokens, self.index)
        for annotation in delta.get("annotations") or ():
            yield from self._annotation(annotation)
        if choice.get("error"):
            raise_error(choice)
        self.reason = choice.get("finish_reason") or self.reason
        self.native_reason = choice.get("native_finish_reason") or self.native_reason
        if self.reason == _FAILED:
            raise UpstreamError("The provider failed.")
        if self.reason == _OUT_OF_CAPACITY:
            raise overloaded()

    def finish_reason(self) -> FinishReason:
        reason = _FINISH_REASONS.get(self.reason, FinishReason.STOP)
        if reason in (FinishReason.STOP, FinishReason.TOOL_CALLS):
            # Some vendors report a stop for tool calls; OpenAI does so for forced ones.
            return FinishReason.TOOL_CALLS if self._positions else FinishReason.STOP
        return reason

    def _reasoning_detail(self, detail: JsonObject) -> Iterator[ChatEvent]:
        """An entry comes in pieces with the same type and index. All of it except its text becomes the signature."""
        text_field = DETAIL_TEXT.get(str(detail.get("type")))
        if text_field is None:
            yield from self.close_reasoning()
            yield ReasoningDelta(signature=_compact(detail), redacted=True, issuer=NAME, index=self.index)
            return
        if self._detail is not None and any(self._detail.get(key) != detail.get(key) for key in ("type", "index")):
            yield from self.close_reasoning()
        known = self._detail or {}
        rest = {key: value for key, value in detail.items() if key != text_field}
        self._detail = {**known, **{key: value for key, value in rest.items() if value is not None or key not in known}}
        if text := detail.get(text_field):
            yield ReasoningDelta(text, issuer=NAME, index=self.index)
        if detail.get("signature"):
            yield from self.close_reasoning()

    def close_reasoning(self) -> Iterator[ChatEvent]:
        if self._detail is not None:
            yield ReasoningDelta(signature=_compact(self._detail), issuer=NAME, index=self.index)
            self._detail = None

    def _parts(self, parts: list[JsonObject]) -> Iterator[ChatEvent]:
        """Mistral's list of content parts."""
        for part in parts:
            match part.get("type"):
                case "text" if part.get("text"):
                    self._text.append(part["text"])
                    yield TextDelta(part["text"], self.index)
                case "thinking":
                    for piece in part.get("thinking") or ():
                        if text := piece.get("text"):
                            yield ReasoningDelta(text, issuer=NAME, index=self.index)
                case "image_url":
                    yield self._image(part)

    def _annotation(self, annotation: JsonObject) -> Iterator[ChatEvent]:
        """Annotations of other types, such as OpenRouter's of files, are not sources."""
        if annotation.get("type") == "url_citation":
            self._is_cited = True
            cited = annotation["url_citation"]
            start, end = cited.get("start_index") or 0, cited.get("end_index") or 0
            yield CitationDelta(
                Citation(url=cited["url"], title=cited.get("title") or "", start=start, end=end), self.index
            )

    def cite(self, sources: list[Any]) -> Iterator[ChatEvent]:
        """The sources that Perplexity tells beside its answer, whose text refers to them by number: "[1]".

        As objects with title and URL (https://docs.perplexity.ai/api-reference/chat-completions-post), or as URLs.
        """
        if not sources or self._is_cited:
            return
        references: dict[int, list[tuple[int, int]]] = {}
        for found in _REFERENCE.finditer("".join(self._text)):
            references.setdefault(int(found[1]), []).append(found.span())
        for number, source in enumerate(sources, 1):
            url, title = (source, "") if isinstance(source, str) else (source["url"], source.get("title") or "")
            for start, end in references.get(number, [(0, 0)]):
                yield CitationDelta(Citation(url=url, title=title, start=start, end=end), self.index)

    def _image(self, image: JsonObject) -> ImageDelta:
        """Raises ValueError for anything but a base64 data URI, the only documented form."""
        url = image["image_url"].pop("url")  # large: must not be held beside the data that is cut out of it
        head, _, data = url.partition(",")
        if not (head.startswith("data:") and head.endswith(";base64")):
            raise ValueError("image is not inline")
        drawn = drawn_image(data)
        return ImageDelta(drawn.media_type, drawn.data, self.index)

    def _tool_call(self, fragment: JsonObject) -> Iterator[ChatEvent]:
        function = fragment.get("function") or {}
        call = self._call(fragment, function.get("name"))
        if call is None:
            return
        arguments = call.pending + _arguments(function.get("arguments"))
        if call.position is None:
            if not function.get("name"):
                call.pending = arguments
                return
            call.position, call.pending = self._positions, ""
            self._positions += 1
            extra = fragment.get("extra_content")
            yield ToolCallStarted(
                call.position,
                id=call.id or self._generated_id(call.position),
                name=function["name"],
                signature=_compact(extra) if extra else None,
                issuer=NAME if extra else None,
                index=self.index,
            )
        if arguments:
            yield ToolCallDelta(call.position, arguments, self.index)

    def _call(self, fragment: JsonObject, name: str | None) -> _Call | None:
        """The call that a fragment continues or starts; None when it does neither.

        OpenAI numbers calls by `index` and sends the id once. Others send whole calls without an index, or all of them
        with the same index, or repeat the id in each fragment.
        """
        call_id: str = fragment.get("id") or ""
        index: int | None = fragment.get("index")
        key = call_id if index is None else index
        known = self._calls.get(key) if key != "" else None
        if key == "" and not name:
            known = self._last_call
        elif known is None or (name and call_id and known.id and call_id != known.id):
            known = self._calls[key] = _Call(call_id)
        self._last_call = known
        return known

    def _generated_id(self, position: int) -> str:
        """An id for a call that has none: the same in a whole answer and its stream, and different in every answer."""
        seed = f"{self.answer_id}:{self.index}:{position}"
        return "call_" + hashlib.sha256(seed.encode()).hexdigest()[:24]


def _arguments(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return _compact(arguments)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _logprobs(logprobs: JsonObject) -> tuple[TokenLogprob, ...]:
    return token_logprobs([*(logprobs.get("content") or ()), *(logprobs.get("refusal") or ())])
