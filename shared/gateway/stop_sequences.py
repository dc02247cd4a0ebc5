"""Stop sequences for models that refuse the field: cuts the text where the model should have stopped."""

from collections.abc import Iterator

from shared.dataclass import dataclass
from shared.schemas.events import ChatEvent, CitationDelta, Finished, OriginalEvent, Started, TextDelta
from shared.schemas.usage import FinishReason


@dataclass(slots=True)
class _Held:
    """One candidate's text that may be the beginning of a stop sequence."""

    text: str = ""
    stopped_at: str | None = None


class StopSequences:
    """Takes a call's events and returns those to send; what follows a stop sequence is only read for its usage."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held: dict[int, _Held] = {}

    def feed(self, event: ChatEvent) -> Iterator[ChatEvent]:
        if isinstance(event, Started | OriginalEvent):
            yield event
            return
        held = self._held.setdefault(event.index, _Held())
        if isinstance(event, TextDelta):
            if held.stopped_at is None and (ready := self._ready(held, event.text)):
                yield TextDelta(ready, event.index)
            return
        if held.stopped_at is not None and not isinstance(event, Finished):
            return
        if isinstance(event, CitationDelta):
            yield event
            return
        if held.text:
            # Something other than text follows: the text held back is not a stop sequence.
            yield TextDelta(held.text, event.index)
            held.text = ""
        if held.stopped_at is not None and isinstance(event, Finished):
            event.reason, event.stop_sequence = FinishReason.STOP, held.stopped_at
        yield event

    def _ready(self, held: _Held, text: str) -> str:
        """The text that can be sent now that more has arrived."""
        text = held.text + text
        if (found := _first_stop(text, self._stops)) is not None:
            at, stop = found
            held.text, held.stopped_at = "", stop
            return text[:at]
        keep = _possible_beginning(text, self._stops)
        held.text = text[len(text) - keep :]
        return text[: len(text) - keep]


def _first_stop(text: str, stops: tuple[str, ...]) -> tuple[int, str] | None:
    """The stop sequence that is complete first, and where it begins: the vendor would have stopped there."""
    found = [(at + len(stop), at, stop) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1:] if found else None


def _possible_beginning(text: str, stops: tuple[str, ...]) -> int:
    """How many characters at the text's end are the beginning of a stop sequence."""
    longest = 0
    for stop in stops:
        for size in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:size]):
                longest = size
                break
    return longest
