"""The chat samples of the API references that the gateway serves, run as printed: only base URL and key are ours.

What is quoted here are the pages' own samples; where one names a vendor's model, a local vendor answers it.
"""

import base64
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest

from functions.__main__ import AllFunctions
from shared.fetch import RemoteFetcher
from shared.gateway.services import Services, process_services
from shared.settings import Settings
from shared.stores.keys import KeyStore
from tests.client import TOKEN as STORED_TOKEN
from tests.providers.wires import gemini, openai_responses
from tests.sdk.curl import Answer, needs_curl, shell
from tests.sdk.server import TOKEN
from tests.sdk.vendor import KEY, Vendor

Run = Callable[[str], Answer]
Post = Callable[[str, str], Answer]


@pytest.fixture
def run(vendor_url: str, tmp_path: Path) -> Run:
    """Runs a printed command line against the gateway that calls `vendor`."""

    def run(printed: str) -> Answer:
        for host in ("https://inference.zenith-ai.one", "https://gateway.iotex.ai"):
            printed = printed.replace(host, vendor_url)
        for key in ("<your-token>", "YOU_KAPI_KEY"):
            printed = printed.replace(key, TOKEN)
        return shell(printed, tmp_path)

    return run


@pytest.fixture
def post(run: Run, vendor_url: str) -> Post:
    """Sends a printed body."""

    def post(path: str, body: str) -> Answer:
        return run(
            f"curl -X POST {vendor_url}{path} -H 'Authorization: Bearer {TOKEN}'"
            f" -H 'Content-Type: application/json' -d {shlex.quote(body)}"
        )

    return post


@pytest.fixture
def get(run: Run, vendor_url: str) -> Run:
    return lambda path: run(f"curl {vendor_url}{path} -H 'Authorization: Bearer {TOKEN}'")


def say(vendor: Vendor, wire: Any, answer: str = "text") -> None:
    vendor.say(wire.answers[answer].body, [wire.answers[answer].stream])


# --- /v1/chat/completions/stable

STABLE_CHAT = r"""curl -X POST https://inference.zenith-ai.one/v1/chat/completions/stable \
-H "Authorization: Bearer <your-token>" \
-H "Content-Type: application/json" \
-d '{
"messages": [
{"role": "system", "content": "You are a helpful assistant."},
{"role": "user", "content": "Explain black holes in one sentence."}
],
"temperature": 0.7
}'"""


@needs_curl
def test_the_stable_chat_sample_answers_a_standard_completion(run: Run, vendor: Vendor) -> None:
    say(vendor, openai_responses.wire)
    answer = run(STABLE_CHAT)
    assert answer.status == 200
    body = answer.json()
    assert body["id"].startswith("chatcmpl-")
    assert body["object"] == "chat.completion"
    assert body["model"] != "Auto"
    assert [choice["index"] for choice in body["choices"]] == [0]
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["choices"][0]["message"]["content"] == "Hello, Zoë! 👋"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert {name: body["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")} == {
        "prompt_tokens": 13,
        "completion_tokens": 9,
        "total_tokens": 22,
    }
    assert "Explain black holes in one sentence." in json.dumps(vendor.seen[0].json)


@needs_curl
def test_the_stable_chat_sample_without_its_authorization_is_refused(run: Run, vendor: Vendor) -> None:
    for header in ("", '-H "Authorization: <your-token>" '):
        answer = run(STABLE_CHAT.replace('-H "Authorization: Bearer <your-token>" ', header))
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "bearer"
        assert answer.json()["error"]["type"] == "authentication_error"
    assert vendor.seen == []


@needs_curl
def test_the_callers_token_does_not_reach_the_vendor_nor_the_vendors_key_the_caller(run: Run, vendor: Vendor) -> None:
    say(vendor, openai_responses.wire)
    answer = run(STABLE_CHAT)
    (seen,) = vendor.seen
    assert KEY in seen.headers["authorization"]
    assert TOKEN not in repr(seen)
    assert KEY not in f"{answer.headers}{answer.body!r}"
    assert vendor.url not in f"{answer.headers}{answer.body!r}"


# --- /ai

