"""Transcription and speech by OpenAI's own SDK, changed in nothing but base URL and key, against `make run`'s gateway.

The tests hold for its newest major version and the one before: `test_openai_2.py` runs them again.
"""

import io
import wave
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.audio import Transcription, TranscriptionVerbose

WRITER = "sandbox/transcription"
SPEAKER = "sandbox/speech"
HELLO = "Hello there. How are you today? The river is wide."


@pytest.fixture
def recording(client: OpenAI, tmp_path: Path) -> Path:
    """HELLO, spoken by the sandbox, as a file on disk."""
    path = tmp_path / "hello.wav"
    client.audio.speech.create(model=SPEAKER, voice="alloy", input=HELLO, response_format="wav").write_to_file(path)
    return path


# --- transcription


def test_json_is_the_default(client: OpenAI, recording: Path) -> None:
    with recording.open("rb") as file:
        answer = client.audio.transcriptions.create(model=WRITER, file=file)
    assert isinstance(answer, Transcription)
    Transcription.model_validate(answer.to_dict(), strict=True)
    assert answer.text == HELLO
    assert answer.usage
    assert answer._request_id


def test_text_is_a_string(client: OpenAI, recording: Path) -> None:
    assert client.audio.transcriptions.create(model=WRITER, file=recording, response_format="text") == HELLO + "\n"


