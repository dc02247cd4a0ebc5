"""The sandbox's speech, which is a real WAV file, and its transcripts, which know what it said."""

import io
import struct
import wave
from array import array
from collections.abc import Iterator
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import UnsupportedFeature, UpstreamError, UpstreamRejected
from shared.framing import sse_frames
from shared.providers.base import SpeechAdapter, TranscriptionAdapter
from shared.providers.sandbox import adapter
from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import (
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
)
from tests.providers.sandbox_calls import body, local_answer, model, pieces, sent, upload

pytestmark = pytest.mark.anyio

SPEAKER, WRITER = model("speech"), model("transcription")
HELLO = "Hello there. How are you today?"


# --- speech -----------------------------------------------------------------------------------------------------------


def speaking(text: str = HELLO, **more: Any) -> SpeechRequest:
    return SpeechRequest(model="sandbox/speech", input=text, **{"format": "wav", **more})


async def read(content: bytes, request: SpeechRequest, size: int = 1 << 20) -> bytes:
    async with aclosing(adapter.speech_audio(pieces(content, size), request)) as audio:
        return b"".join([chunk async for chunk in audio])


async def spoken(text: str = HELLO, **more: Any) -> bytes:
    request = speaking(text, **more)
    return await read(body(adapter.speech(request, SPEAKER)), request)


def opened(content: bytes) -> wave.Wave_read:
    return wave.Wave_read(io.BytesIO(content))


def pitch(content: bytes) -> float:
    """How often a sound crosses zero upwards in a second, which is its pitch where it is one tone."""
    with opened(content) as file:
        samples = array("h", file.readframes(file.getnframes()))
    return 24_000 * sum(one < 0 <= other for one, other in pairwise(samples)) / len(samples)


def test_it_speaks_and_writes_down() -> None:
    assert isinstance(adapter, SpeechAdapter)
    assert isinstance(adapter, TranscriptionAdapter)


@pytest.mark.parametrize(("speed", "seconds"), [(None, 0.06), (1.0, 0.06), (0.25, 0.24), (4.0, 0.015)])
async def test_speech_is_a_wav_file_as_long_as_its_text(speed: float | None, seconds: float) -> None:
    content = await spoken(speed=speed)
    with opened(content) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        assert file.getnframes() == round(seconds * 24_000) * len(HELLO)
        samples = array("h", file.readframes(file.getnframes()))
    assert struct.unpack_from("<I", content, 4) == (len(content) - 8,)
    assert len(samples) == round(seconds * 24_000) * len(HELLO)
    assert 5_000 < max(samples) < 32_767


async def test_pcm_is_the_same_sound_without_a_header() -> None:
    content = await spoken()
    with opened(content) as file:
        assert await spoken(format="pcm") == file.readframes(file.getnframes())


async def test_letters_sound_and_spaces_are_silent_and_every_tone_swells_and_fades() -> None:
    content = array("h", await spoken("a a", format="pcm"))
    third = len(content) // 3
    first, middle, last = content[:third], content[third : 2 * third], content[2 * third :]
    assert not any(middle)
    assert first == last
    loudest = max(map(abs, first))
    assert max(map(abs, first[:20])) < loudest / 4
    assert max(map(abs, first[-20:])) < loudest / 4


async def test_each_voice_has_its_pitch_whatever_its_name_and_a_default_is_there() -> None:
    names = ["alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse", "Zoë 9"]
    sounds = {name: await spoken("aaaa", voice=name) for name in names}
    assert len({*sounds.values()}) == len(names)
    pitches = [pitch(sound) for sound in sounds.values()]
    assert all(80 < value < 800 for value in pitches)
    assert max(pitches) > 1.5 * min(pitches)
    assert await spoken("aaaa", voice=None) == await spoken("aaaa", voice="alloy")


@pytest.mark.parametrize("unknown", ["mp3", "opus", "aac", "flac"])
def test_other_formats_are_refused_by_name(unknown: Any) -> None:
    with pytest.raises(UnsupportedFeature, match="response_format") as raised:
        adapter.speech(speaking(format=unknown), SPEAKER)
    assert raised.value.param == "response_format"


