"""Reads Gemini's chat responses, whole and streamed: https://ai.google.dev/api/generate-content#generatecontentresponse."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import field

from pydantic_core import from_json

from shared.dataclass import dataclass
from shared.errors import UpstreamError
from shared.framing import Frame
from shared.providers.base import drawn_image, truncated
from shared.providers.gemini.chat_sources import Sources
from shared.providers.gemini.responses import FAILURES, FINISH_REASONS, empty_response
from shared.providers.gemini.usage import usage_of
from shared.providers.gemini.vendor import raise_error
from shared.providers.gemini.vendor import vendor as gemini
from shared.providers.service_tiers import told_tier
from shared.schemas.chat import JsonObject, TokenLogprob, TopLogprob
from shared.schemas.events import (
    ChatEvent,
    CitationDelta,
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


@dataclass(slots=True)
class _Candidate:
    reason: str | None = None
    calls: int = 0
    has_content: bool = False
    text: list[str] = field(default_factory=list)
    sources: Sources = field(default_factory=Sources)

    def finish_reason(self) -> FinishReason:
        """Raises UpstreamError for a candidate that is unusable."""
        if self.reason == "UNEXPECTED_TOOL_CALL" and self.calls:
            return FinishReason.TOOL_CALLS  # the application decides what to do with the call
        reason = FINISH_REASONS.get(self.reason or "")
        if reason is None:
            if self.reason in FAILURES:
                raise UpstreamError(FAILURES[self.reason])
            if not self.has_content:
                raise empty_response()
            reason = FinishReason.STOP
        return FinishReason.TOOL_CALLS if self.calls and reason is FinishReason.STOP else reason


class ChatReader:
    """See shared.providers.base.Reader. A whole body is read as the only frame of a stream.

    Text and image events cannot carry a thought signature, so a signature on such a part becomes a ReasoningDelta
    without text right behind it; `chat_messages` puts it back. A function call carries its own.
    """

    done = False  # the stream has no end marker, and frames after the finish reason still update the usage

    def __init__(self) -> None:
        self._candidates: dict[int, _Candidate] = {}
        self._counts: JsonObject = {}
        self._blocked = False
        self._started = False

    def body(self, body: bytes) -> Iterator[ChatEvent]:
        """All events of a GenerateContentResponse, which may leave out the finish reason."""
        response = from_json(body)
        del body  # images make it large
        yield from self._read(response)
        yield from self._finish()

    def frame(self, frame: Frame) -> Iterator[ChatEvent]:
        """The events of the next GenerateContentResponse of a stream."""
        return self._read(from_json(frame.data))

    def end(self) -> Iterator[ChatEvent]:
        """The last events. Raises UpstreamError if a candidate lacks a finish reason."""
        complete = all(each.reason for each in self._candidates.values()) if self._candidates else self._blocked
        if not complete:
            raise truncated()
        return self._finish()

    def _read(self, response: JsonObject) -> Iterator[ChatEvent]:
        raise_error(response)
        # Each frame repeats the counts so far; the last one has the totals.
        self._counts = response.get("usageMetadata") or self._counts
        self._blocked |= "blockReason" in response.get("promptFeedback", ())
        if not self._started:
            self._started = True
            tier = told_tier(self._counts.get("serviceTier"))
            yield Started(usage_of(self._counts), service_tier=tier)
        for value in response.get("candidates", ()):
            index = value.get("index", 0)
            candidate = self._candidates.setdefault(index, _Candidate())
            candidate.reason = value.get("finishReason", candidate.reason)
            for part in value.get("content", {}).get("parts", ()):
                yield from _part_events(part, candidate, index, response)
            if logprobs := value.get("logprobsResult"):
                yield LogprobsDelta(_logprobs(logprobs), index)
            candidate.sources.read(value)

    def _finish(self) -> Iterator[ChatEvent]:
        """Raises UpstreamError if there is no usable candidate."""
        reasons = {index: candidate.finish_reason() for index, candidate in sorted(self._candidates.items())}
        if not reasons:
            if not self._blocked:
                raise empty_response()
            reasons = {0: FinishReason.CONTENT_FILTER}
        last = max(reasons)
        for index, candidate in sorted(self._candidates.items()):
            for citation in candidate.sources.citations("".join(candidate.text)):
                yield CitationDelta(citation, index)
        searches = sum(candidate.sources.searches for candidate in self._candidates.values())
        usage = usage_of(self._counts) + Usage(searches=searches)
        for index, reason in reasons.items():
            yield Finished(reason, usage if index == last else Usage(), index)


def _part_events(part: JsonObject, candidate: _Candidate, index: int, response: JsonObject) -> Sequence[ChatEvent]:
    """The events of one part. Parts of kinds that we do not request, such as executed code, have none."""
    signature = part.get("thoughtSignature")
    if call := part.get("functionCall"):
        return _call_events(call, signature, candidate, index, response)
    text = part.get("text", "")
    if part.get("thought"):
        # Image models also think in images, which are drafts and not part of the response.
        if text or (signature and "inlineData" not in part):
            return [ReasoningDelta(text, signature, issuer=gemini.name, index=index)]
        return []
    events: list[ChatEvent] = []
    if text:
        candidate.text.append(text)
        events.append(TextDelta(text, index))
    media = part.get("inlineData", {})
    if media.get("mimeType", "").startswith("image/"):
        image = drawn_image(media["data"])
        events.append(ImageDelta(image.media_type, image.data, index))
    candidate.has_content |= bool(events)
    if signature:
        events.append(ReasoningDelta(signature=signature, issuer=gemini.name, index=index))
    return events


def _call_events(
    call: JsonObject, signature: str | None, candidate: _Candidate, index: int, response: JsonObject
) -> Sequence[ChatEvent]:
    """The events of a function call, which always comes whole."""
    candidate.has_content = True
    position = candidate.calls
    candidate.calls += 1
    # Gemini may leave out the id; our callers need one that does not recur in a later turn.
    call_id = call.get("id") or f"call_{_response_id(response)}_{index}_{position}"
    issuer = gemini.name if signature else None
    arguments = json.dumps(call.get("args", {}), ensure_ascii=False, separators=(",", ":"))
    return [
        ToolCallStarted(position, call_id, call["name"], signature, issuer, index),
        ToolCallDelta(position, arguments, index),
    ]


def _response_id(response: JsonObject) -> str:
    """An id that no other response has."""
    response_id: str | None = response.get("responseId")
    return response_id or hashlib.sha256(json.dumps(response).encode()).hexdigest()[:22]


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
    # Proto JSON leaves out zero, which is the log probability of a certain token.
    token = candidate.get("token", "")
    return {"token": token, "logprob": candidate.get("logProbability", 0.0), "bytes": tuple(token.encode())}
