"""The compact dialect: what CONTRACT.md says of /ai/chat, /ai/generate and /ai/models."""

import json
from typing import Any

import httpx
import pytest

from shared.stores.keys import KeyStore
from tests.client import frames, gateway_client
from tests.contract.vendor import BEGINNING, MODEL, Vendor, answering, chunk
from tests.contract.wire import SANDBOX, asking, assert_error, events

pytestmark = pytest.mark.anyio

CHAT = "/ai/chat"
GENERATE = "/ai/generate"
ANSWERING = [CHAT, GENERATE]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get weather for a location",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    },
}
IN_TOKYO: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What's the weather in Tokyo?"}],
    "tools": [WEATHER],
}


async def answered(client: httpx.AsyncClient, path: str, **fields: Any) -> Any:
    response = await client.post(path, json=asking(path, **fields))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


async def streamed(client: httpx.AsyncClient, path: str, **fields: Any) -> list[Any]:
    """The frames of a streamed answer before [DONE], decoded."""
    response = await client.post(path, json=asking(path, stream=True, **fields))
    *datas, done = [event.data for event in events(response)]
    assert done == b"[DONE]"
    return [json.loads(data) for data in datas]


@pytest.mark.parametrize("base", ["/ai", "/ai/ai"])
async def test_T01_the_base_path_is_ai_and_also_ai_ai(client: httpx.AsyncClient, base: str) -> None:
    assert (await client.get(f"{base}/models")).status_code == 200
    assert (await client.post(f"{base}/chat", json=asking(CHAT))).json()["id"].startswith("chat_")
    assert (await client.post(f"{base}/generate", json=asking(GENERATE))).json()["id"].startswith("gen_")


async def test_T02_T03_a_chat_is_answered_flat(client: httpx.AsyncClient) -> None:
    body = await answered(client, CHAT)
    assert body.keys() == {"id", "model", "message", "usage", "finish_reason"}
    assert body["id"].startswith("chat_")
    assert body["model"] == SANDBOX
    assert body["message"].keys() == {"role", "content"}
    assert body["message"]["role"] == "assistant"
    assert "Hello" in body["message"]["content"]
    assert body["finish_reason"] == "stop"


@pytest.mark.parametrize("path", ANSWERING)
async def test_T04_usage_adds_up(client: httpx.AsyncClient, path: str) -> None:
    usage = (await answered(client, path))["usage"]
    assert usage.keys() == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("path", ANSWERING)
async def test_T05_a_streams_frames_are_bare_deltas(client: httpx.AsyncClient, path: str) -> None:
    *deltas, _ = await streamed(client, path)
    assert len(deltas) > 2
    assert all(frame.keys() == {"delta"} and frame["delta"].keys() == {"content"} for frame in deltas)
    whole = await answered(client, path)
    text = whole["text"] if path == GENERATE else whole["message"]["content"]
    assert "".join(frame["delta"]["content"] for frame in deltas) == text


