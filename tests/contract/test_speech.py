"""Speech by the contract's numbers, S23 and S24, and OpenAI's own route: raw bytes that leave as they come."""

import asyncio
import io
import json
import struct
import wave
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from functions.speech.app import app
from shared.gateway.services import process_services
from shared.stores.keys import KeyStore
from tests.client import TOKEN, gateway_client, make_services, stream_of
from tests.contract.sounds import ENVIRONMENT, SPEAKER
from tests.contract.vendor import HOST, Handler, Vendor, answering, raising
from tests.contract.wire import assert_error

pytestmark = pytest.mark.anyio

OPENAI = "/v1/audio/speech"
ENVELOPE = "/v1/inference/audio/synthesize"
ROUTES = [OPENAI, ENVELOPE]
SANDBOX = "sandbox/speech"
HELLO = "Hello there. How are you?"
GROQ = "groq/canopylabs/orpheus-v1-english"
TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
SOUND = bytes(range(256)) * 8  # what the vendor says; every byte there is

on_both = pytest.mark.parametrize("path", ROUTES)


@pytest.fixture
async def speaker(keys: KeyStore) -> AsyncIterator[Vendor]:
    """OpenAI and Groq, which speak, and the sandbox."""
    vendor = Vendor(lambda request: httpx.Response(200, content=SOUND, headers={"content-type": "text/html"}))
    async with gateway_client(keys, ENVIRONMENT, vendor) as vendor.client:
        yield vendor


def asking(model: str = SPEAKER, **fields: Any) -> dict[str, Any]:
    return {"model": model, "input": HELLO, "voice": "alloy", **fields}


async def spoken(client: httpx.AsyncClient, path: str, **fields: Any) -> httpx.Response:
    response = await client.post(path, json=asking(**fields))
    assert response.status_code == 200, response.text[:1000]
    return response


# --- the audio


@on_both
async def test_S23_speech_is_raw_bytes_without_an_envelope(speaker: Vendor, path: str) -> None:
    response = await spoken(speaker.client, path)
    assert response.content == SOUND
    assert response.headers["x-gateway-model"] == SPEAKER
    assert response.headers["x-gateway-backend"] == f"openai/{SPEAKER}"
    assert "content-length" not in response.headers
    if path == ENVELOPE:
        assert response.headers["x-scaigrid-request-id"] == response.headers["x-request-id"]
        assert response.headers["x-scaigrid-model"] == SPEAKER


@on_both
@pytest.mark.parametrize(("response_format", "media_type"), TYPES.items())
async def test_S24_the_content_type_follows_the_format(
    speaker: Vendor, path: str, response_format: str, media_type: str
) -> None:
    response = await spoken(speaker.client, path, response_format=response_format)
    assert response.headers["content-type"] == media_type
    assert speaker.sent["response_format"] == response_format


@on_both
async def test_S24_mp3_is_the_default(speaker: Vendor, path: str) -> None:
    response = await spoken(speaker.client, path, response_format=None)
    assert response.headers["content-type"] == "audio/mpeg"
    assert speaker.sent["response_format"] == "mp3"


