"""What the gateway itself decides: the model for `Auto`, calls for several candidates, images as vendors take them."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image as Pillow

from shared.stores.keys import KeyStore
from tests.client import frames, gateway_client
from tests.providers.wires import anthropic, gemini, openai, openai_responses

pytestmark = pytest.mark.anyio

OPENAI = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://openai.test/v1"}
ANTHROPIC = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "https://anthropic.test"}
GEMINI = {"GEMINI_API_KEY": "k", "GEMINI_BASE_URL": "https://gemini.test"}
ANSWERS = {
    "openai.test": openai.wire.answers["text"],
    "anthropic.test": anthropic.wire.answers["text"],
    "gemini.test": gemini.wire.answers["text"],
}


class Vendors:
    """All vendors at once, remembering what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.asked.append((request.url.host, body))
        answer = ANSWERS[request.url.host]
        if request.url.path.endswith("/responses"):
            answer = openai_responses.wire.answers["text"]
        streamed = body.get("stream") or "streamGenerateContent" in request.url.path
        return httpx.Response(200, content=answer.stream if streamed else answer.body)


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content) if content and isinstance(content[0], dict) else content[0]}


def image(data: bytes, media_type: str = "image/png") -> dict[str, Any]:
    url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def picture(format_: str) -> bytes:
    buffer = BytesIO()
    Pillow.new("P", (3, 2), 1).save(buffer, format_)
    return buffer.getvalue()


PNG, GIF = picture("PNG"), picture("GIF")
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}

Ask = Callable[..., Any]


@asynccontextmanager
async def asking(keys: KeyStore, environment: dict[str, str], vendors: Vendors, **client: Any) -> AsyncIterator[Ask]:
    async with gateway_client(keys, environment, vendors, **client) as client:

        async def ask(**body: Any) -> httpx.Response:
            return await client.post("/v1/chat/completions", json={"model": "Auto", "messages": [user("Hi")], **body})

        yield ask


@pytest.mark.parametrize(
    ("environment", "backend"),
    [
        ({**OPENAI, **ANTHROPIC, **GEMINI, "GATEWAY_SANDBOX": "on"}, "openai"),
        ({**ANTHROPIC, **GEMINI, "GATEWAY_SANDBOX": "on"}, "anthropic"),
        ({**GEMINI, "GATEWAY_SANDBOX": "on"}, "gemini"),
        ({"GATEWAY_SANDBOX": "on"}, "sandbox"),
    ],
)
async def test_auto_is_the_first_configured_vendor_by_preference_and_the_sandbox_only_without_any(
    keys: KeyStore, environment: dict[str, str], backend: str
) -> None:
    async with asking(keys, environment, Vendors()) as ask:
        answer = await ask()
        assert answer.status_code == 200
        assert answer.headers["x-gateway-backend"].startswith(f"{backend}/")
        assert answer.json()["model"] == answer.headers["x-gateway-model"] != "Auto"


LADDER = [
    ("plain", "chat"),
    ("calls", "chat", "function_calling"),
    ("sees", "chat", "vision"),
    ("schemas", "chat", "json_schema"),
    ("all", "chat", "function_calling", "vision", "json_schema"),
    ("large", "chat"),
]


def _row(name: str, *capabilities: str) -> str:
    context = 100_000 if name == "large" else 4000
    return (
        """
        [providers.ladder]
        adapter = "openai"
        base_url = "https://openai.test/v1"
        api_key_env = "LADDER_KEY"
        """
        * (name == "plain")
        + f"""
        [[models]]
        id = "{name}"
        provider = "ladder"
        owned_by = "ladder"
        context_length = {context}
        capabilities = {json.dumps(capabilities)}
        """
    )