@pytest.mark.parametrize("path", ANSWERING)
async def test_T06_T07_a_stream_ends_with_an_empty_delta_its_reason_and_done(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.post(path, json=asking(path, stream=True))
    assert frames(response.content)[-2:] == [{"delta": {}, "finish_reason": "stop"}, "[DONE]"]


async def test_T08_T09_a_prompt_is_answered_with_text(client: httpx.AsyncClient) -> None:
    body = await answered(client, GENERATE, prompt="Explain quantum computing", temperature=0.5, max_tokens=200)
    assert body.keys() == {"id", "text", "usage", "model", "finish_reason"}
    assert body["id"].startswith("gen_")
    assert "Explain quantum computing" in body["text"]
    assert body["model"] == SANDBOX
    assert body["finish_reason"] == "stop"


@pytest.mark.parametrize("missing", ["model", "prompt"])
async def test_T08_a_prompt_and_a_model_are_required(client: httpx.AsyncClient, missing: str) -> None:
    response = await client.post(GENERATE, json=asking(GENERATE, **{missing: None}))
    assert_error(response, "validation", field=missing)


async def test_T15_T16_T17_tools_are_called_with_an_id_a_name_and_arguments_as_a_string(
    client: httpx.AsyncClient,
) -> None:
    body = await answered(client, CHAT, **IN_TOKYO)
    (call,) = body["message"]["tool_calls"]
    assert call.keys() >= {"id", "function"}
    assert call["id"]
    assert call["function"]["name"] == "get_weather"
    assert isinstance(call["function"]["arguments"], str)
    assert json.loads(call["function"]["arguments"]) == {"location": "Tokyo"}
    assert body["finish_reason"] == "tool_calls"


async def test_T15_the_tools_and_the_choice_among_them_reach_the_provider(vendor: Vendor) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    await vendor.client.post(CHAT, json=asking(CHAT, MODEL, tools=[WEATHER], tool_choice=choice))
    assert vendor.sent["tools"] == [WEATHER]
    assert vendor.sent["tool_choice"] == choice


async def test_T15_a_tools_result_is_taken_up(client: httpx.AsyncClient) -> None:
    message = (await answered(client, CHAT, **IN_TOKYO))["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "Sunny"}
    turns = [*IN_TOKYO["messages"], message, result]
    assert "Sunny" in (await answered(client, CHAT, messages=turns, tools=[WEATHER]))["message"]["content"]


async def test_T16_T17_a_streamed_tool_call_comes_in_fragments_with_an_index(client: httpx.AsyncClient) -> None:
    *deltas, last = await streamed(client, CHAT, **IN_TOKYO)
    assert last == {"delta": {}, "finish_reason": "tool_calls"}
    assert all(frame.keys() == {"delta"} and frame["delta"].keys() == {"tool_calls"} for frame in deltas)
    first, *others = [fragment for frame in deltas for fragment in frame["delta"]["tool_calls"]]
    assert first["index"] == 0
    assert first["id"]
    assert first["type"] == "function"
    assert first["function"]["name"] == "get_weather"
    assert all(fragment.keys() == {"index", "function"} for fragment in others)
    arguments = "".join(fragment["function"].get("arguments", "") for fragment in (first, *others))
    assert json.loads(arguments) == {"location": "Tokyo"}


async def test_T18_T19_models_are_rows_of_four_members(client: httpx.AsyncClient) -> None:
    response = await client.get("/ai/models")
    assert response.status_code == 200
    assert response.json().keys() == {"models"}
    rows = response.json()["models"]
    assert SANDBOX in [row["id"] for row in rows]
    for row in rows:
        assert row.keys() == {"id", "provider", "capabilities", "context_length"}
        assert row["provider"]
        assert row["capabilities"]
        assert row["context_length"] is None or row["context_length"] > 0


async def test_T20_the_seeds_four_models_have_the_seeds_values(keys: KeyStore) -> None:
    environment = {"GEMINI_API_KEY": "test", "OPENAI_API_KEY": "test", "ANTHROPIC_API_KEY": "test"}
    async with gateway_client(keys, environment) as client:
        rows = {row["id"]: row for row in (await client.get("/ai/models")).json()["models"]}
    every = ["chat", "vision", "function_calling"]
    for name, provider, capabilities, context_length in (
        ("gemini-2.5-flash", "google", ["chat", "vision"], 1000000),
        ("gemini-3-pro-preview", "google", every, 2000000),
        ("gpt-5", "openai", every, 256000),
        ("claude-sonnet-4-5", "anthropic", every, 200000),
    ):
        assert rows[name] == {
            "id": name,
            "provider": provider,
            "capabilities": capabilities,
            "context_length": context_length,
        }


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("temperature", [0, 1.5, 2])
async def test_T21_temperature_from_0_to_2_reaches_the_provider(vendor: Vendor, path: str, temperature: float) -> None:
    await vendor.client.post(path, json=asking(path, MODEL, temperature=temperature))
    assert vendor.sent["temperature"] == temperature


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("temperature", [-0.1, 2.1, True, "1"])
async def test_T21_temperature_outside_0_to_2_is_refused(
    client: httpx.AsyncClient, path: str, temperature: Any
) -> None:
    response = await client.post(path, json=asking(path, temperature=temperature))
    assert_error(response, "validation", field="temperature")


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("top_p", [0, 0.5, 1])
async def test_T22_top_p_from_0_to_1_reaches_the_provider(vendor: Vendor, path: str, top_p: float) -> None:
    await vendor.client.post(path, json=asking(path, MODEL, top_p=top_p))
    assert vendor.sent["top_p"] == top_p


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("top_p", [-0.1, 1.1, True, "1"])
async def test_T22_top_p_outside_0_to_1_is_refused(client: httpx.AsyncClient, path: str, top_p: Any) -> None:
    response = await client.post(path, json=asking(path, top_p=top_p))
    assert_error(response, "validation", field="top_p")


@pytest.mark.parametrize("path", ANSWERING)
async def test_T23_max_tokens_limits_the_length(client: httpx.AsyncClient, path: str) -> None:
    body = await answered(client, path, max_tokens=3)
    assert body["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 3
    assert (await streamed(client, path, max_tokens=3))[-1] == {"delta": {}, "finish_reason": "length"}


@pytest.mark.parametrize("path", ANSWERING)
async def test_T23_nothing_is_asked_of_the_provider_that_the_caller_left_out(vendor: Vendor, path: str) -> None:
    await vendor.client.post(path, json=asking(path, MODEL))
    assert vendor.sent.keys() == {"model", "messages"}


@pytest.mark.parametrize("path", ANSWERING)
async def test_T24_the_stream_flag_chooses_how_an_answer_comes(client: httpx.AsyncClient, path: str) -> None:
    for stream, media_type in ((None, "application/json"), (False, "application/json"), (True, "text/event-stream")):
        response = await client.post(path, json=asking(path, stream=stream))
        assert response.headers["content-type"].partition(";")[0] == media_type


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("stream", [False, True])
async def test_T25_T26_a_rate_limit_is_told_with_its_seconds(vendor: Vendor, path: str, stream: bool) -> None:
    vendor.answer = answering(429, b"{}", {"retry-after": "60"})
    response = await vendor.client.post(path, json=asking(path, MODEL, stream=stream))
    assert response.status_code == 429
    assert response.headers["retry-after"] == "60"
    error = response.json()["error"]
    assert error.keys() == {"code", "message", "retry_after", "status"}
    assert (error["code"], error["status"], error["retry_after"]) == ("rate_limit_exceeded", 429, 60)
    assert "60 seconds" in error["message"]


async def test_T25_an_error_without_a_waiting_time_has_no_retry_after(client: httpx.AsyncClient) -> None:
    error = (await client.post(CHAT, json={})).json()["error"]
    assert error.keys() == {"code", "message", "status"}
    assert (error["code"], error["status"]) == ("invalid_request", 400)


async def test_T27_the_system_role_is_honoured(client: httpx.AsyncClient) -> None:
    messages = [{"role": "system", "content": "1234567"}, {"role": "user", "content": "Hello"}]
    body = await answered(client, CHAT, messages=messages)
    assert "My system text has 7 characters." in body["message"]["content"]


async def test_T27_system_text_reaches_the_provider_as_such(vendor: Vendor) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    await vendor.client.post(CHAT, json=asking(CHAT, MODEL, messages=messages))
    assert [(message["role"], message["content"]) for message in vendor.sent["messages"]] == [
        ("system", "Be brief."),
        ("user", "Hello"),
    ]


@pytest.mark.parametrize("path", ANSWERING)
async def test_a_project_id_is_accepted_and_ignored(vendor: Vendor, path: str) -> None:
    response = await vendor.client.post(f"{path}?projectId=p1", json=asking(path, MODEL, projectId="p1"))
    assert response.status_code == 200
    assert "projectId" not in vendor.sent
    assert (await vendor.client.get("/ai/models?projectId=p1")).status_code == 200


async def test_a_stream_tells_no_role_no_id_and_no_model(vendor: Vendor) -> None:
    vendor.answer = lambda request: httpx.Response(200, content=BEGINNING + chunk({}, "stop") + b"data: [DONE]\n\n")
    response = await vendor.client.post(CHAT, json=asking(CHAT, MODEL, stream=True))
    assert frames(response.content) == [
        {"delta": {"content": "Hello"}},
        {"delta": {}, "finish_reason": "stop"},
        "[DONE]",
    ]
