"""The sandbox's speech, which is a real WAV file, and its transcripts, which know what it said."""

import io
import struct
import wave
from array import array
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import (
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
)
from tests.providers.sandbox_calls import events, upload

HELLO = "Hello there. How are you today?"


# --- speech -----------------------------------------------------------------------------------------------------------


def spoken(text: str = HELLO, size: int = 1 << 20, **more: Any) -> bytes:
    request = SpeechRequest(model="sandbox/speech", input=text, **{"format": "wav", **more})
    return b"".join(events("speech", request, "speech", size))


def opened(content: bytes) -> wave.Wave_read:
    return wave.Wave_read(io.BytesIO(content))


@pytest.mark.parametrize(("speed", "seconds"), [(None, 0.06), (0.25, 0.24), (4.0, 0.015)])
def test_speech_is_a_wav_file_as_long_as_its_text(speed: float | None, seconds: float) -> None:
    content = spoken(speed=speed)
    with opened(content) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        frames = file.readframes(file.getnframes())
    assert len(frames) == 2 * round(seconds * 24_000) * len(HELLO)
    assert 5_000 < max(array("h", frames)) < 32_767
    assert struct.unpack_from("<I", content, 4) == (len(content) - 8,)


def test_pcm_is_the_same_sound_without_a_header() -> None:
    with opened(spoken()) as file:
        assert spoken(format="pcm") == file.readframes(file.getnframes())


def test_letters_sound_and_spaces_are_silent_and_every_tone_swells_and_fades() -> None:
    content = array("h", spoken("a a", format="pcm"))
    third = len(content) // 3
    first, middle, last = content[:third], content[third : 2 * third], content[2 * third :]
    assert not any(middle)
    assert first == last
    assert max(map(abs, first[:20])) < max(map(abs, first)) / 4
    assert max(map(abs, first[-20:])) < max(map(abs, first)) / 4


def test_each_voice_sounds_different_and_a_default_is_there() -> None:
    names = ["alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse", "Zoë 9"]
    assert len({spoken("aaaa", voice=name) for name in names}) == len(names)
    assert spoken("aaaa", voice=None) == spoken("aaaa", voice="alloy")


def test_speech_comes_in_pieces_that_may_be_split_anywhere() -> None:
    request = SpeechRequest(model="sandbox/speech", input="word " * 100, format="wav")
    assert len(events("speech", request, "speech")) > 20
    assert spoken("Hi", size=1) == spoken("Hi", size=7) == spoken("Hi")


# --- transcripts ------------------------------------------------------------------------------------------------------


def recording(seconds: float = 8.0, rate: int = 8000, mark: int = 0) -> bytes:
    """A WAV file that the sandbox has not made."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(struct.pack("<h", mark) * (2 * int(seconds * rate)))
    return buffer.getvalue()


def heard(audio: bytes, size: int = 1 << 20, **more: Any) -> list[TranscriptEvent]:
    request = TranscriptionRequest(model="sandbox/transcription", file=upload(audio, "audio/wav"), **more)
    return events("transcription", request, "transcription", size)


def transcribed(audio: bytes, **more: Any) -> Transcript:
    done = heard(audio, **more)[-1]
    assert isinstance(done, TranscriptDone)
    return done.transcript


@settings(max_examples=60)
@given(st.text(min_size=1, max_size=60))
def test_what_the_sandbox_said_it_writes_down_word_by_word(text: str) -> None:
    transcript = transcribed(spoken(text, speed=4), prompt="Not said")
    assert transcript.text == text
    assert transcript.duration == pytest.approx(0.015 * len(text), abs=0.006)


def test_a_transcript_depends_on_the_recording_alone() -> None:
    first, other = transcribed(recording(60, mark=1)), transcribed(recording(60, mark=2))
    assert first == transcribed(recording(60, mark=1))
    assert first.text != other.text
    assert 100 <= len(first.text.split()) <= 250


def test_the_duration_is_that_of_the_wav_file_or_a_guess() -> None:
    assert transcribed(recording(12.5, 16_000)).duration == 12.5
    assert transcribed(b"ID3" + bytes(160_000)).duration == 10.0
    assert transcribed(b"ID3").duration == 1.0
    unfinished = recording(3).replace(b"data" + struct.pack("<I", 3 * 32_000), b"data\xff\xff\xff\xff")
    assert transcribed(unfinished).duration == pytest.approx(3.0, abs=0.01)
    assert transcribed(recording(3)[:-32_000]).duration == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("size", [0, 8, 11, 12, 20, 30, 43, 44, 46])
def test_a_wav_file_cut_anywhere_still_has_a_transcript(size: int) -> None:
    transcript = transcribed(recording()[:size])
    assert transcript.text
    assert transcript.segments


def test_language_and_prompt_show() -> None:
    transcript = transcribed(recording(), language="de", prompt="  Nürnberg,\nFürth. ")
    assert transcript.language == "de"
    assert transcript.text.startswith("Nürnberg, Fürth. ")
    assert transcribed(recording()).language == "en"
    assert transcript.usage.input_tokens > transcribed(recording()).usage.input_tokens


@pytest.mark.parametrize("seconds", [0.0, 0.05, 3.0, 61.7, 900.0])
def test_segments_and_words_cover_the_recording_in_order(seconds: float) -> None:
    transcript = transcribed(recording(seconds, 100), granularities=frozenset({"segment", "word"}))
    assert " ".join(word.word for word in transcript.words) == transcript.text
    assert " ".join(segment.text for segment in transcript.segments) == transcript.text
    for times in (transcript.words, transcript.segments):
        assert times[0].start == 0
        assert times[-1].end == transcript.duration == seconds
        assert all(one.start <= one.end == other.start for one, other in pairwise(times))


def test_words_are_given_only_where_they_are_asked_for() -> None:
    assert transcribed(recording()).words == ()


def test_usage_tells_what_was_listened_to() -> None:
    usage = transcribed(recording(8)).usage
    assert (usage.audio_seconds, usage.input_audio_tokens, usage.input_tokens) == (8.0, 80, 80)
    assert usage.output_tokens > 20


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_stream_brings_the_transcript_word_by_word_and_then_whole(size: int) -> None:
    told = heard(recording(), size, stream=True)
    assert told == heard(recording())
    deltas = [event.text for event in told if isinstance(event, TranscriptDelta)]
    assert "".join(deltas) == transcribed(recording()).text
    assert len(deltas) == len(told) - 1 > 10