@pytest.mark.parametrize(
    ("change", "word"), [({"text": ""}, "input"), ({"text": "x" * 4097}, "input"), ({"speed": 0.2}, "speed")]
)
async def test_what_it_cannot_say_is_the_callers_error(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UpstreamRejected, match=word):
        await spoken(**change)


def test_speech_comes_in_pieces_and_its_length_is_known_before_them() -> None:
    chunks = [*local_answer(adapter.speech(speaking("word " * 800), SPEAKER)).chunks]
    sound = [chunk for chunk in chunks if isinstance(chunk, bytes)]
    assert 40 < len(sound) < 55
    assert len(sound[0]) < 10_000
    assert [chunk for chunk in chunks if isinstance(chunk, float)] == [0.02] * (len(sound) - 2)
    assert opened(b"".join(sound)).getnframes() == 1440 * 4000


@pytest.mark.parametrize("audio_format", ["wav", "pcm"])
async def test_speech_may_be_split_anywhere(audio_format: Any) -> None:
    request = speaking("Hi", format=audio_format)
    content = body(adapter.speech(request, SPEAKER))
    whole = await read(content, request)
    for size in (1, 2, 7, 45):
        assert await read(content, request, size) == whole
    for end in (0, 1, 30, 60, len(content) // 2, len(content) - 1):
        with pytest.raises(UpstreamError, match="before it was complete"):
            await read(content[:end], request)


@pytest.mark.parametrize(
    "content",
    [b"<html></html>", b"RIFFxxxxWAVX", b"RIFFxxxxWAVE" + b"LIST" + struct.pack("<I", 1 << 20) + bytes(1 << 18)],
)
async def test_what_is_no_wav_file_is_no_speech(content: bytes) -> None:
    with pytest.raises(ValueError, match="WAV"):
        await read(content, speaking(), 1000)


@pytest.mark.parametrize("name", ["fail-midstream", "fail-truncated"])
async def test_speech_that_breaks_off_has_begun_well(name: str) -> None:
    request = speaking()
    content = sent(local_answer(adapter.speech(request, model(name))).chunks)
    heard = bytearray()

    async def listen() -> None:
        async for chunk in adapter.speech_audio(pieces(content, 100), request):
            heard.extend(chunk)

    with pytest.raises(UpstreamError):
        await listen()
    assert (await spoken()).startswith(heard)
    assert len(heard) > 5_000


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


def writing(audio: bytes, media_type: str = "audio/wav", **more: Any) -> TranscriptionRequest:
    return TranscriptionRequest(model="sandbox/transcription", file=upload(audio, media_type), **more)


def transcribed(audio: bytes, **more: Any) -> Transcript:
    request = writing(audio, **more)
    return adapter.transcription_response(body(adapter.transcription(request, WRITER)), request)


async def streamed(
    audio: bytes, size: int = 1 << 20, name: str = "transcription", **more: Any
) -> list[TranscriptEvent]:
    answer = local_answer(adapter.transcription(writing(audio, stream=True, **more), model(name)))
    frames = sse_frames(pieces(sent(answer.chunks), size))
    return [event async for event in adapter.transcription_events(frames)]


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=60))
async def test_what_the_sandbox_said_it_writes_down_word_by_word(text: str) -> None:
    heard = transcribed(await spoken(text, speed=4), prompt="Not said")
    assert heard.text == text
    assert heard.duration == pytest.approx(0.015 * len(text), abs=0.006)


async def test_a_comment_of_others_is_not_what_was_said() -> None:
    content = await spoken()
    assert transcribed(content).text == HELLO
    assert HELLO not in transcribed(content.replace(b"sandbox speech", b"another editor")).text
    with opened(content) as file:
        assert HELLO not in transcribed(recording(file.getnframes() / 24_000)).text


def test_a_transcript_depends_on_the_recording_alone() -> None:
    first, other = transcribed(recording(mark=1)), transcribed(recording(mark=2))
    assert first == transcribed(recording(mark=1))
    assert first.text != other.text
    assert 15 <= len(first.text.split()) <= 30


