"""Requests made to hold the gateway up are refused in the dialect of their route, before any vendor is asked."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.dialects.openai.messages import MAX_MESSAGES, MAX_PARTS
from shared.json_text import MAX_CONTAINERS
from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.client import gateway_client
from tests.contract.accounts import account
from tests.contract.sounds import ENVIRONMENT as SOUNDS
from tests.contract.sounds import WHISPER, wav
from tests.contract.vendor import ENVIRONMENT, SEEING_MODEL, Vendor, breaking, raising
from tests.contract.wire import CHATS, POSTS, asking, assert_error

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
GEMINI = {"GEMINI_API_KEY": "k", "GEMINI_BASE_URL": "https://vendor.test"}
ANTHROPIC = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "https://vendor.test"}


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    vendor = Vendor()
    async with gateway_client(keys, {**ENVIRONMENT, **GEMINI, **ANTHROPIC}, vendor) as client:
        vendor.client = client
        yield vendor


def raw(path: str, field: bytes) -> bytes:
    """A body that the route answers, with a field more in it."""
    return json.dumps(asking(path, SEEING_MODEL)).encode()[:-1] + b',"x":' + field + b"}"


def user(*parts: Any) -> Any:
    return {"role": "user", "content": list(parts) if parts else "a"}


def text(content: str = "a") -> Any:
    return {"type": "text", "text": content}


def call(number: int, arguments: str = "{}") -> Any:
    return {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": arguments}}


@pytest.mark.parametrize("path", [*POSTS, "/v1/embeddings", "/v1/audio/speech"])
@pytest.mark.parametrize("item", [b"[]", b"{}", b'{"a":{}}'])
async def test_more_objects_than_can_be_meant_are_too_large(vendor: Vendor, path: str, item: bytes) -> None:
    field = b"[" + b",".join([item] * MAX_CONTAINERS) + b"]"
    body = raw(path, field) if path in POSTS else b'{"model":"m","input":"a","voice":"a","x":%b}' % field
    response = await vendor.client.post(path, content=body, headers={"content-type": "application/json"})
    assert "50,000 objects and arrays" in assert_error(response, "too_large")
    assert not vendor.requests


async def test_a_batch_of_as_many_lines_is_told_to_come_as_a_file(vendor: Vendor) -> None:
    lines = [{"custom_id": str(number), "body": {}} for number in range(MAX_CONTAINERS // 2)]
    response = await vendor.client.post("/v1/inference/batch", json={"requests": lines})
    assert "/v1/files" in assert_error(response, "too_large")


@pytest.mark.parametrize("path", CHATS)
@pytest.mark.parametrize(
    "messages",
    [
        [user()] * (MAX_MESSAGES + 1),
        [user(*[text()] * (MAX_PARTS // 2))] * 3,
        [user(), {"role": "assistant", "tool_calls": [call(at) for at in range(MAX_PARTS + 1)]}],
        [user(), {"role": "assistant", "content": "a", "reasoning_details": [{"type": "x"}] * (MAX_PARTS + 1)}],
        [user(), {"role": "assistant", "tool_calls": [call(at, json.dumps([[]] * 999)) for at in range(60)]}],
    ],
    ids=["messages", "parts", "tool calls", "thoughts", "arguments"],
)
async def test_more_messages_or_parts_than_can_be_meant_are_a_wrong_field(
    vendor: Vendor, path: str, messages: list[Any]
) -> None:
    response = await vendor.client.post(path, json=asking(path, SEEING_MODEL, messages=messages))
    assert_error(response, "validation", field="messages")
    assert not vendor.requests


@pytest.mark.parametrize("path", CHATS)
async def test_a_long_conversation_is_none_of_them(vendor: Vendor, path: str) -> None:
    turns = [user(text("a"), text("b")), {"role": "assistant", "content": "c"}] * 2_000
    response = await vendor.client.post(path, json=asking(path, SEEING_MODEL, messages=[*turns, user()]))
    assert response.status_code == 200
    assert len(vendor.sent["input"]) == 4_001


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logit_bias", {str(at): 1 for at in range(1_025)}),
        ("metadata", {str(at): "a" for at in range(65)}),
        ("modalities", ["text"] * 17),
    ],
)
async def test_a_field_of_more_entries_than_can_be_meant_is_named(vendor: Vendor, field: str, value: Any) -> None:
    response = await vendor.client.post(CHAT, json=asking(CHAT, SEEING_MODEL, **{field: value}))
    assert_error(response, "validation", field=field)
    assert not vendor.requests


@pytest.mark.parametrize("model", [SEEING_MODEL, "claude-haiku-4-5", "gemini-2.5-flash"])
@pytest.mark.parametrize("depth", [5_000, 1_000_000])
async def test_arguments_that_are_nested_deeply_are_no_crash(vendor: Vendor, model: str, depth: int) -> None:
    nested = '{"a":' * depth + "0" + "}" * depth
    messages = [user(), {"role": "assistant", "tool_calls": [call(1, nested)]}]
    messages.append({"role": "tool", "tool_call_id": "c1", "content": "a"})
    response = await vendor.client.post(CHAT, json=asking(CHAT, model, messages=messages))
    assert response.status_code in (200, 400, 502)


@pytest.mark.parametrize("escapes", ["%41" * 200_000, "%" * 400_000])
async def test_a_data_uri_of_escapes_is_a_wrong_field(vendor: Vendor, escapes: str) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{escapes}"}}
    response = await vendor.client.post(CHAT, json=asking(CHAT, SEEING_MODEL, messages=[user(image)]))
    assert_error(response, "validation", field="messages[0].content[0].image_url.url")
    assert not vendor.requests


async def test_an_image_that_a_browser_has_escaped_is_read(vendor: Vendor) -> None:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\xfb\xef\xbe" * 100_000 + b"\xff").decode()
    escaped = data.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D")
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{escaped}"}}
    response = await vendor.client.post(CHAT, json=asking(CHAT, SEEING_MODEL, messages=[user(image)]))
    if escaped.count("%") > len(escaped) // 16:
        assert_error(response, "validation", field="messages[0].content[0].image_url.url")
    else:
        assert vendor.sent["input"][0]["content"][0]["image_url"].endswith(data)


async def test_of_a_vendors_long_error_no_more_is_read_than_its_beginning(vendor: Vendor) -> None:
    given = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(1_000):
            given += 1
            yield b"words " * 10_000

    vendor.answer = lambda request: httpx.Response(400, content=body())
    response = await vendor.client.post(CHAT, json=asking(CHAT, SEEING_MODEL))
    assert response.status_code == 400
    assert given < 20


async def test_a_large_request_is_still_broken_off_as_a_small_one(vendor: Vendor) -> None:
    vendor.answer = breaking(httpx.ReadError("broken"))
    long = asking(CHAT, SEEING_MODEL, messages=[user(text("a" * 100_000))], stream=True)
    response = await vendor.client.post(CHAT, json=long)
    assert b"Hello" in response.content
    assert b"[DONE]" not in response.content


def ten_minutes() -> bytes:
    """A WAV file whose header says that ten minutes of sound are played in a millisecond."""
    recording = bytearray(wav(600))
    recording[28:32] = b"\xff" * 4
    return bytes(recording)


async def test_a_recording_is_reserved_as_long_as_it_is_and_not_as_its_header_says(keys: KeyStore) -> None:
    limits = Limits(budget_day=10**9)
    lost = raising(httpx.ReadTimeout("lost"))
    async with account(keys, limits, environment=SOUNDS, vendor=lost) as caller:
        files = {"file": ("talk.wav", ten_minutes(), "audio/wav")}
        answer = await caller.client.post("/v1/audio/transcriptions", data={"model": WHISPER}, files=files)
        assert answer.status_code == 504
        assert 600 <= (await caller.row()).usage.audio_seconds < 602


async def test_a_recording_that_costs_more_than_the_budget_is_refused_whatever_its_header_says(keys: KeyStore) -> None:
    vendor = Vendor()
    async with account(keys, Limits(budget_day=10_000), environment=SOUNDS, vendor=vendor) as caller:
        files = {"file": ("talk.wav", ten_minutes(), "audio/wav")}  # 60,000 micro-dollars
        answer = await caller.client.post("/v1/audio/transcriptions", data={"model": WHISPER}, files=files)
        assert answer.status_code in (400, 429)
    assert not vendor.requests