@on_both
async def test_the_sandbox_speaks_a_real_wav_file(client: httpx.AsyncClient, path: str) -> None:
    response = await spoken(client, path, model=SANDBOX, response_format="wav")
    assert response.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(response.content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        samples = file.readframes(file.getnframes())
    assert struct.unpack_from("<I", response.content, 4) == (len(response.content) - 8,)
    pcm = await spoken(client, path, model=SANDBOX, response_format="pcm")
    assert pcm.headers["content-type"] == "audio/pcm"
    assert pcm.content == samples
    longer = await spoken(client, path, model=SANDBOX, response_format="pcm", input=HELLO * 3)
    assert len(longer.content) == 3 * len(pcm.content)
    slower = await spoken(client, path, model=SANDBOX, response_format="pcm", speed=0.5)
    assert len(slower.content) == 2 * len(pcm.content)


@on_both
@pytest.mark.parametrize("response_format", [None, "mp3", "opus", "aac", "flac"])
async def test_a_format_that_the_sandbox_cannot_make_is_refused(
    client: httpx.AsyncClient, path: str, response_format: str | None
) -> None:
    response = await client.post(path, json=asking(SANDBOX, response_format=response_format))
    assert "wav" in assert_error(response, "unsupported", field="response_format")


@on_both
async def test_a_vendor_with_one_format_says_so(speaker: Vendor, path: str) -> None:
    assert "wav" in assert_error(await speaker.client.post(path, json=asking(GROQ)), "unsupported")
    assert speaker.requests == []
    await spoken(speaker.client, path, model=GROQ, response_format="wav", voice="troy")
    assert speaker.sent["voice"] == "troy"


# --- what reaches the vendor


@on_both
async def test_what_is_asked_reaches_the_vendor(speaker: Vendor, path: str) -> None:
    await spoken(speaker.client, path, speed=1.25, response_format="opus")
    assert speaker.sent == {
        "model": SPEAKER,
        "input": HELLO,
        "voice": "alloy",
        "response_format": "opus",
        "speed": 1.25,
    }


async def test_on_v1_instructions_and_a_voice_of_ones_own_reach_the_vendor(speaker: Vendor) -> None:
    await spoken(speaker.client, OPENAI, instructions="Whisper.", voice={"id": "voice_1"}, stream_format="audio")
    assert speaker.sent["instructions"] == "Whisper."
    assert speaker.sent["voice"] in ("voice_1", {"id": "voice_1"})
    assert "stream_format" not in speaker.sent


async def test_on_v1_the_voice_is_required(speaker: Vendor) -> None:
    response = await speaker.client.post(OPENAI, json=asking(voice=None))
    assert_error(response, "validation", field="voice")
    assert speaker.requests == []


async def test_in_the_envelope_the_voice_may_be_left_out(speaker: Vendor) -> None:
    await spoken(speaker.client, ENVELOPE, voice=None)
    assert speaker.sent["voice"]  # the vendor wants one


@on_both
async def test_the_longest_input_is_spoken(speaker: Vendor, path: str) -> None:
    text = "ö" * 4096
    await spoken(speaker.client, path, input=text)
    assert speaker.sent["input"] == text


@on_both
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", None),
        ("model", ""),
        ("input", None),
        ("input", ""),
        ("input", "a" * 4097),
        ("input", ["a"]),
        ("input", 7),
        ("voice", ""),
        ("voice", 5),
        ("voice", "v" * 201),
        ("voice", ["alloy"]),
        ("voice", {"id": 5}),
        ("response_format", "m4a"),
        ("response_format", "MP3"),
        ("response_format", 3),
        ("speed", 5),
        ("speed", 0.2),
        ("speed", 0),
        ("speed", -1),
        ("speed", "1"),
        ("speed", True),
    ],
)
async def test_a_wrong_field_is_refused_by_name(speaker: Vendor, path: str, field: str, value: Any) -> None:
    response = await speaker.client.post(path, json=asking(**{field: value}))
    assert_error(response, "validation", field=field)
    assert speaker.requests == []


@pytest.mark.parametrize(
    ("field", "value"), [("instructions", "i" * 4097), ("instructions", 5), ("stream_format", "sse"), ("voice", {})]
)
async def test_on_v1_further_fields_are_checked(speaker: Vendor, field: str, value: Any) -> None:
    response = await speaker.client.post(OPENAI, json=asking(**{field: value}))
    assert_error(response, "validation", field=field)


@on_both
@pytest.mark.parametrize("speed", [0.25, 4, 1, 1.0])
async def test_speed_goes_from_a_quarter_to_four(speaker: Vendor, path: str, speed: float) -> None:
    await spoken(speaker.client, path, speed=speed)
    assert speaker.sent["speed"] == speed


@on_both
async def test_null_means_absent_and_unknown_fields_are_ignored(speaker: Vendor, path: str) -> None:
    await spoken(speaker.client, path, speed=None, response_format=None, instructions=None, nonsense={})
    assert speaker.sent.keys() == {"model", "input", "voice", "response_format"}


# --- models and vendors