def test_the_duration_is_that_of_the_wav_file_or_a_guess() -> None:
    assert transcribed(recording(12.5, 16_000)).duration == 12.5
    assert transcribed(b"ID3" + bytes(160_000), media_type="audio/mpeg").duration == 10.0
    assert transcribed(b"ID3", media_type="audio/mpeg").duration == 1.0
    streaming = recording(3).replace(b"data" + struct.pack("<I", 3 * 32_000), b"data\xff\xff\xff\xff")
    assert transcribed(streaming).duration == 3.0
    assert transcribed(recording(3)[:-32_000]).duration == 2.0
    cover = b"LIST" + struct.pack("<I", 1 << 18) + bytes(1 << 18)
    assert transcribed(recording(3).replace(b"data", cover + b"data", 1)).duration == 3.0


@pytest.mark.parametrize("size", [0, 8, 11, 12, 20, 30, 43, 44, 46])
def test_a_wav_file_cut_anywhere_still_has_a_transcript(size: int) -> None:
    heard = transcribed(recording()[:size])
    assert heard.text
    assert heard.segments


def test_language_and_prompt_show() -> None:
    heard = transcribed(recording(), language="de", prompt="  Nürnberg,\nFürth. ")
    assert heard.language == "de"
    assert heard.text.startswith("Nürnberg, Fürth. ")
    assert transcribed(recording()).language == "en"
    assert heard.usage.input_tokens > transcribed(recording()).usage.input_tokens


@pytest.mark.parametrize("seconds", [0.0, 0.05, 3.0, 61.7, 900.0])
def test_segments_and_words_cover_the_recording_in_order(seconds: float) -> None:
    heard = transcribed(recording(seconds, 100), granularities=frozenset({"segment", "word"}))
    assert " ".join(word.word for word in heard.words) == heard.text
    assert " ".join(segment.text for segment in heard.segments) == heard.text
    for times in ([(word.start, word.end) for word in heard.words], [(s.start, s.end) for s in heard.segments]):
        assert times[0][0] == 0
        assert times[-1][1] == heard.duration == seconds
        assert all(start <= end for start, end in times)
        assert all(one[1] == other[0] for one, other in pairwise(times))
    assert all(len(segment.text.split()) <= 12 for segment in heard.segments)


def test_words_are_given_only_where_they_are_asked_for() -> None:
    assert transcribed(recording()).words == ()
    details = transcribed(recording()).segments[1].details
    assert details.keys() == {"seek", "tokens", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"}


def test_usage_tells_what_was_listened_to() -> None:
    usage = transcribed(recording(8)).usage
    assert (usage.audio_seconds, usage.input_audio_tokens, usage.input_tokens) == (8.0, 80, 80)
    assert usage.output_tokens > 20


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_a_stream_brings_the_transcript_word_by_word_and_then_whole(size: int) -> None:
    granularities = frozenset({"word"})
    events = await streamed(recording(), size, granularities=granularities)
    whole = transcribed(recording(), granularities=granularities)
    assert events[-1] == TranscriptDone(whole)
    deltas = [event.text for event in events if isinstance(event, TranscriptDelta)]
    assert "".join(deltas) == whole.text
    assert len(deltas) == len(events) - 1 == len(whole.words)


def test_a_stream_pauses_between_words_but_never_takes_long() -> None:
    def pauses(seconds: float, name: str = "transcription") -> Iterator[float]:
        answer = local_answer(adapter.transcription(writing(recording(seconds, 100), stream=True), model(name)))
        return (chunk for chunk in answer.chunks if isinstance(chunk, float))

    assert set(pauses(8)) == {0.02}
    assert sum(pauses(900)) < 3
    assert set(pauses(8, "slow")) == {0.2}


@pytest.mark.parametrize("name", ["fail-midstream", "fail-truncated"])
async def test_a_stream_that_breaks_off_is_an_error(name: str) -> None:
    with pytest.raises(UpstreamError):
        await streamed(recording(), name=name)


@pytest.mark.parametrize("content", [b"{}", b'{"model":"transcription","audio":"not base64"}'])
def test_what_is_no_recording_is_refused(content: bytes) -> None:
    assert adapter.answer("/transcriptions", content).status == 400
