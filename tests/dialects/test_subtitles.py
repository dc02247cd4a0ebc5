"""Subtitle files are exact to the millisecond, and no text that was spoken can break out of its cue."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dialects.openai.subtitles import srt, vtt
from shared.schemas.transcription import Segment, Transcript, Word

TALK = Transcript(
    text="Hello there. How are you?",
    segments=(Segment(0.0, 1.5, " Hello there."), Segment(1.5, 3.25, " How are you?")),
)
SRT = """1
00:00:00,000 --> 00:00:01,500
Hello there.

2
00:00:01,500 --> 00:00:03,250
How are you?
"""
VTT = """WEBVTT

00:00:00.000 --> 00:00:01.500
Hello there.

00:00:01.500 --> 00:00:03.250
How are you?
"""
# https://www.w3.org/TR/webvtt1/#webvtt-timestamp, with SubRip's comma as well
_TIMING = re.compile(r"(\d\d+):([0-5]\d):([0-5]\d)[.,](\d{3}) --> (\d\d+):([0-5]\d):([0-5]\d)[.,](\d{3})")


def said(text: str, start: float = 0.0, end: float = 1.0) -> Transcript:
    return Transcript(text=text, segments=(Segment(start, end, text),))


def cues(file: str) -> list[list[str]]:
    """The lines of each block of a file, as a player cuts it."""
    return [block.split("\n") for block in file.strip("\n").split("\n\n")]


def test_srt_numbers_its_cues_and_has_a_comma_before_the_milliseconds() -> None:
    assert srt(TALK) == SRT


def test_vtt_begins_with_its_name_and_has_a_point_before_the_milliseconds() -> None:
    assert vtt(TALK) == VTT


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "00:00:00,000"),
        (0.0004, "00:00:00,000"),
        (0.0006, "00:00:00,001"),
        (0.07, "00:00:00,070"),
        (0.9996, "00:00:01,000"),
        (1.005, "00:00:01,005"),
        (2.675, "00:00:02,675"),
        (59.9994, "00:00:59,999"),
        (59.9996, "00:01:00,000"),
        (61.5, "00:01:01,500"),
        (3599.9996, "01:00:00,000"),
        (3661.001, "01:01:01,001"),
        (86399.9999, "24:00:00,000"),
        (360000, "100:00:00,000"),
        (-0.02, "00:00:00,000"),  # whisper gives such a beginning now and then
    ],
)
def test_times_are_rounded_to_the_millisecond_and_carried_over(seconds: float, written: str) -> None:
    transcript = said("Hello", seconds, seconds)
    assert f"\n{written} --> {written}\n" in srt(transcript)
    assert f"\n{written.replace(',', '.')} --> {written.replace(',', '.')}\n" in vtt(transcript)


@given(start=st.floats(0, 400_000), length=st.floats(0, 10_000))
def test_any_time_is_one_that_a_player_reads(start: float, length: float) -> None:
    for made in (srt, vtt):
        found = _TIMING.search(made(said("Hello", start, start + length)))
        assert found
        hours, minutes, seconds, thousandths, *end = map(int, found.groups())
        assert abs((hours * 60 + minutes) * 60 + seconds + thousandths / 1000 - start) < 0.000_51
        assert [hours, minutes, seconds, thousandths] <= end


def test_vtt_escapes_what_would_be_a_tag_and_srt_leaves_it() -> None:
    text = "<b>You & I</b> < 3 &amp;"
    assert cues(vtt(said(text)))[1][1] == "&lt;b&gt;You &amp; I&lt;/b&gt; &lt; 3 &amp;amp;"
    assert cues(srt(said(text)))[0][2] == text


@pytest.mark.parametrize("text", ["one\n\ntwo", "one\r\n\r\ntwo", " one \t two ", "one\u2028two", "one\x0b\x0ctwo"])
def test_a_cue_is_one_line(text: str) -> None:
    assert cues(srt(said(text))) == [["1", "00:00:00,000 --> 00:00:01,000", "one two"]]
    assert cues(vtt(said(text))) == [["WEBVTT"], ["00:00:00.000 --> 00:00:01.000", "one two"]]


@pytest.mark.parametrize("text", ["2\n00:00:05,000 --> 00:00:06,000\nboo", "a --> b", "a ---> b", "a ------> b-->c"])
def test_spoken_timings_are_none(text: str) -> None:
    assert srt(said(text)).count("-->") == 1
    assert vtt(said(text)).count("-->") == 1


@given(texts=st.lists(st.text() | st.text("->\n\r <&"), max_size=5))
def test_there_are_as_many_cues_as_segments_whatever_is_said(texts: list[str]) -> None:
    transcript = Transcript("", segments=tuple(Segment(at, at + 1, text) for at, text in enumerate(texts)))
    for made in (srt, vtt):
        assert sum(_TIMING.fullmatch(line) is not None for line in made(transcript).split("\n")) == len(texts)
        assert made(transcript).count("-->") == len(texts)


def test_words_make_cues_where_there_are_no_segments() -> None:
    words = tuple(Word(f" word{number}", number / 2, number / 2 + 0.4) for number in range(25))
    assert cues(srt(Transcript("", words=words))) == [
        ["1", "00:00:00,000 --> 00:00:05,900", " ".join(f"word{number}" for number in range(12))],
        ["2", "00:00:06,000 --> 00:00:11,900", " ".join(f"word{number}" for number in range(12, 24))],
        ["3", "00:00:12,000 --> 00:00:12,400", "word24"],
    ]


def test_segments_are_preferred_to_words() -> None:
    transcript = Transcript("", segments=TALK.segments, words=(Word("Hello", 0, 1),))
    assert srt(transcript) == SRT


def test_silence_has_no_cues() -> None:
    assert srt(Transcript("")) == ""
    assert vtt(Transcript("")) == "WEBVTT\n"
