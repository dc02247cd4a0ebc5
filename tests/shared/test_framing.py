"""Server-sent events are cut as the standard says, wherever the network splits the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import framing
from shared.errors import UpstreamError
from shared.framing import Frame, SseDecoder, sse_frame


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [Frame(b"a")]),
        (b"data:a\n\n", [Frame(b"a")]),
        (b"data:  a\n\n", [Frame(b" a")]),
        (b"data: a\r\n\r\n", [Frame(b"a")]),
        (b"data: a\ndata: b\n\n", [Frame(b"a\nb")]),
        (b"event: ping\ndata: {}\n\n", [Frame(b"{}", "ping")]),
        (b": comment\n\ndata: a\n\n", [Frame(b"a")]),
        (b"event: lonely\n\ndata: a\n\n", [Frame(b"a")]),
        (b"id: 7\nretry: 9\ndata: a\n\n", [Frame(b"a")]),
        (b"data\n\n", [Frame(b"")]),
        (b"data: a", []),
        (b"data: a\n", []),
        ("data: \u2028é\n\n".encode(), [Frame("\u2028é".encode())]),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, expected: list[Frame]) -> None:
    assert SseDecoder().feed(stream) == expected


_LINE = st.binary(max_size=20).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))


@given(st.lists(st.tuples(_LINE, st.sampled_from(["", "error", "ping"])), max_size=8), st.data())
def test_frames_survive_any_split(values: list[tuple[bytes, str]], data: st.DataObject) -> None:
    stream = b"".join(sse_frame(value, event) for value, event in values)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    decoder = SseDecoder()
    frames = [
        frame
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for frame in decoder.feed(stream[start:end])
    ]
    assert frames == [Frame(value, event) for value, event in values]


@pytest.mark.parametrize("line_end", [b"", b"\n"], ids=["one line", "many lines"])
def test_an_event_that_never_ends_is_refused_before_it_fills_the_memory(
    line_end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framing, "MAX_FRAME_BYTES", 10_000)
    decoder = SseDecoder()
    for _ in range(9):
        decoder.feed(b"data: " + b"x" * 1000 + line_end)
    with pytest.raises(UpstreamError):
        decoder.feed(b"data: " + b"x" * 2000 + line_end)