async def test_auto_passes_over_models_that_cannot_do_what_the_request_needs(keys: KeyStore, tmp_path: Path) -> None:
    rows = tmp_path / "rows.toml"
    rows.write_text("".join(_row(name, *capabilities) for name, *capabilities in LADDER))
    environment = {"LADDER_KEY": "k", "GATEWAY_CATALOG": str(rows)}
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    async with asking(keys, environment, Vendors()) as ask:
        needs: list[tuple[str, dict[str, Any]]] = [
            ("plain", {}),
            ("plain", {"tools": []}),
            ("calls", {"tools": [TOOL]}),
            ("sees", {"messages": [user(image(PNG))]}),
            ("schemas", {"response_format": schema}),
            ("all", {"messages": [user(image(PNG))], "tools": [TOOL]}),
            ("all", {"response_format": schema, "tools": [TOOL]}),
            ("large", {"messages": [user("x" * 12_000)]}),
        ]
        for name, body in needs:
            answer = await ask(**body)
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-gateway-model"] == name


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (
            {"messages": [user({"type": "input_audio", "input_audio": {"data": "UklGRgAAAABXQVZF", "format": "wav"}})]},
            "audio input",
        ),
        ({"modalities": ["text", "image"]}, "image output"),
        ({"messages": [user("x" * 9_000_000)]}, "tokens"),
    ],
)
async def test_auto_says_what_is_missing_when_no_model_can(keys: KeyStore, body: dict[str, Any], missing: str) -> None:
    async with asking(keys, ANTHROPIC, Vendors()) as ask:
        answer = await ask(**body)
    assert answer.status_code == 503
    assert missing in answer.json()["error"]["message"]


async def test_auto_without_any_provider_says_how_to_configure_one(keys: KeyStore) -> None:
    async with asking(keys, {}, Vendors()) as ask:
        answer = await ask()
    assert answer.status_code == 503
    assert "OPENAI_API_KEY" in answer.json()["error"]["message"]


async def test_auto_chooses_only_among_the_models_of_the_key(keys: KeyStore) -> None:
    async with asking(keys, {**OPENAI, "GATEWAY_SANDBOX": "on"}, Vendors(), token="sk-one-model") as ask:
        assert (await ask()).headers["x-gateway-model"] == "sandbox/chat"


@pytest.mark.parametrize("stream", [False, True])
async def test_several_candidates_are_several_calls_where_a_vendor_gives_one(keys: KeyStore, stream: bool) -> None:
    vendors = Vendors()
    async with asking(keys, ANTHROPIC, vendors) as ask:
        answer = await ask(model="claude-haiku-4-5", n=3, stream=stream, stream_options={"include_usage": True})
    assert answer.status_code == 200
    assert len(vendors.asked) == 3
    one = anthropic.wire.answers["text"].means
    if stream:
        *chunks, last, done = frames(answer.content)
        assert done == "[DONE]"
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        usage = last["usage"]
        assert sorted(choice["index"] for choice in choices if choice["finish_reason"]) == [0, 1, 2]
        assert sorted(choice["index"] for choice in choices if choice["delta"].get("role")) == [0, 1, 2]
    else:
        usage = answer.json()["usage"]
        assert [choice["index"] for choice in answer.json()["choices"]] == [0, 1, 2]
    assert usage["total_tokens"] == 3 * one.usage.total_tokens


async def test_several_candidates_of_one_seed_are_not_all_the_same(keys: KeyStore) -> None:
    vendors = Vendors()
    async with asking(keys, GEMINI, vendors) as ask:
        await ask(model="gemini-2.5-flash", n=2, seed=7)
    assert sorted(body["generationConfig"]["seed"] for _, body in vendors.asked) == [7, 8]


async def test_several_candidates_are_one_call_where_the_vendor_gives_them(keys: KeyStore) -> None:
    vendors = Vendors()
    async with asking(keys, OPENAI, vendors) as ask:
        await ask(model="openai/gpt-5.6-luna", n=3)
    assert [body["n"] for _, body in vendors.asked] == [3]


async def test_several_candidates_are_several_calls_where_the_vendor_gives_one(keys: KeyStore) -> None:
    vendors = Vendors()
    async with asking(keys, OPENAI, vendors) as ask:
        answer = await ask(model="gpt-6-sol", n=3)
    assert [choice["index"] for choice in answer.json()["choices"]] == [0, 1, 2]
    assert len(vendors.asked) == 3
    assert all("n" not in body for _, body in vendors.asked)


async def test_more_candidates_than_calls_are_bearable_are_refused(keys: KeyStore) -> None:
    async with asking(keys, ANTHROPIC, Vendors()) as ask:
        answer = await ask(model="claude-haiku-4-5", n=17)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "n"


