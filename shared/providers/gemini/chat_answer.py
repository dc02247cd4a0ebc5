"""Gemini's answer to a chat, whole and streamed: https://ai.google.dev/api/generate-content#generatecontentresponse."""

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.errors import UpstreamError
from shared.framing import Frame
from shared.providers.base import drawn_image, truncated
from shared.providers.gemini.errors import error_object, error_of
from shared.providers.gemini.finish import FAILURES, FINISH_REASONS, no_answer
from shared.providers.gemini.usage import usage_of
from shared.providers.gemini.wire import NAME
from shared.schemas.chat import ChatResponse, JsonObject, TokenLogprob, TopLogprob
from shared.schemas.events import (
    ChatCollector,
    ChatEvent,
    Finished,
    ImageDelta,
    LogprobsDelta,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.usage import FinishReason, Usage


def response(body: Any) -> ChatResponse:
    """See `Gemini.chat_response`."""
    answer, collector = _Reader(), ChatCollector()
    for event in answer.read(body):
        collector.add(event)
    for event in answer.end():
        collector.add(event)
    return collector.response()


async def events(frames: AsyncIterator[Frame]) -> AsyncGenerator[ChatEvent, None]:
    """See `Gemini.chat_events`."""
    answer = _Reader()
    started = False
    async for frame in frames:
        chunk = json.loads(frame.data)
        if error := error_object(chunk):
            raise error_of(error.get("code", 500), {}, error)
        if not started:
            started = True
            yield Started()
        for event in answer.read(chunk):
            yield event
    if not answer.complete:
        raise truncated()
    for event in answer.end():
        yield event


@dataclass(slots=True)
class _Candidate:
    reason: str | None = None
    calls: int = 0
    said_something: bool = False

    def finish_reason(self) -> FinishReason:
        """Raises UpstreamError for a candidate that is no answer."""
        reason = FINISH_REASONS.get(self.reason or "")
        if reason is None:
            if self.reason in FAILURES:
                raise UpstreamError(FAILURES[self.reason])
            if not self.said_something:
                raise no_answer()
            reason = FinishReason.STOP
        return FinishReason.TOOL_CALLS if self.calls and reason is FinishReason.STOP else reason


@dataclass(slots=True)
class _Reader:
    """Reads an answer, whole or chunk by chunk, into events.

    A signature on text or an image becomes a ReasoningDelta without text right behind it, because those have no place
    for one; on a function call it is the call's own.
    """

    candidates: dict[int, _Candidate] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    blocked: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing is missing from the answer."""
        return all(candidate.reason for candidate in self.candidates.values()) if self.candidates else self.blocked

    def read(self, chunk: JsonObject) -> Iterator[ChatEvent]:
        """The events of a GenerateContentResponse."""
        # Every chunk repeats the usage so far, the last one has all of it.
        if metadata := chunk.get("usageMetadata"):
            self.usage = usage_of(metadata)
        self.blocked |= "blockReason" in chunk.get("promptFeedback", {})
        for value in chunk.get("candidates", ()):
            index = value.get("index", 0)
            candidate = self.candidates.setdefault(index, _Candidate())
            candidate.reason = value.get("finishReason", candidate.reason)
            for part in value.get("content", {}).get("parts", ()):
                yield from self._part(part, candidate, index, chunk)
            if logprobs := value.get("logprobsResult"):
                yield LogprobsDelta(_logprobs(logprobs), index)

    def end(self) -> Iterator[ChatEvent]:
        """The last events. Raises UpstreamError when there is no usable answer."""
        reasons = {index: candidate.finish_reason() for index, candidate in sorted(self.candidates.items())}
        if not reasons:
            if not self.blocked:
                raise no_answer()
            reasons = {0: FinishReason.CONTENT_FILTER}
        last = max(reasons)
        for index, reason in reasons.items():
            yield Finished(reason, self.usage if index == last else Usage(), index)

    def _part(self, part: JsonObject, candidate: _Candidate, index: int, chunk: JsonObject) -> Iterator[ChatEvent]:
        """Kinds of parts that we do not ask for, such as executed code, are passed over."""
        signature = part.get("thoughtSignature")
        if call := part.get("functionCall"):
            candidate.said_something = True
            yield from self._call(call, signature, candidate, index, chunk)
            return
        text = part.get("text", "")
        if part.get("thought"):
            # Image models also think in pictures, which are drafts and no part of the answer.
            if text or (signature and "inlineData" not in part):
                yield ReasoningDelta(text, signature, issuer=NAME, index=index)
            return
        if text:
            yield TextDelta(text, index)
        media = part.get("inlineData", {})
        if drawn := media.get("mimeType", "").startswith("image/"):
            image = drawn_image(media["data"])
            yield ImageDelta(image.media_type, image.data, index)
        candidate.said_something |= bool(text) or drawn
        if signature:
            yield ReasoningDelta(signature=signature, issuer=NAME, index=index)

    def _call(
        self, call: JsonObject, signature: str | None, candidate: _Candidate, index: int, chunk: JsonObject
    ) -> Iterator[ChatEvent]:
        """A function call, which always comes whole."""
        position = candidate.calls
        candidate.calls += 1
        # Ids are optional here but not for our callers, and must not recur in a later turn.
        call_id = call.get("id") or f"call_{_answer_id(chunk)}_{index}_{position}"
        issuer = NAME if signature else None
        yield ToolCallStarted(position, call_id, call["name"], signature, issuer, index)
        arguments = json.dumps(call.get("args", {}), ensure_ascii=False, separators=(",", ":"))
        yield ToolCallDelta(position, arguments, index)


def _answer_id(chunk: JsonObject) -> str:
    """What tells this answer from any other."""
    answer_id: str | None = chunk.get("responseId")
    return answer_id or hashlib.sha256(json.dumps(chunk).encode()).hexdigest()[:22]


def _logprobs(result: JsonObject) -> tuple[TokenLogprob, ...]:
    """See https://ai.google.dev/api/generate-content#LogprobsResult."""
    chosen = result.get("chosenCandidates", [])
    steps = [step.get("candidates", []) for step in result.get("topCandidates", [])]
    steps += [[]] * (len(chosen) - len(steps))
    return tuple(
        TokenLogprob(**_logprob(token), top_logprobs=tuple(TopLogprob(**_logprob(top)) for top in tops))
        for token, tops in zip(chosen, steps, strict=False)
    )


def _logprob(candidate: JsonObject) -> JsonObject:
    # Proto JSON leaves out a probability of zero, which is a certain token.
    token = candidate.get("token", "")
    return {"token": token, "logprob": candidate.get("logProbability", 0.0), "bytes": tuple(token.encode())}
