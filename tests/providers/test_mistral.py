"""Mistral's audio: streams, PCM samples, and which modules an operation loads."""

import json
from typing import Any

import pytest

from shared.errors import UnsupportedFeature, UpstreamError, UpstreamRateLimited
from shared.framing import sse_frame
from shared.providers import load, load_vendor
from shared.providers.mistral.speech import adapter as speech
from shared.providers.mistral.transcription import adapter as transcription
from shared.schemas.model import Model
from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import Transcript, TranscriptDelta, TranscriptDone, TranscriptEvent
from shared.schemas.usage import Usage
from tests.providers.operations.mistral import FLOATS, HELLO, spoken, talk
from tests.providers.operations.openai import MP3, in_base64
from tests.providers.reading import split, streamed, whole
from tests.test_architecture import loaded_by

MODEL = Model(id="m", provider="mistral", upstream="voxtral", owned_by="mistral")
PCM = SpeechRequest(model="m", input="Hello.", format="pcm")
SAID: list[dict[str, Any]] = [
    {"type": "transcription.language", "audio_language": "en"},
    {"type": "transcription.text.delta", "text": "Hello"},
    {"type": "transcription.segment", "text": "Hello there.", "start": 0, "end": 1, "speaker_id": None},
    {"type": "transcription.text.delta", "text": " there."},
]
COUNTS = {"prompt_audio_seconds": 2, "prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 29}
DONE = {"type": "transcription.done", "model": "voxtral", "text": "Hello there.", "usage": COUNTS, "language": None}


def events(*data: dict[str, Any]) -> list[TranscriptEvent]:
    chunks = (sse_frame(json.dumps(event).encode(), event.get("type", "")) for event in data)
    return streamed(transcription, talk(stream=True), chunks)


@pytest.mark.parametrize("operation", ["chat", "embeddings"])
def test_chat_and_embeddings_use_the_openai_adapters(operation: str) -> None:
    assert load("mistral", operation) is load("openai", operation)
    assert load_vendor("mistral") is load_vendor("openai")


@pytest.mark.parametrize("operation", ["transcription", "speech"])
def test_an_operation_loads_its_own_modules_only(operation: str) -> None:
    loaded = loaded_by(f"from shared.providers import load\nload('mistral', '{operation}')")
    own = {name.split(".", 2)[2] for name in loaded if name.startswith("shared.providers.") and name.count(".") == 3}
    assert own == {f"mistral.{operation}", "openai.vendor"}
    assert "httpx" not in loaded


def test_streamed_transcript_is_requested() -> None:
    call = transcription.call(talk(stream=True), MODEL)
    assert call.streamed
    assert ("stream", "true") in (call.form or ())


def test_timestamps_of_a_streamed_transcript_are_refused() -> None:
    with pytest.raises(UnsupportedFeature, match="stream"):
        transcription.call(talk(stream=True, format="verbose_json"), MODEL)


def test_streamed_transcript_has_deltas_and_the_whole_text() -> None:
    transcript = Transcript(text="Hello there.", language="en", duration=2.0, usage=Usage(audio_seconds=2))
    assert events(*SAID, DONE) == [TranscriptDelta("Hello"), TranscriptDelta(" there."), TranscriptDone(transcript)]


def test_interrupted_transcript_is_an_error() -> None:
    with pytest.raises(UpstreamError, match="before it was complete"):
        events(*SAID)
    with pytest.raises(UpstreamRateLimited):
        events(*SAID, {"type": "error", "error": {"message": "slow down", "code": "rate_limit_exceeded"}})


@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_pcm_does_not_depend_on_chunk_boundaries(size: int) -> None:
    stream = spoken(*split(FLOATS, 3))
    assert b"".join(streamed(speech, PCM, split(stream, size))) == b"".join(streamed(speech, PCM, [spoken(FLOATS)]))


def test_unstreamed_speech_is_decoded() -> None:
    assert whole(speech, HELLO, json.dumps({"audio_data": in_base64(MP3)}).encode()) == [MP3]


def test_interrupted_speech_is_an_error() -> None:
    cut = spoken(b"ID3").split(b"event: speech.audio.done")[0]
    with pytest.raises(UpstreamError, match="before it was complete"):
        streamed(speech, HELLO, [cut])
    with pytest.raises(UpstreamError, match="inside a sample"):
        streamed(speech, PCM, [spoken(FLOATS[:-1])])
