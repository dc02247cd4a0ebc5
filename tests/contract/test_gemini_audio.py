"""Embeddings, transcription and speech by Gemini behind the routes; what it cannot give is a clear 400."""

import base64
import json
import wave
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.audio import Transcription

from shared.stores.keys import KeyStore
from tests.client import frames, gateway_client
from tests.contract.image_vendors import gemini_content
from tests.contract.sounds import M4A
from tests.contract.vendor import HOST, KEY, Vendor, frame
from tests.contract.wire import assert_error

pytestmark = pytest.mark.anyio

ENVIRONMENT = {"GEMINI_API_KEY": KEY, "GEMINI_BASE_URL": f"https://{HOST}"}
EMBEDDER = "gemini-embedding-001"
LISTENER = "gemini-2.5-flash"
SPEAKER = "gemini-3.8-flash-tts"
TRANSCRIBE = ["/v1/audio/transcriptions", "/v1/inference/audio/transcribe"]
SPEECH = ["/v1/audio/speech", "/v1/inference/audio/synthesize"]
SAID = "Guten Tag. Wie geht es?"
SOUND = bytes(range(250)) * 96  # half a second of PCM


@pytest.fixture
async def google(keys: KeyStore) -> AsyncIterator[Vendor]:
    vendor = Vendor(_answer)
    async with gateway_client(keys, ENVIRONMENT, vendor) as vendor.client:
        yield vendor


def _answer(request: httpx.Request) -> httpx.Response:
    path, asked = request.url.path, json.loads(request.content)
    if path.endswith(":batchEmbedContents"):
        rows = [{"values": [0.6, 0.8] + [0.0] * 3070} for _ in asked["requests"]]
        return httpx.Response(200, json={"embeddings": rows, "usageMetadata": {"promptTokenCount": 4}})
    if path.endswith(":streamGenerateContent"):
        parts = (
            [SAID[:11], SAID[11:]] if LISTENER in path or "flash-tts" not in path else [SOUND[:10_000], SOUND[10_000:]]
        )
        chunks = [gemini_content(_part(part)) for part in parts]
        del chunks[0]["candidates"][0]["finishReason"]
        return httpx.Response(200, content=b"".join(map(frame, chunks)))
    return httpx.Response(200, json=gemini_content({"text": SAID}))


def _part(content: str | bytes) -> dict[str, Any]:
    if isinstance(content, str):
        return {"text": content}
    data = base64.b64encode(content).decode()
    return {"inlineData": {"mimeType": "audio/l16;rate=24000", "data": data}}


async def transcribed(google: Vendor, path: str, **fields: Any) -> httpx.Response:
    return await google.client.post(path, data={"model": LISTENER, **fields}, files={"file": ("talk.m4a", M4A)})


async def test_T10_S14_texts_are_embedded(google: Vendor) -> None:
    response = await google.client.post("/v1/embeddings", json={"model": EMBEDDER, "input": ["a", "b"]})
    assert response.status_code == 200, response.text
    CreateEmbeddingResponse.model_validate(response.json())
    assert len(response.json()["data"]) == 2
    assert "taskType" not in json.dumps(google.sent)
    compact = await google.client.post("/ai/embeddings", json={"model": EMBEDDER, "input": "a", "dimensions": 3072})
    assert compact.json()["dimensions"] == 3072


async def test_a_hundred_texts_are_one_call_and_more_are_several(google: Vendor) -> None:
    texts = [str(number) for number in range(250)]
    response = await google.client.post("/v1/embeddings", json={"model": EMBEDDER, "input": texts})
    assert len(response.json()["data"]) == 250
    sizes = sorted(len(json.loads(request.content)["requests"]) for request in google.requests)
    assert sizes == [50, 100, 100]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/ai/embeddings", "/v1/inference/embed"])
async def test_tokens_are_refused(google: Vendor, path: str) -> None:
    response = await google.client.post(path, json={"model": EMBEDDER, "input": [1, 2]})
    assert "input" in assert_error(response, "unsupported", field="input")


@pytest.mark.parametrize("path", TRANSCRIBE)
@pytest.mark.parametrize("response_format", ["json", "text"])
async def test_I17_I18_a_recording_goes_in_and_text_comes_out(google: Vendor, path: str, response_format: str) -> None:
    response = await transcribed(google, path, response_format=response_format, language="de")
    assert response.status_code == 200, response.text
    assert SAID in response.text
    if path == TRANSCRIBE[0] and response_format == "json":
        Transcription.model_validate(response.json(), strict=True)
    (part,) = google.sent["contents"][0]["parts"]
    assert base64.b64decode(part["inlineData"]["data"]) == M4A
    assert part["inlineData"]["mimeType"] == "audio/m4a"


@pytest.mark.parametrize("path", TRANSCRIBE)
@pytest.mark.parametrize("response_format", ["srt", "vtt", "verbose_json"])
async def test_S21_times_that_it_cannot_give_are_refused(google: Vendor, path: str, response_format: str) -> None:
    response = await transcribed(google, path, response_format=response_format)
    assert "json and text" in assert_error(response, "unsupported", field="response_format")
    assert google.requests == []


async def test_it_streams_what_it_hears(google: Vendor) -> None:
    response = await transcribed(google, TRANSCRIBE[0], stream="true")
    *deltas, done, end = frames(response.content)
    assert [delta["delta"] for delta in deltas] == [SAID[:11], SAID[11:]]
    assert (done["type"], done["text"], end) == ("transcript.text.done", SAID, "[DONE]")


@pytest.mark.parametrize("path", SPEECH)
async def test_S23_S24_its_samples_are_wrapped_as_wav_or_left_as_pcm(google: Vendor, path: str) -> None:
    body = {"model": SPEAKER, "input": "Hello", "voice": "alloy"}
    pcm = await google.client.post(path, json={**body, "response_format": "pcm"})
    assert (pcm.status_code, pcm.content) == (200, SOUND)
    wav = await google.client.post(path, json={**body, "response_format": "wav"})
    assert wav.headers["content-type"] == "audio/wav"
    with wave.open(BytesIO(wav.content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        assert file.readframes(len(SOUND)) == SOUND


@pytest.mark.parametrize("path", SPEECH)
@pytest.mark.parametrize("response_format", [None, "mp3", "opus", "aac", "flac"])
async def test_another_format_of_speech_is_refused(google: Vendor, path: str, response_format: str | None) -> None:
    body = {"model": SPEAKER, "input": "Hello", "voice": "alloy", "response_format": response_format}
    response = await google.client.post(path, json=body)
    assert "wav and pcm" in assert_error(response, "unsupported", field="response_format")
    assert google.requests == []


@pytest.mark.parametrize("path", SPEECH)
async def test_a_voice_that_it_lacks_is_refused_by_name(google: Vendor, path: str) -> None:
    body = {"model": SPEAKER, "input": "Hello", "voice": "nobody", "response_format": "wav"}
    assert_error(await google.client.post(path, json=body), "validation", field="voice")
