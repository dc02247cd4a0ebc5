"""Stop sequences are obeyed where the vendor refuses the field, wherever the stream splits them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.gateway.stop_sequences import StopSequences
from shared.schemas.content import Text, ToolCall
from shared.schemas.events import ChatCollector, ChatEvent, Finished, Started, TextDelta, ToolCallDelta, ToolCallStarted
from shared.schemas.usage import FinishReason, Usage

USAGE = Usage(input_tokens=3, output_tokens=5)


def fed(events: list[ChatEvent], stops: tuple[str, ...]) -> list[ChatEvent]:
    sequences = StopSequences(stops)
    return [ready for event in events for ready in sequences.feed(event)]


def cut(pieces: list[str], stops: tuple[str, ...], reason: FinishReason = FinishReason.LENGTH) -> list[ChatEvent]:
    return fed([Started(), *map(TextDelta, pieces), Finished(reason, USAGE)], stops)


def said(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize(
    ("text", "stops", "kept", "stop"),
    [
        ("a END b", ("END",), "a ", "END"),
        ("a END b", ("b", "END"), "a ", "END"),
        ("nothing", ("END",), "nothing", None),
        ("E EN", ("END",), "E EN", None),
        ("END", ("END",), "", "END"),
        ("aab", ("ab",), "a", "ab"),
    ],
)
def test_text_ends_before_the_first_stop_sequence(
    text: str, stops: tuple[str, ...], kept: str, stop: str | None
) -> None:
    for pieces in ([text], list(text)):
        events = cut(pieces, stops)
        assert said(events) == kept
        reason = FinishReason.LENGTH if stop is None else FinishReason.STOP
        assert events[-1] == Finished(reason, USAGE, stop_sequence=stop)


@given(
    st.lists(st.text("abE", max_size=4), max_size=6),
    st.lists(st.text("abE", min_size=1, max_size=4), min_size=1, max_size=3),
)
@example(["Ea", "b", "aE"], ["b", "abaE"])
def test_a_stream_is_cut_as_the_whole_is(pieces: list[str], stops: list[str]) -> None:
    whole, events = cut(["".join(pieces)], tuple(stops)), cut(pieces, tuple(stops))
    assert said(events) == said(whole)
    assert isinstance(events[-1], Finished)
    assert events[-1] == whole[-1]


def test_text_that_was_held_back_comes_before_what_follows_it() -> None:
    collector = ChatCollector()
    for event in fed(
        [
            TextDelta("look: EN"),
            ToolCallStarted(0, "1", "f"),
            ToolCallDelta(0, "{}"),
            Finished(FinishReason.TOOL_CALLS, USAGE),
        ],
        ("END",),
    ):
        collector.add(event)
    parts = collector.response().candidates[0].parts
    assert parts == (Text(text="look: EN"), ToolCall(id="1", name="f", arguments="{}"))


def test_candidates_are_cut_apart_from_each_other() -> None:
    events = fed([TextDelta("a EN", 0), TextDelta("b", 1), TextDelta("D c", 0), TextDelta(" EN", 1)], ("END",))
    assert [(event.text, event.index) for event in events if isinstance(event, TextDelta)] == [
        ("a ", 0),
        ("b", 1),
        (" ", 1),
    ]
