"""Transcription and speech by Mistral and OpenRouter behind the routes."""

import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.audio import Transcription

from shared.stores.keys import KeyStore
from tests.client import TOKEN, frames, gateway_client
from tests.contract.accounts import account
from tests.contract.image_vendors import SentFile, form_of
from tests.contract.sounds import WAV, plain_fields
from tests.contract.vendor import HOST, KEY, Vendor, answering, frame
from tests.contract.wire import assert_error

pytestmark = pytest.mark.anyio

TRANSCRIBE = ["/v1/audio/transcriptions", "/v1/inference/audio/transcribe"]
SPEECH = ["/v1/audio/speech", "/v1/inference/audio/synthesize"]
ENVIRONMENT = {
    "MISTRAL_API_KEY": KEY,
    "MISTRAL_BASE_URL": f"https://{HOST}/mistral/v1",
    "OPENROUTER_API_KEY": KEY,
    "OPENROUTER_BASE_URL": f"https://{HOST}/openrouter/v1",
}
MISTRAL_TRANSCRIBER, MISTRAL_SPEAKER = "mistral/voxtral-small-transcribe-latest", "mistral/voxtral-mini-tts-latest"
OPENROUTER_TRANSCRIBER, OPENROUTER_SPEAKER = "openrouter/openai/whisper-1", "openrouter/hexgrad/kokoro-82m"
SAID = "Hello there. How are you?"
COUNTS = {"prompt_audio_seconds": 60, "prompt_tokens": 4, "completion_tokens": 9, "total_tokens": 763}
SAMPLES = struct.pack("<3f", 0.0, 1.0, -1.0)
SOUND = b"ID3\x04" + bytes(range(200))


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\n".encode() + frame({"type": kind, **fields})