@on_both
async def test_an_unknown_model_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert "nobody" in assert_error(await client.post(path, json=asking("nobody/nothing")), "model_not_found")


@on_both
async def test_a_model_that_does_not_speak_says_so(client: httpx.AsyncClient, path: str) -> None:
    assert "speech" in assert_error(await client.post(path, json=asking("sandbox/chat")), "unsupported")


@on_both
async def test_a_key_may_be_kept_from_a_model(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json=asking(SANDBOX), headers={"authorization": "Bearer sk-one-model"})
    assert_error(response, "model_access")


@on_both
async def test_a_key_and_its_permission_are_needed(stranger: httpx.AsyncClient, path: str) -> None:
    assert_error(await stranger.post(path, json=asking()), "token_missing")
    powerless = {"authorization": "Bearer sk-powerless"}
    assert_error(await stranger.post(path, json=asking(), headers=powerless), "permission")


@on_both
async def test_what_is_no_json_is_refused(client: httpx.AsyncClient, path: str) -> None:
    assert_error(await client.post(path, content=b"{"), "malformed")
    assert_error(await client.post(path, data={"model": SANDBOX}), "malformed")
    assert_error(await client.get(path), "method")


@on_both
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (answering(500, b'{"error":{"message":"stack at 10.1.2.3"}}'), "upstream"),
        (answering(401, b'{"error":{"message":"Incorrect API key: vendor-secret-key"}}'), "upstream"),
        (answering(200, b""), "upstream"),
        (raising(httpx.ConnectError(f"to {HOST}")), "upstream"),
        (raising(httpx.ReadTimeout("")), "timeout"),
        (answering(400, b'{"error":{"message":"Voice not found."}}'), "rejected"),
    ],
    ids=["500", "401", "silence", "connect", "read", "400"],
)
async def test_before_the_first_byte_a_failure_keeps_its_status(
    speaker: Vendor, path: str, answer: Handler, kind: str
) -> None:
    speaker.answer = answer
    message = assert_error(await speaker.client.post(path, json=asking()), kind)
    for private in ("10.1.2.3", "secret", HOST):
        assert private not in message


@on_both
async def test_failures_keep_their_dialect(client: httpx.AsyncClient, path: str) -> None:
    for model, kind, retry_after in (
        ("sandbox/fail-429", "rate_limited", 7),
        ("sandbox/fail-500", "upstream", None),
        ("sandbox/fail-400", "rejected", None),
        ("sandbox/fail-401", "upstream", None),
    ):
        response = await client.post(path, json=asking(model, response_format="wav"))
        assert_error(response, kind, retry_after=retry_after)


async def broken(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise httpx.ReadError("gone")


@on_both
async def test_a_body_that_breaks_before_its_first_byte_keeps_its_status(speaker: Vendor, path: str) -> None:
    speaker.answer = lambda request: httpx.Response(200, content=broken())
    assert_error(await speaker.client.post(path, json=asking()), "upstream")


# --- as it arrives


class Listener:
    """A client of the speech function that sees every ASGI message at once, and can leave."""

    def __init__(self, keys: KeyStore, upstream: Handler, path: str = OPENAI, **fields: Any) -> None:
        self.services = make_services(keys, ENVIRONMENT, upstream)
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.gone = asyncio.Event()
        self._path = path
        self._body: bytes | None = json.dumps(asking(**fields)).encode()

    async def __aenter__(self) -> "Listener":
        app.services = lambda: self.services
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
            "client": ("127.0.0.1", 1),
            "server": ("gateway", 80),
        }
        self.answering = asyncio.create_task(app(scope, self._receive, self.messages.put))
        return self

    async def _receive(self) -> Any:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def __aexit__(self, *exception: object) -> None:
        self.gone.set()
        await asyncio.wait_for(asyncio.gather(self.answering, return_exceptions=True), 5)
        app.services = process_services
        await self.services.aclose()

    async def next(self) -> Any:
        return await asyncio.wait_for(self.messages.get(), 5)


