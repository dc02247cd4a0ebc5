"""A response told as the stream that leads to it, at the speed of a model that is thinking."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest

from shared.providers.sandbox import tokens
from shared.providers.sandbox.wire import write_event
from shared.schemas.chat import Candidate, ChatResponse
from shared.schemas.content import Audio, File, Image, Inline, Reasoning, Refusal, Text, ToolCall, ToolResult
from shared.schemas.events import (
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
from shared.schemas.usage import Usage


@dataclass(frozen=True, slots=True)
class Pace:
    """The pauses before the first word and before every other, in seconds."""

    first: float
    between: float


def events(response: ChatResponse) -> Iterator[ChatEvent]:
    """The events that fold into `response`, word by word. Candidates take turns, as they do with real models."""
    yield Started()
    for step in zip_longest(*map(_deltas, response.candidates)):
        yield from filter(None, step)
    last = response.candidates[-1]
    for candidate in response.candidates:
        usage = response.usage if candidate is last else Usage()
        yield Finished(candidate.finish_reason, usage, candidate.index)


def _deltas(candidate: Candidate) -> Iterator[ChatEvent]:
    """The events of one candidate but the last."""
    index = candidate.index
    logprobs = iter(candidate.logprobs or ())
    position = 0
    for part in candidate.parts:
        match part:
            case Text():
                for word in tokens.words(part.text):
                    yield TextDelta(word, index)
                    if chances := tuple(islice(logprobs, tokens.count(word))):
                        yield LogprobsDelta(chances, index)
            case Refusal():
                for word in tokens.words(part.text):
                    yield RefusalDelta(word, index)
            case Reasoning():
                for word in tokens.words(part.text):
                    yield ReasoningDelta(word, issuer=part.issuer, index=index)
                if part.signature:
                    yield ReasoningDelta(signature=part.signature, issuer=part.issuer, index=index)
            case ToolCall():
                yield ToolCallStarted(position, part.id, part.name, index=index)
                for word in tokens.words(part.arguments):
                    yield ToolCallDelta(position, word, index)
                position += 1
            case Image(source=Inline() as source):
                yield ImageDelta(source.media_type, source.data, index)
            case Image() | Audio() | File() | ToolResult():
                raise AssertionError("the chat engine makes no such part")


def paced(stream: Iterable[ChatEvent], pace: Pace) -> Iterator[bytes | float]:
    """The bytes of a stream, with a pause before each word."""
    pause = pace.first
    for event in stream:
        if isinstance(event, TextDelta | RefusalDelta | ReasoningDelta | ToolCallDelta):
            if pause:
                yield pause
            pause = pace.between
        yield write_event(event)
