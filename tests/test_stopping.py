"""Stop sequences are obeyed where the vendor refuses the field, wherever the stream splits them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.schemas.chat import Candidate, ChatResponse
from shared.schemas.content import Text, ToolCall
from shared.schemas.events import ChatCollector, ChatEvent, Finished, Started, TextDelta, ToolCallDelta, ToolCallStarted
from shared.schemas.usage import FinishReason, Usage
from shared.stopping import cut, cut_stream

pytestmark = pytest.mark.anyio
USAGE = Usage(input_tokens=3, output_tokens=5)


def response(text: str, reason: FinishReason = FinishReason.LENGTH) -> ChatResponse:
    return ChatResponse(candidates=(Candidate(parts=(Text(text=text),), finish_reason=reason),), usage=USAGE)


async def streamed(
    pieces: list[str], stops: tuple[str, ...], reason: FinishReason = FinishReason.LENGTH
) -> list[ChatEvent]:
    async def events():  # type: ignore[no-untyped-def]
        yield Started()
        for piece in pieces:
            yield TextDelta(piece)
        yield Finished(reason, USAGE)

    return [event async for event in cut_stream(events(), stops)]


def said(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize(
    ("text", "stops", "kept", "reason"),
    [
        ("a END b", ("END",), "a ", FinishReason.STOP),
        ("a END b", ("b", "END"), "a ", FinishReason.STOP),
        ("nothing", ("END",), "nothing", FinishReason.LENGTH),
        ("E EN", ("END",), "E EN", FinishReason.LENGTH),
        ("END", ("END",), "", FinishReason.STOP),
        ("aab", ("ab",), "a", FinishReason.STOP),
    ],
)
async def test_text_ends_before_the_first_stop_sequence(
    text: str, stops: tuple[str, ...], kept: str, reason: FinishReason
) -> None:
    candidate = cut(response(text), stops).candidates[0]
    assert candidate.parts == (Text(text=kept),)
    assert candidate.finish_reason is reason
    for pieces in ([text], list(text)):
        events = await streamed(pieces, stops)
        assert said(events) == kept
        assert events[-1] == Finished(reason, USAGE)


@given(
    st.lists(st.text("abE", max_size=4), max_size=6),
    st.lists(st.text("abE", min_size=1, max_size=4), min_size=1, max_size=3),
)
@example(["Ea", "b", "aE"], ["b", "abaE"])
async def test_a_stream_is_cut_as_the_whole_is(pieces: list[str], stops: list[str]) -> None:
    text = "".join(pieces)
    whole = cut(response(text), tuple(stops)).candidates[0]
    events = await streamed(pieces, tuple(stops))
    assert said(events) == "".join(part.text for part in whole.parts if isinstance(part, Text))
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is whole.finish_reason


async def test_text_that_was_held_back_comes_before_what_follows_it() -> None:
    async def events():  # type: ignore[no-untyped-def]
        yield TextDelta("look: EN")
        yield ToolCallStarted(0, "1", "f")
        yield ToolCallDelta(0, "{}")
        yield Finished(FinishReason.TOOL_CALLS, USAGE)

    collector = ChatCollector()
    async for event in cut_stream(events(), ("END",)):
        collector.add(event)
    parts = collector.response().candidates[0].parts
    assert parts == (Text(text="look: EN"), ToolCall(id="1", name="f", arguments="{}"))