async def test_one_failing_call_of_several_fails_the_answer_with_its_own_error(keys: KeyStore) -> None:
    calls = 0

    def upstream(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        body = anthropic.wire.answers["text"].body
        return httpx.Response(429, headers={"retry-after": "9"}) if calls == 2 else httpx.Response(200, content=body)

    async with gateway_client(keys, ANTHROPIC, upstream) as client:
        body = {"model": "claude-haiku-4-5", "n": 3, "messages": [user("Hi")]}
        answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "9"


async def test_a_prompt_list_is_answered_in_its_order_with_candidates_numbered_through(keys: KeyStore) -> None:
    vendors = Vendors()
    async with gateway_client(keys, ANTHROPIC, vendors) as client:
        body = {"model": "claude-haiku-4-5", "prompt": ["one", "two"], "n": 2, "echo": True}
        answer = await client.post("/v1/completions", json=body)
    text = anthropic.wire.answers["text"].means.candidates[0].parts[0].text  # type: ignore[union-attr]
    expected = [(0, "one" + text), (1, "one" + text), (2, "two" + text), (3, "two" + text)]
    assert [(choice["index"], choice["text"]) for choice in answer.json()["choices"]] == expected


async def test_an_image_url_is_passed_on_where_the_vendor_fetches_it(keys: KeyStore) -> None:
    vendors = Vendors()
    url = "https://pictures.test/cat.png"
    async with asking(keys, {**OPENAI, **ANTHROPIC}, vendors) as ask:
        for model in ("gpt-4o-mini", "claude-haiku-4-5"):
            content = {"type": "image_url", "image_url": {"url": url}}
            assert (await ask(model=model, messages=[user(content)])).status_code == 200
    assert all(url in json.dumps(body) for _, body in vendors.asked)


@pytest.mark.parametrize(
    "url",
    [
        "http://pictures.test/cat.png",
        "https://127.0.0.1/cat.png",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
    ],
)
async def test_an_image_url_that_must_not_be_fetched_is_refused_naming_the_field(keys: KeyStore, url: str) -> None:
    vendors = Vendors()
    async with asking(keys, GEMINI, vendors) as ask:
        content = {"type": "image_url", "image_url": {"url": url}}
        answer = await ask(model="gemini-2.5-flash", messages=[user(content)])
    assert answer.status_code == 400
    assert "image_url" in answer.json()["error"]["param"]
    assert vendors.asked == []


async def test_a_gif_reaches_a_vendor_that_refuses_gifs_as_a_png_of_its_first_frame(keys: KeyStore) -> None:
    vendors = Vendors()
    async with asking(keys, {**GEMINI, **ANTHROPIC}, vendors) as ask:
        for model in ("gemini-2.5-flash", "claude-haiku-4-5"):
            assert (await ask(model=model, messages=[user(image(GIF, "image/gif"))])).status_code == 200
    (_, to_gemini), (_, to_anthropic) = vendors.asked
    inline = to_gemini["contents"][0]["parts"][0]["inlineData"]
    assert inline["mimeType"] == "image/png"
    assert Pillow.open(BytesIO(base64.b64decode(inline["data"]))).size == (3, 2)
    assert to_anthropic["messages"][0]["content"][0]["source"]["media_type"] == "image/gif"


async def test_a_broken_gif_is_refused_naming_the_field(keys: KeyStore) -> None:
    async with asking(keys, GEMINI, Vendors()) as ask:
        answer = await ask(model="gemini-2.5-flash", messages=[user(image(GIF[:14], "image/gif"))])
    assert answer.status_code == 400
    assert "image_url" in answer.json()["error"]["param"]


async def test_the_vendors_model_behind_a_public_id_is_told(keys: KeyStore) -> None:
    async with gateway_client(keys, OPENAI, Vendors()) as client:
        listed = (await client.get("/v1/models/gpt-4o-mini")).json()
        body = {"model": "openai/gpt-4o-mini", "messages": [user("Hi")]}
        answer = await client.post("/v1/chat/completions", json=body)
    assert answer.headers["x-gateway-model"] == "gpt-4o-mini"
    assert answer.headers["x-gateway-backend"] == f"openai/{listed['upstream']}"
    assert answer.json()["model"] == "openai/gpt-4o-mini"


@pytest.mark.parametrize("stream", [False, True])
async def test_stop_is_obeyed_where_the_vendor_refuses_it(keys: KeyStore, stream: bool) -> None:
    text = openai_responses.wire.answers["text"].means.candidates[0].parts[0].text  # type: ignore[union-attr]
    vendors = Vendors()
    async with asking(keys, OPENAI, vendors) as ask:
        answer = await ask(model="gpt-4o-mini", stop=text[3:6], stream=stream)
    assert "stop" not in vendors.asked[0][1]
    if stream:
        deltas = [choice["delta"] for chunk in frames(answer.content)[:-1] for choice in chunk["choices"]]
        said = "".join(delta.get("content") or "" for delta in deltas)
    else:
        said = answer.json()["choices"][0]["message"]["content"]
    assert said == text[: text.find(text[3:6])]


@pytest.mark.parametrize(
    "body",
    [{"tools": [TOOL], "tool_choice": "required"}, {"n": 20}, {"logprobs": True}],
    ids=["forced tool", "many candidates", "logprobs"],
)
async def test_auto_passes_over_models_that_would_refuse_how_the_request_asks(
    keys: KeyStore, tmp_path: Path, body: dict[str, Any]
) -> None:
    row = (
        _row("plain", "chat", "function_calling")
        + 'quirks = ["no_forced_tool_choice", "no_logprobs", "single_candidate"]\n'
    )
    rows = tmp_path / "rows.toml"
    rows.write_text(row + _row("able", "chat", "function_calling"))
    async with asking(keys, {"LADDER_KEY": "k", "GATEWAY_CATALOG": str(rows)}, Vendors()) as ask:
        assert (await ask()).headers["x-gateway-model"] == "plain"
        assert (await ask(**body)).headers["x-gateway-model"] == "able"


async def test_auto_never_falls_back_to_the_sandbox_while_a_provider_is_configured(
    keys: KeyStore, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.toml"
    rows.write_text(_row("plain", "chat"))
    environment = {"LADDER_KEY": "k", "GATEWAY_CATALOG": str(rows), "GATEWAY_SANDBOX": "on"}
    async with asking(keys, environment, Vendors()) as ask:
        assert (await ask(tools=[TOOL])).status_code == 503


async def test_a_failing_call_ends_the_other_calls_of_its_request(keys: KeyStore) -> None:
    ended = []

    async def upstream(request: httpx.Request) -> httpx.Response:
        if not ended and len(started) == 2:
            return httpx.Response(429, headers={"retry-after": "9"})
        started.append(request)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(request)
            raise
        return httpx.Response(200)

    started: list[httpx.Request] = []
    async with gateway_client(keys, ANTHROPIC, upstream) as client:
        body = {"model": "claude-haiku-4-5", "n": 3, "messages": [user("Hi")]}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 429
    assert len(ended) == 2


@pytest.mark.parametrize("name", ["messages", "tools"])
async def test_a_body_of_very_many_mistakes_is_refused_for_its_first(keys: KeyStore, name: str) -> None:
    async with asking(keys, {"GATEWAY_SANDBOX": "on"}, Vendors()) as ask:
        answer = await ask(**{name: [{} for _ in range(10_000 if name == "messages" else 128)]})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(f"{name}[0]")


async def test_too_many_images_to_convert_are_refused(keys: KeyStore) -> None:
    images = [image(GIF[:-1] + bytes([at]), "image/gif") for at in range(21)]
    async with asking(keys, GEMINI, Vendors()) as ask:
        answer = await ask(model="gemini-2.5-flash", messages=[user(*images)])
    assert answer.status_code == 400
    assert "20 images" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [b'{"error":{"message":{"a":1}}}', b'{"error":{"details":{"error_code":[]}}}', b"[" * 100_000, b'{"error":7}'],
    ids=["object", "list", "deep", "number"],
)
@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"])
async def test_an_odd_error_body_of_a_vendor_keeps_its_status(keys: KeyStore, model: str, body: bytes) -> None:
    environment = {**OPENAI, **ANTHROPIC, **GEMINI}
    async with gateway_client(keys, environment, lambda request: httpx.Response(400, content=body)) as client:
        answer = await client.post("/v1/chat/completions", json={"model": model, "messages": [user("Hi")]})
    assert answer.status_code in (400, 502)
    assert answer.json()["error"]["code"] != "internal_error"


async def test_what_a_broken_off_stream_has_used_is_logged(keys: KeyStore, caplog: pytest.LogCaptureFixture) -> None:
    stream = anthropic.wire.answers["text"].stream
    cut_off = stream[: stream.index(b"event: message_delta")]
    async with gateway_client(keys, ANTHROPIC, lambda request: httpx.Response(200, content=cut_off)) as client:
        body = {"model": "claude-haiku-4-5", "stream": True, "messages": [user("Hi")]}
        answer = await client.post("/v1/chat/completions", json=body)
    assert b"[DONE]" not in answer.content
    (line,) = [vars(record) for record in caplog.records if record.message == "request"]
    assert line["input_tokens"] == anthropic.wire.answers["text"].means.usage.input_tokens