@on_both
async def test_audio_leaves_before_the_rest_has_come(keys: KeyStore, path: str) -> None:
    go = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await go.wait()
        yield b"second"

    async with Listener(keys, lambda request: httpx.Response(200, content=body()), path) as listener:
        start = await listener.next()
        assert start["status"] == 200
        assert (b"content-type", b"audio/mpeg") in start["headers"]
        assert (await listener.next())["body"] == b"first"
        assert listener.messages.empty()
        go.set()
        assert await listener.next() == {"type": "http.response.body", "body": b"second", "more_body": True}
        assert await listener.next() == {"type": "http.response.body", "body": b"", "more_body": False}


@on_both
async def test_the_status_waits_for_the_first_byte(keys: KeyStore, path: str) -> None:
    go = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        await go.wait()
        raise httpx.ReadError("gone")
        yield b""

    async with Listener(keys, lambda request: httpx.Response(200, content=body()), path) as listener:
        assert listener.messages.empty()
        go.set()
        start = await listener.next()
        assert start["status"] == 502
        assert (b"content-type", b"application/json") in start["headers"]


@on_both
async def test_a_failure_amid_the_audio_breaks_the_answer_off(keys: KeyStore, path: str) -> None:
    async with Listener(keys, lambda request: httpx.Response(200, content=broken(b"first")), path) as listener:
        assert (await listener.next())["status"] == 200
        assert await listener.next() == {"type": "http.response.body", "body": b"first", "more_body": True}
        with pytest.raises(Exception):  # noqa: B017, PT011 - a server breaks off for any
            await asyncio.wait_for(listener.answering, 5)
        assert listener.messages.empty(), "nothing calls itself the end"


async def test_a_wav_file_that_ends_too_early_breaks_the_answer_off(keys: KeyStore) -> None:
    def unasked(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    fields = {"model": "sandbox/fail-truncated", "response_format": "wav"}
    async with Listener(keys, unasked, **fields) as listener:
        assert (await listener.next())["status"] == 200
        with pytest.raises(Exception):  # noqa: B017, PT011
            await asyncio.wait_for(listener.answering, 5)
        while not listener.messages.empty():
            assert (await listener.next())["more_body"]


async def test_a_client_that_leaves_closes_the_call_of_the_vendor(keys: KeyStore) -> None:
    closed = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"sound"
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with Listener(keys, lambda request: httpx.Response(200, content=body())) as listener:
        await listener.next()
        await listener.next()
        listener.gone.set()
        await asyncio.wait_for(closed.wait(), 5)
        await asyncio.wait_for(listener.answering, 5)


async def test_a_client_that_leaves_before_the_first_byte_closes_the_call_as_well(keys: KeyStore) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            asked.set()
            await asyncio.Event().wait()
            yield b""
        finally:
            closed.set()

    async with Listener(keys, lambda request: httpx.Response(200, content=body())) as listener:
        await asyncio.wait_for(asked.wait(), 5)
        listener.gone.set()
        await asyncio.wait_for(closed.wait(), 5)
        await asyncio.wait_for(listener.answering, 5)
        assert listener.messages.empty()


async def test_a_vendor_that_speaks_faster_than_its_listener_is_held_up(keys: KeyStore) -> None:
    made: list[int] = []
    begun = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        begun.set()
        for number in range(10_000):
            made.append(number)
            yield bytes(1000)

    listener = Listener(keys, lambda request: httpx.Response(200, content=body()))
    listener.messages = asyncio.Queue(1)
    async with listener:
        await asyncio.wait_for(begun.wait(), 5)
        for _ in range(20_000):  # turns of the event loop
            await asyncio.sleep(0)
        assert len(made) < 200


async def test_many_pieces_come_in_their_order(speaker: Vendor) -> None:
    pieces = [struct.pack(">I", number) * 64 for number in range(1000)]
    speaker.answer = lambda request: httpx.Response(200, content=stream_of(pieces))
    assert (await spoken(speaker.client, OPENAI)).content == b"".join(pieces)


async def test_the_log_tells_the_characters_and_not_the_words(
    speaker: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    await spoken(speaker.client, OPENAI, input="secret-of-the-caller")
    logged = str([vars(record) for record in caplog.records])
    assert SPEAKER in logged
    assert "secret-of-the-caller" not in logged