def spoken(sound: bytes) -> bytes:
    halves = (sound[: len(sound) // 2 + 1], sound[len(sound) // 2 + 1 :])
    deltas = [event("speech.audio.delta", audio_data=base64.b64encode(half).decode()) for half in halves]
    return b"".join([*deltas, event("speech.audio.done", usage={"prompt_tokens": 3})])


def answer(request: httpx.Request) -> httpx.Response:
    match request.url.path:
        case "/mistral/v1/audio/speech":
            asked = json.loads(request.content)
            return httpx.Response(200, content=spoken(SAMPLES if asked["response_format"] == "pcm" else SOUND))
        case "/mistral/v1/audio/transcriptions":
            times = {"type": "transcription_segment", "start": 0.0, "end": 1.5, "text": " Hello there."}
            pieces = [times] if "timestamp_granularities" in plain_fields(request) else []
            body = {"model": "voxtral", "text": SAID, "language": "en", "segments": pieces, "usage": COUNTS}
            if "stream" not in plain_fields(request):
                return httpx.Response(200, json=body)
            deltas = [event("transcription.text.delta", text=text) for text in (SAID[:12], SAID[12:])]
            events = [
                event("transcription.language", audio_language="en"),
                *deltas,
                event("transcription.done", **body),
            ]
            return httpx.Response(200, content=b"".join(events))
        case "/openrouter/v1/audio/speech":
            return httpx.Response(200, content=SOUND)
        case "/openrouter/v1/audio/transcriptions":
            usage = {"seconds": 60, "input_tokens": 750, "output_tokens": 9, "total_tokens": 759, "cost": 0.0060001}
            return httpx.Response(200, json={"text": SAID, "usage": usage})
    raise AssertionError(request.url)


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    vendor = Vendor(answer)
    async with gateway_client(keys, ENVIRONMENT, vendor) as vendor.client:
        yield vendor


async def transcribe(vendor: Vendor, path: str, model: str, **fields: Any) -> httpx.Response:
    return await vendor.client.post(path, data={"model": model, **fields}, files={"file": ("talk.wav", WAV)})


@pytest.mark.parametrize("path", TRANSCRIBE)
@pytest.mark.parametrize("model", [MISTRAL_TRANSCRIBER, OPENROUTER_TRANSCRIBER])
async def test_recording_is_transcribed(vendor: Vendor, path: str, model: str) -> None:
    response = await transcribe(vendor, path, model, language="en", temperature="0.2")
    assert response.status_code == 200, response.text
    assert SAID in response.text
    (request,) = vendor.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    (file,) = form_of(request)["file"]
    assert isinstance(file, SentFile)
    assert file.content == WAV
    fields = plain_fields(request)
    assert fields.pop("model") == [model.partition("/")[2]]
    if model == OPENROUTER_TRANSCRIBER:
        assert fields.pop("response_format") == ["json"]
    assert fields == {"language": ["en"], "temperature": ["0.2"]}


@pytest.mark.parametrize(("wanted", "sign"), [("srt", "00:00:00,000 --> 00:00:01,500"), ("vtt", "WEBVTT")])
async def test_subtitles_are_made_of_mistrals_segments(vendor: Vendor, wanted: str, sign: str) -> None:
    response = await transcribe(vendor, TRANSCRIBE[0], MISTRAL_TRANSCRIBER, response_format=wanted, language="en")
    assert sign in response.text
    assert plain_fields(vendor.requests[0]) == {
        "model": ["voxtral-small-transcribe-latest"],
        "timestamp_granularities": ["segment"],
    }


async def test_verbose_json_has_mistrals_segments_and_duration(vendor: Vendor) -> None:
    response = await transcribe(vendor, TRANSCRIBE[0], MISTRAL_TRANSCRIBER, response_format="verbose_json")
    body = response.json()
    assert (body["text"], body["language"], float(body["duration"])) == (SAID, "en", 60.0)
    assert [(part["start"], part["end"], part["text"]) for part in body["segments"]] == [(0.0, 1.5, " Hello there.")]


async def test_mistrals_stream_becomes_openais_events(vendor: Vendor) -> None:
    response = await transcribe(vendor, TRANSCRIBE[0], MISTRAL_TRANSCRIBER, stream="true")
    *deltas, done, end = frames(response.content)
    assert [delta["delta"] for delta in deltas] == [SAID[:12], SAID[12:]]
    assert {delta["type"] for delta in deltas} == {"transcript.text.delta"}
    assert (done["type"], done["text"], end) == ("transcript.text.done", SAID, "[DONE]")


async def test_streamed_transcript_is_refused_for_openrouter(vendor: Vendor) -> None:
    response = await transcribe(vendor, TRANSCRIBE[0], OPENROUTER_TRANSCRIBER, stream="true")
    assert "stream" in assert_error(response, "unsupported")
    assert vendor.requests == []


async def test_transcript_costs_what_openrouter_reports(keys: KeyStore) -> None:
    async with account(keys, environment=ENVIRONMENT, vendor=answer) as caller:
        response = await caller.ask(TRANSCRIBE[0], OPENROUTER_TRANSCRIBER)
        Transcription.model_validate(response.json())
        assert response.headers["x-gateway-cost"] == "0.006001"
        assert (await caller.row()).cost == 6001


@pytest.mark.parametrize("path", SPEECH)
@pytest.mark.parametrize("model", [MISTRAL_SPEAKER, OPENROUTER_SPEAKER])
async def test_text_is_spoken(vendor: Vendor, path: str, model: str) -> None:
    asked = {"model": model, "input": "Hello.", "voice": "a-voice"}
    response = await vendor.client.post(path, json=asked)
    assert response.status_code == 200, response.text
    assert response.content == SOUND
    assert response.headers["content-type"] == "audio/mpeg"
    upstream = {"model": model.partition("/")[2], "input": "Hello.", "response_format": "mp3"}
    voice = {"voice": "a-voice"} if model == OPENROUTER_SPEAKER else {"voice_id": "a-voice", "stream": True}
    assert vendor.sent == upstream | voice


@pytest.mark.parametrize("path", SPEECH)
async def test_mistrals_pcm_is_converted_to_16_bit(vendor: Vendor, path: str) -> None:
    asked = {"model": MISTRAL_SPEAKER, "input": "Hello.", "voice": "alloy", "response_format": "pcm"}
    response = await vendor.client.post(path, json=asked)
    assert struct.unpack("<3h", response.content) == (0, 32767, -32767)
    assert vendor.sent["voice_id"] == "en_paul_neutral"


@pytest.mark.parametrize("path", [*TRANSCRIBE, *SPEECH])
@pytest.mark.parametrize("provider", ["mistral", "openrouter"])
async def test_rate_limit_of_the_provider_is_reported_in_the_dialect(vendor: Vendor, path: str, provider: str) -> None:
    vendor.answer = answering(429, json.dumps({"message": "Rate limit exceeded"}).encode(), {"retry-after": "4"})
    model = f"{provider}/some-model"
    if path in TRANSCRIBE:
        response = await transcribe(vendor, path, model)
    else:
        response = await vendor.client.post(path, json={"model": model, "input": "Hello.", "voice": "alloy"})
    assert_error(response, "rate_limited", retry_after=4)


async def test_openai_sdk_transcribes_and_speaks_with_mistral(vendor: Vendor) -> None:
    client: Any = vendor.client  # the SDK takes a client of httpx as well as of httpx2, which its types do not say
    sdk = openai.AsyncOpenAI(api_key=TOKEN, base_url="http://gateway/v1", http_client=client)
    said = await sdk.audio.transcriptions.create(model=MISTRAL_TRANSCRIBER, file=("talk.wav", WAV))
    assert said.text == SAID
    stream = await sdk.audio.transcriptions.create(model=MISTRAL_TRANSCRIBER, file=("talk.wav", WAV), stream=True)
    assert [event.type async for event in stream][-1] == "transcript.text.done"
    sound = await sdk.audio.speech.create(model=MISTRAL_SPEAKER, voice="nova", input="Hello.")
    assert sound.content == SOUND