COMPACT_CHAT = """{
"model": "gemini-2.5-flash",
"messages": [
{ "role": "system", "content": "You are a helpful assistant." },
{ "role": "user", "content": "What is machine learning?" }
],
"temperature": 0.7,
"max_tokens": 500
}"""
COMPACT_STREAM = """{
"model": "gemini-2.5-flash",
"messages": [
{ "role": "user", "content": "Write a story" }
],
"stream": true
}"""
COMPACT_GENERATE = """{
"model": "gemini-2.5-flash",
"prompt": "Explain quantum computing in simple terms",
"max_tokens": 200,
"temperature": 0.5
}"""
COMPACT_TOOLS = """{
"model": "gemini-3-pro-preview",
"messages": [
{ "role": "user", "content": "What's the weather in Tokyo?" }
],
"tools": [
{
"type": "function",
"function": {
"name": "get_weather",
"description": "Get weather for a location",
"parameters": {
"type": "object",
"properties": {
"location": { "type": "string" }
},
"required": ["location"]
}
}
}
]
}"""
COMPACT_USAGE = {"prompt_tokens": 8, "completion_tokens": 11, "total_tokens": 19}
# The page's base URL ends in /ai, and so do its endpoints begin.
compact_base = pytest.mark.parametrize("base", ["", "/ai"])


@needs_curl
@compact_base
def test_the_compact_chat_sample_answers_a_flat_object(post: Post, vendor: Vendor, base: str) -> None:
    say(vendor, gemini.wire)
    answer = post(f"{base}/ai/chat", COMPACT_CHAT)
    assert answer.status == 200
    body = answer.json()
    assert body.pop("id").startswith("chat_")
    assert body == {
        "model": "gemini-2.5-flash",
        "message": {"role": "assistant", "content": gemini.GREETING},
        "usage": COMPACT_USAGE,
        "finish_reason": "stop",
    }
    (seen,) = vendor.seen
    assert seen.json["systemInstruction"]["parts"] == [{"text": "You are a helpful assistant."}]
    assert seen.json["contents"][0]["parts"] == [{"text": "What is machine learning?"}]
    assert seen.json["generationConfig"]["temperature"] == 0.7
    assert seen.json["generationConfig"]["maxOutputTokens"] == 500


@needs_curl
def test_the_compact_streaming_sample_answers_bare_deltas(post: Post, vendor: Vendor) -> None:
    say(vendor, gemini.wire)
    answer = post("/ai/chat", COMPACT_STREAM)
    assert answer.status == 200
    assert answer.frames() == [
        {"delta": {"content": gemini.GREETING[:7]}},
        {"delta": {"content": gemini.GREETING[7:]}},
        {"delta": {}, "finish_reason": "stop"},
        "[DONE]",
    ]


@needs_curl
@compact_base
def test_the_compact_generate_sample_answers_text(post: Post, vendor: Vendor, base: str) -> None:
    say(vendor, gemini.wire)
    answer = post(f"{base}/ai/generate", COMPACT_GENERATE)
    assert answer.status == 200
    body = answer.json()
    assert body["id"].startswith("gen_")
    assert body["text"] == gemini.GREETING
    assert body["usage"] == COMPACT_USAGE


@needs_curl
def test_the_compact_function_calling_sample_answers_calls(post: Post, vendor: Vendor) -> None:
    say(vendor, gemini.wire, "tools")
    answer = post("/ai/chat", COMPACT_TOOLS)
    assert answer.status == 200
    message = answer.json()["message"]
    assert message["role"] == "assistant"
    calls = message["tool_calls"]
    assert all(call["id"] for call in calls)
    assert [call["function"]["name"] for call in calls] == ["get_weather", "get_weather"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"city": "Paris", "days": 2}
    (declaration,) = vendor.seen[0].json["tools"][0]["functionDeclarations"]
    assert declaration["name"] == "get_weather"


@needs_curl
@compact_base
def test_the_compact_models_have_the_pages_four_rows(get: Run, base: str) -> None:
    rows = {row["id"]: row for row in get(f"{base}/ai/models").json()["models"]}
    vision, tools = ["chat", "vision"], ["chat", "vision", "function_calling"]
    for model, provider, capabilities, length in (
        ("gemini-2.5-flash", "google", vision, 1000000),
        ("gemini-3-pro-preview", "google", tools, 2000000),
        ("gpt-5", "openai", tools, 256000),
        ("claude-sonnet-4-5", "anthropic", tools, 200000),
    ):
        expected = {"id": model, "provider": provider, "capabilities": capabilities, "context_length": length}
        assert rows[model] == expected


# --- /v1