def test_srt_and_vtt_are_files(client: OpenAI, recording: Path) -> None:
    srt = client.audio.transcriptions.create(model=WRITER, file=recording, response_format="srt")
    assert srt.startswith("1\n00:00:00,000 --> 00:00:")
    assert "\n3\n" in srt
    vtt = client.audio.transcriptions.create(model=WRITER, file=recording, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:")
    assert "The river is wide." in srt
    assert "The river is wide." in vtt


def test_verbose_json_has_segments(client: OpenAI, recording: Path) -> None:
    answer = client.audio.transcriptions.create(model=WRITER, file=recording, response_format="verbose_json")
    assert isinstance(answer, TranscriptionVerbose)
    TranscriptionVerbose.model_validate(answer.to_dict())
    assert answer.text == HELLO
    assert answer.language == "en"
    assert answer.segments
    assert [segment.text.strip() for segment in answer.segments] == [
        "Hello there.",
        "How are you today?",
        "The river is wide.",
    ]
    assert answer.segments[-1].end == pytest.approx(float(answer.duration), abs=0.02)
    assert answer.words is None
    assert answer.usage
    assert answer.usage.type == "duration"


@pytest.mark.parametrize("granularities", [["word"], ["segment"], ["word", "segment"]])
def test_granularities_are_a_list(client: OpenAI, recording: Path, granularities: Any) -> None:
    answer = client.audio.transcriptions.create(
        model=WRITER, file=recording, response_format="verbose_json", timestamp_granularities=granularities
    )
    assert bool(answer.words) == ("word" in granularities)
    assert bool(answer.segments) == ("segment" in granularities)
    if answer.words:
        assert [word.word for word in answer.words] == HELLO.split()


@pytest.mark.parametrize("spelling", ["path", "bytes", "named", "stream"])
def test_a_file_is_given_in_any_way(client: OpenAI, recording: Path, spelling: str) -> None:
    content = recording.read_bytes()
    file: Any = {
        "path": recording,
        "bytes": content,
        "named": ("talk.m4a", content, "audio/mp4"),
        "stream": io.BytesIO(content),
    }[spelling]
    assert client.audio.transcriptions.create(model=WRITER, file=file).text == HELLO


def test_hints_of_the_sdk_are_taken(client: OpenAI) -> None:
    answer = client.audio.transcriptions.create(
        model=WRITER,
        file=("talk.mp3", b"ID3\x04" + bytes(50_000)),
        language="de",
        prompt="Guten Tag",
        temperature=0.5,
        response_format="json",
        chunking_strategy="auto",
    )
    assert answer.text.startswith("Guten Tag.")


@pytest.mark.parametrize("response_format", ["json", "text"])
def test_a_stream_says_what_the_whole_says(client: OpenAI, recording: Path, response_format: Any) -> None:
    events = list(
        client.audio.transcriptions.create(model=WRITER, file=recording, stream=True, response_format=response_format)
    )
    assert len(events) > 5
    text = ""
    for event in events[:-1]:
        assert event.type == "transcript.text.delta"
        text += event.delta
    done = events[-1]
    assert done.type == "transcript.text.done"
    assert text == done.text == HELLO
    assert done.usage
    assert done.usage.total_tokens > 0


def test_a_stream_that_fails_is_raised(client: OpenAI, recording: Path) -> None:
    with pytest.raises(openai.RateLimitError):
        client.audio.transcriptions.create(model="sandbox/fail-429", file=recording, stream=True)
    received: list[Any] = []
    with pytest.raises(openai.APIError) as raised:
        received.extend(client.audio.transcriptions.create(model="sandbox/fail-midstream", file=recording, stream=True))
    assert type(raised.value) is openai.APIError, "told in the stream, not a broken connection"


def test_what_is_wrong_with_a_recording_is_raised(client: OpenAI, recording: Path) -> None:
    def refused(**fields: Any) -> openai.BadRequestError:
        with pytest.raises(openai.BadRequestError) as raised:
            client.audio.transcriptions.create(**{"model": WRITER, "file": recording, **fields})
        return raised.value

    assert refused(file=("a.wav", b"no sound")).param == "file"
    assert refused(file=("a.wav", b"")).param == "file"
    assert refused(temperature=1.5).param == "temperature"
    assert refused(include=["logprobs"]).param == "include"
    assert refused(extra_body={"response_format": "mp3"}).param == "response_format"
    assert refused(timestamp_granularities=["word"]).param == "timestamp_granularities"
    assert refused(response_format="srt", stream=True).param == "stream"
    with pytest.raises(openai.NotFoundError):
        client.audio.transcriptions.create(model="nobody/nothing", file=recording)
    with pytest.raises(openai.APIStatusError) as raised:
        client.audio.transcriptions.create(model=WRITER, file=("a.wav", b"RIFF" + bytes(33 * 2**20)))
    assert raised.value.status_code == 413
    assert "/v1/files" in raised.value.message


# --- speech


@pytest.mark.parametrize(("response_format", "media_type"), [("wav", "audio/wav"), ("pcm", "audio/pcm")])
def test_speech_is_bytes(client: OpenAI, response_format: Any, media_type: str) -> None:
    answer = client.audio.speech.create(model=SPEAKER, voice="alloy", input=HELLO, response_format=response_format)
    assert answer.response.headers["content-type"] == media_type
    assert answer.response.headers["x-gateway-model"] == SPEAKER
    content = answer.read()
    if response_format == "wav":
        with wave.open(io.BytesIO(content)) as file:
            assert file.getframerate() == 24_000
            assert file.getnframes() > 24_000
    else:
        assert len(content) > 48_000


def test_speech_is_streamed(client: OpenAI, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"model": SPEAKER, "voice": "nova", "input": HELLO, "response_format": "wav"}
    whole = client.audio.speech.create(**arguments).read()
    with client.audio.speech.with_streaming_response.create(**arguments) as answer:
        assert answer.headers["content-type"] == "audio/wav"
        assert "content-length" not in answer.headers
        pieces = list(answer.iter_bytes())
    assert len(pieces) > 2
    assert b"".join(pieces) == whole
    with client.audio.speech.with_streaming_response.create(**arguments) as answer:
        answer.stream_to_file(tmp_path / "hello.wav")
    assert (tmp_path / "hello.wav").read_bytes() == whole


def test_every_field_of_speech_is_taken(client: OpenAI) -> None:
    def spoken(**fields: Any) -> bytes:
        arguments = {"model": SPEAKER, "voice": "alloy", "input": HELLO, "response_format": "pcm", **fields}
        return client.audio.speech.create(**arguments).read()

    assert len(spoken(speed=2.0)) == len(spoken()) // 2
    assert spoken(voice="nova") != spoken()
    assert spoken(instructions="Cheerfully.", stream_format="audio") == spoken()


def test_speech_that_breaks_off_is_no_speech(client: OpenAI) -> None:
    with pytest.raises(openai.APIConnectionError):
        client.audio.speech.create(model="sandbox/fail-truncated", voice="alloy", input=HELLO, response_format="wav")


def test_what_is_wrong_with_a_text_is_raised(client: OpenAI) -> None:
    def refused(**fields: Any) -> openai.BadRequestError:
        arguments: dict[str, Any] = {"model": SPEAKER, "voice": "alloy", "input": HELLO, "response_format": "wav"}
        with pytest.raises(openai.BadRequestError) as raised:
            client.audio.speech.create(**{**arguments, **fields})
        return raised.value

    assert refused(input="a" * 4097).param == "input"
    assert refused(speed=5).param == "speed"
    assert refused(voice="").param == "voice"
    assert refused(response_format="m4a").param == "response_format"
    assert refused(response_format="mp3").code == "unsupported_feature"
    with pytest.raises(openai.RateLimitError):
        client.audio.speech.create(model="sandbox/fail-429", voice="alloy", input=HELLO, response_format="wav")


# --- the asynchronous client


@pytest.mark.anyio
async def test_the_asynchronous_client_speaks_and_writes_down(async_client: AsyncOpenAI) -> None:
    async with async_client.audio.speech.with_streaming_response.create(
        model=SPEAKER, voice="alloy", input=HELLO, response_format="wav"
    ) as answer:
        content = b"".join([piece async for piece in answer.iter_bytes()])
    whole = await async_client.audio.transcriptions.create(model=WRITER, file=("hello.wav", content))
    assert whole.text == HELLO
    stream = await async_client.audio.transcriptions.create(model=WRITER, file=("a.wav", content), stream=True)
    texts = [event.delta async for event in stream if event.type == "transcript.text.delta"]
    assert "".join(texts) == HELLO
