"""Stop sequences for models that refuse the field: their text is cut where the vendor would have stopped."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from shared.schemas.chat import Candidate, ChatResponse
from shared.schemas.content import Part, Text
from shared.schemas.events import ChatEvent, Finished, Started, TextDelta
from shared.schemas.usage import FinishReason


def cut(response: ChatResponse, stops: tuple[str, ...]) -> ChatResponse:
    """The response with each candidate's text ended before the first stop sequence in it."""
    return response.model_copy(
        update={"candidates": tuple(_cut_candidate(candidate, stops) for candidate in response.candidates)}
    )


def _cut_candidate(candidate: Candidate, stops: tuple[str, ...]) -> Candidate:
    kept: list[Part] = []
    for part in candidate.parts:
        if isinstance(part, Text) and (at := _first_stop(part.text, stops)) is not None:
            kept.append(Text(text=part.text[:at]))
            return candidate.model_copy(update={"parts": tuple(kept), "finish_reason": FinishReason.STOP})
        kept.append(part)
    return candidate


def _first_stop(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the stop sequence begins that is complete first, which is when a vendor would have stopped."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1] if found else None


@dataclass(slots=True)
class _Held:
    """One candidate's text that may still turn out to be the beginning of a stop sequence."""

    text: str = ""
    stopped: bool = False


@dataclass(slots=True)
class _Candidates:
    stops: tuple[str, ...]
    held: dict[int, _Held] = field(default_factory=dict)

    def add(self, event: TextDelta) -> str:
        """The text that can go out now that more has come."""
        held = self.held.setdefault(event.index, _Held())
        held.text += event.text
        if (at := _first_stop(held.text, self.stops)) is not None:
            held.stopped = True
            ready, held.text = held.text[:at], ""
            return ready
        keep = _possible_beginning(held.text, self.stops)
        ready, held.text = held.text[: len(held.text) - keep], held.text[len(held.text) - keep :]
        return ready

    def rest(self, index: int) -> str:
        """What was held back, when something other than text follows."""
        held = self.held.setdefault(index, _Held())
        text, held.text = held.text, ""
        return text

    def stopped(self, index: int) -> bool:
        return index in self.held and self.held[index].stopped


def _possible_beginning(text: str, stops: tuple[str, ...]) -> int:
    """How many characters at the text's end are the beginning of a stop sequence."""
    longest = 0
    for stop in stops:
        for size in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:size]):
                longest = size
                break
    return longest


async def cut_stream(
    events: AsyncGenerator[ChatEvent, None], stops: tuple[str, ...]
) -> AsyncGenerator[ChatEvent, None]:
    """The same for a stream. What follows a stop sequence is read for its usage, but not passed on."""
    candidates = _Candidates(stops)
    async with aclosing(events) as source:
        async for event in source:
            if isinstance(event, Started):
                yield event
            elif isinstance(event, Finished):
                if rest := candidates.rest(event.index):
                    yield TextDelta(rest, event.index)
                reason = FinishReason.STOP if candidates.stopped(event.index) else event.reason
                yield Finished(reason, event.usage, event.index)
            elif candidates.stopped(event.index):
                continue
            elif isinstance(event, TextDelta):
                if ready := candidates.add(event):
                    yield TextDelta(ready, event.index)
            else:
                if rest := candidates.rest(event.index):
                    yield TextDelta(rest, event.index)
                yield event