OPENAI_CHAT = """{
  "model": "gemini-2.5-flash",
  "messages": [
    {"role": "system", "content": "You are a helpful assistant"},
    {"role": "user", "content": "Write a Python bubble sort algorithm"}
  ],
  "max_tokens": 500,
  "temperature": 0.7
}"""
IMAGE_URL = (
    "https://upload.wikimedia.org/wikipedia/commons/thumb/d/dd/Gfp-wisconsin-madison-the-nature-boardwalk.jpg/"
    "2560px-Gfp-wisconsin-madison-the-nature-boardwalk.jpg"
)
IMAGE_TO_TEXT = (
    r"""curl -N -X POST "https://gateway.iotex.ai/v1/chat/completions" \
  -H "Authorization: Bearer YOU_KAPI_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "gemini-2.5-flash",
    "messages": [
      {
        "role": "user",
        "content": [
          { "type": "text", "text": "What is in this image?" },
          {
            "type": "image_url",
            "image_url": {
              "url": """
    f'"{IMAGE_URL}"'
    """
            }
          }
        ]
      }
    ],
    "max_tokens": 300
  }'"""
)


@needs_curl
def test_the_chat_sample_answers_a_completion(post: Post, vendor: Vendor) -> None:
    say(vendor, gemini.wire)
    answer = post("/v1/chat/completions", OPENAI_CHAT)
    assert answer.status == 200
    body = answer.json()
    assert body["id"].startswith("chatcmpl-")
    assert body["object"] == "chat.completion"
    assert isinstance(body["created"], int)
    assert body["model"] == "gemini-2.5-flash"
    message = body["choices"][0]["message"]
    assert (message["role"], message["content"]) == ("assistant", gemini.GREETING)
    assert body["choices"][0]["finish_reason"] == "stop"
    assert {name: body["usage"][name] for name in COMPACT_USAGE} == COMPACT_USAGE


@needs_curl
def test_the_model_list_has_the_pages_rows(get: Run) -> None:
    answer = get("/v1/models")
    assert answer.status == 200
    assert answer.json()["object"] == "list"
    rows = {row["id"]: row for row in answer.json()["data"]}
    for model, owner in (("gemini-2.5-flash", "google"), ("deepseek-ai/DeepSeek-V3-0324", "deepseek")):
        assert rows[model]["object"] == "model"
        assert rows[model]["owned_by"] == owner
        assert isinstance(rows[model]["created"], int)


@needs_curl
def test_a_model_with_a_slash_in_its_id_is_found(get: Run) -> None:
    assert get("/v1/models/deepseek-ai/DeepSeek-V3-0324").json()["id"] == "deepseek-ai/DeepSeek-V3-0324"


@needs_curl
def test_the_image_sample_with_an_image_inside_our_network_is_refused(run: Run, vendor: Vendor) -> None:
    answer = run(IMAGE_TO_TEXT.replace("https://upload.wikimedia.org", "https://127.0.0.1"))
    assert answer.status == 400
    error = answer.json()["error"]
    assert error["param"] == "messages[0].content[1].image_url.url"
    assert "127.0.0.1" not in error["message"]
    assert vendor.seen == []


@pytest.mark.anyio
async def test_the_image_sample_shows_the_vendor_the_remote_image(keys: KeyStore) -> None:
    """In this process, where the internet can be replaced."""
    png = base64.b64decode(gemini.PNG)
    network = httpcore.AsyncMockBackend([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(png), png])
    resolved: list[str] = []
    seen: list[Any] = []

    async def resolve(host: str, port: int) -> list[str]:
        resolved.append(host)
        return ["93.184.215.14"]

    def vendor(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        return httpx.Response(200, content=gemini.wire.answers["text"].body)

    services = Services(
        Settings.from_environment(gemini.wire.env),
        keys,
        transport=httpx.MockTransport(vendor),
        fetcher=RemoteFetcher(resolve=resolve, network=network),
    )
    functions = AllFunctions()
    for app in functions.apps.values():
        app.services = lambda: services
    body = IMAGE_TO_TEXT.partition("-d '")[2].removesuffix("'")
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(functions), base_url="http://gateway") as client:
            answer = await client.post(
                "/v1/chat/completions", content=body, headers={"authorization": f"Bearer {STORED_TOKEN}"}
            )
    finally:
        for app in functions.apps.values():
            app.services = process_services
        await services.aclose()
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == gemini.GREETING
    assert resolved == ["upload.wikimedia.org"]
    shown = [part["inlineData"] for part in seen[0]["contents"][0]["parts"] if "inlineData" in part]
    assert shown == [{"mimeType": "image/png", "data": gemini.PNG}]
