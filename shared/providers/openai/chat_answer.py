"""Chat completions read, whole or in chunks; both forms of an answer go through the same code."""

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.errors import UpstreamError
from shared.framing import Frame
from shared.providers.base import drawn_image, truncated
from shared.providers.openai import NAME
from shared.providers.openai.errors import raise_error
from shared.providers.openai.messages import DETAIL_TEXT
from shared.schemas.chat import ChatResponse, JsonObject, TokenLogprob, TopLogprob
from shared.schemas.events import (
    ChatCollector,
    ChatEvent,
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

# Anything else ends a candidate as well, and counts as a stop.
_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,  # Together
    "length": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,  # Mistral: the context is full
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
# Mistral and OpenRouter; DeepSeek when it runs out of capacity halfway.
_FAILED_REASONS = frozenset({"error", "insufficient_system_resource"})


def response(body: Any) -> ChatResponse:
    """The response of a chat completion object. Raises the GatewayError of an error sent with status 200."""
    raise_error(body)
    if not body["choices"]:
        raise ValueError("an answer without choices")
    collector = ChatCollector()
    reader = _Reader()
    for event in (*reader.read({**body, "choices": _as_chunk(body["choices"])}), *reader.end(complete=True)):
        collector.add(event)
    return collector.response()


async def events(frames: AsyncIterator[Frame]) -> AsyncGenerator[ChatEvent, None]:
    """The events of chat completion chunks.

    The stream is complete at `[DONE]`, or at its end when every candidate has a finish reason.
    """
    reader = _Reader()
    done = False
    async for frame in frames:
        if frame.data.strip() == b"[DONE]":
            done = True
            break
        chunk = json.loads(frame.data)
        if not isinstance(chunk, dict):
            continue
        raise_error(chunk, named_error=frame.event == "error")
        for event in reader.read(chunk):
            yield event
    for event in reader.end(complete=done):
        yield event


def _as_chunk(choices: list[JsonObject]) -> list[JsonObject]:
    """The choices of a whole response in the form of a stream's, so that both are read by the same code."""
    return [{**choice, "delta": _as_delta(choice.get("message") or {})} for choice in choices]


def _as_delta(message: JsonObject) -> JsonObject:
    calls = message.get("tool_calls") or ()
    return {**message, "tool_calls": [{**call, "index": index} for index, call in enumerate(calls)]}


@dataclass(slots=True)
class _Reader:
    """The state of one answer."""

    _candidates: "dict[int, _Candidate]" = field(default_factory=dict)
    _usage: Usage = field(default_factory=Usage)

    def read(self, chunk: JsonObject) -> Iterator[ChatEvent]:
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")
        if usage:
            self._usage = _usage(usage)
        for position, choice in enumerate(chunk.get("choices") or ()):
            if not self._candidates:
                yield Started()
            index = position if choice.get("index") is None else choice["index"]
            candidate = self._candidates.setdefault(index, _Candidate(index, answer_id=str(chunk.get("id"))))
            yield from candidate.read(choice)

    def end(self, *, complete: bool) -> Iterator[ChatEvent]:
        """The closing events. Raises UpstreamError unless the answer is `complete` or all candidates have finished."""
        candidates = [candidate for _, candidate in sorted(self._candidates.items())]
        if not candidates or not (complete or all(candidate.reason for candidate in candidates)):
            raise truncated()
        for candidate in candidates:
            yield from candidate.close_reasoning()
        for candidate in candidates:
            usage = self._usage if candidate is candidates[-1] else Usage()
            yield Finished(candidate.finish_reason(), usage, candidate.index)


@dataclass(slots=True)
class _Call:
    """A tool call under way; it has no position before its name is known."""

    id: str
    position: int | None = None
    waiting: str = ""


@dataclass(slots=True)
class _Candidate:
    index: int
    answer_id: str
    reason: str = ""
    _calls: dict[int | str | None, _Call] = field(default_factory=dict)
    _last_call: _Call | None = None
    _positions: int = 0
    _detail: JsonObject | None = None  # the open entry of reasoning_details, without its text

    def read(self, choice: JsonObject) -> Iterator[ChatEvent]:
        """The events of one choice, of a chunk or whole."""
        delta: JsonObject = choice.get("delta") or {}
        yield from self._reasoning(delta)
        yield from self._content(delta.get("content"))
        if refusal := delta.get("refusal"):
            yield RefusalDelta(refusal, self.index)
        for image in delta.get("images") or ():
            yield self._image(image)
        for fragment in delta.get("tool_calls") or ():
            yield from self._tool_call(fragment)
        if tokens := _logprobs(choice.get("logprobs")):
            yield LogprobsDelta(tokens, self.index)
        if choice.get("error"):
            raise_error(choice)
        self.reason = choice.get("finish_reason") or self.reason
        if self.reason in _FAILED_REASONS:
            raise UpstreamError("The provider failed.")

    def finish_reason(self) -> FinishReason:
        reason = _FINISH_REASONS.get(self.reason, FinishReason.STOP)
        if reason in (FinishReason.STOP, FinishReason.TOOL_CALLS):
            # Some vendors call it a stop, and OpenAI does where the call was forced.
            return FinishReason.TOOL_CALLS if self._positions else FinishReason.STOP
        return reason

    def _reasoning(self, delta: JsonObject) -> Iterator[ChatEvent]:
        """OpenRouter says the same in `reasoning` and in `reasoning_details`; others have a text only."""
        if details := delta.get("reasoning_details"):
            for detail in details:
                yield from self._reasoning_detail(detail)
        elif text := delta.get("reasoning_content") or delta.get("reasoning"):
            yield ReasoningDelta(text, issuer=NAME, index=self.index)
        if any(delta.get(name) for name in ("content", "refusal", "images", "tool_calls")):
            yield from self.close_reasoning()

    def _reasoning_detail(self, detail: JsonObject) -> Iterator[ChatEvent]:
        """An entry comes in pieces that share type and index. Everything but its text becomes the signature."""
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

    def _content(self, content: Any) -> Iterator[ChatEvent]:
        """Text, or Mistral's list of parts."""
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        for part in content or ():
            match part.get("type"):
                case "text" if part.get("text"):
                    yield TextDelta(part["text"], self.index)
                case "thinking":
                    for piece in part.get("thinking") or ():
                        if text := piece.get("text"):
                            yield ReasoningDelta(text, issuer=NAME, index=self.index)
                case "image_url":
                    yield self._image(part)

    def _image(self, image: JsonObject) -> ImageDelta:
        """Raises ValueError for anything but a base64 data URI, which is all that is documented."""
        url = image["image_url"]["url"]
        head, _, data = url.partition(",")
        if not (head.startswith("data:") and head.endswith(";base64")):
            raise ValueError("an image that is not inline")
        drawn = drawn_image(data)
        return ImageDelta(drawn.media_type, drawn.data, self.index)

    def _tool_call(self, fragment: JsonObject) -> Iterator[ChatEvent]:
        function = fragment.get("function") or {}
        call = self._call(fragment, function.get("name"))
        if call is None:
            return
        arguments = call.waiting + _arguments(function.get("arguments"))
        if call.position is None:
            if not function.get("name"):
                call.waiting = arguments
                return
            call.position, call.waiting = self._positions, ""
            self._positions += 1
            extra = fragment.get("extra_content")
            yield ToolCallStarted(
                call.position,
                id=call.id or self._made_up_id(call.position),
                name=function["name"],
                signature=_compact(extra) if extra else None,
                issuer=NAME if extra else None,
                index=self.index,
            )
        if arguments:
            yield ToolCallDelta(call.position, arguments, self.index)

    def _call(self, fragment: JsonObject, name: str | None) -> _Call | None:
        """The call that a fragment belongs to, a new one where it starts one, None where it belongs to none.

        OpenAI counts calls by `index` and gives the id once. Others send whole calls without an index, or all of them
        with the same one, or repeat the id in each fragment.
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

    def _made_up_id(self, position: int) -> str:
        """An id for a call that came without: the same in both forms of an answer, another in every answer."""
        seed = f"{self.answer_id}:{self.index}:{position}"
        return "call_" + hashlib.sha256(seed.encode()).hexdigest()[:24]


def _arguments(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return _compact(arguments)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _logprobs(logprobs: JsonObject | None) -> tuple[TokenLogprob, ...]:
    if not logprobs:
        return ()
    tokens = [*(logprobs.get("content") or ()), *(logprobs.get("refusal") or ())]
    return tuple(
        TokenLogprob(
            **_token(token),
            top_logprobs=tuple(TopLogprob(**_token(other)) for other in token.get("top_logprobs") or ()),
        )
        for token in tokens
    )


def _token(token: JsonObject) -> JsonObject:
    return {"token": token["token"], "logprob": token["logprob"], "bytes": token.get("bytes")}


def _usage(usage: JsonObject) -> Usage:
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    input_tokens = usage.get("prompt_tokens") or 0
    output_tokens = usage.get("completion_tokens") or 0
    reasoning_tokens = completion.get("reasoning_tokens") or 0
    if usage.get("total_tokens") == input_tokens + output_tokens + reasoning_tokens:
        output_tokens += reasoning_tokens  # xAI counts them beside completion_tokens, not inside
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_read_tokens=prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0,  # DeepSeek
        cache_write_tokens=prompt.get("cache_write_tokens") or 0,
        reasoning_tokens=reasoning_tokens,
        input_image_tokens=prompt.get("image_tokens") or 0,
        output_image_tokens=completion.get("image_tokens") or 0,
        input_audio_tokens=prompt.get("audio_tokens") or 0,
        output_audio_tokens=completion.get("audio_tokens") or 0,
    )
