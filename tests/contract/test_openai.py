"""The openai dialect: what CONTRACT.md says of /v1/chat/completions, /v1/completions and /v1/models."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from shared.stores.keys import KeyStore
from tests.client import TOKEN, frames, gateway_client
from tests.contract.vendor import BACKEND, BEGINNING, ENVIRONMENT, HEAD, MODEL, SEEING_MODEL, USAGE, Vendor, chunk
from tests.contract.wire import CHATS, SANDBOX, asking, assert_error, dialect_of, events

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
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


async def answered(client: httpx.AsyncClient, **fields: Any) -> ChatCompletion:
    """The answer of the sandbox, as OpenAI's SDK reads it."""
    response = await client.post(CHAT, json=asking(CHAT, **fields))
    assert response.status_code == 200, response.text
    return ChatCompletion.model_validate(response.json())


async def streamed(client: httpx.AsyncClient, **fields: Any) -> list[ChatCompletionChunk]:
    """The chunks of the sandbox's answer, as OpenAI's SDK reads them."""
    response = await client.post(CHAT, json=asking(CHAT, stream=True, **fields))
    *chunks, done = [event.data for event in events(response)]
    assert done == b"[DONE]"
    return [ChatCompletionChunk.model_validate(json.loads(data)) for data in chunks]


async def sent(vendor: Vendor, model: Any = MODEL, **fields: Any) -> Any:
    """What reaches the vendor of a request."""
    response = await vendor.client.post(CHAT, json=asking(CHAT, model, **fields))
    assert response.status_code == 200, response.text
    return vendor.sent


def image(url: str) -> list[dict[str, Any]]:
    """A message that shows the image at a URL."""
    parts = [{"type": "text", "text": "What is in this image?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


# --- chat completions


async def test_I01_chat_completions_answer_a_chat_completion(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, json=asking(CHAT))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = ChatCompletion.model_validate(response.json())
    (choice,) = answer.choices
    assert choice.index == 0
    assert choice.message.role == "assistant"
    assert "Hello" in (choice.message.content or "")
    assert choice.finish_reason == "stop"


async def test_I02_model_is_required(client: httpx.AsyncClient) -> None:
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    assert_error(await client.post(CHAT, json=body), "validation", field="model")


async def test_I03_messages_are_required(client: httpx.AsyncClient) -> None:
    assert_error(await client.post(CHAT, json={"model": SANDBOX}), "validation", field="messages")
    assert_error(await client.post(CHAT, json=asking(CHAT, messages=[])), "validation", field="messages")


async def test_I04_max_tokens_is_1024_unless_given(vendor: Vendor) -> None:
    assert (await sent(vendor))["max_tokens"] == 1024


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_I04_max_tokens_is_what_is_given(vendor: Vendor, name: str) -> None:
    assert (await sent(vendor, **{name: 5000}))["max_tokens"] == 5000


async def test_I04_the_default_of_max_tokens_is_the_operators_to_set(keys: KeyStore) -> None:
    vendor = Vendor()
    async with gateway_client(keys, {**ENVIRONMENT, "GATEWAY_DEFAULT_MAX_TOKENS": "77"}, vendor) as vendor.client:
        assert (await sent(vendor))["max_tokens"] == 77


async def test_I04_max_tokens_limits_the_answer(client: httpx.AsyncClient) -> None:
    answer = await answered(client, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


@pytest.mark.parametrize("fields", [{}, {"temperature": None}], ids=["absent", "null"])
async def test_I05_temperature_is_1_unless_given(vendor: Vendor, fields: dict[str, Any]) -> None:
    assert (await sent(vendor, **fields))["temperature"] == 1


@pytest.mark.parametrize("temperature", [0, 0.7, 2])
async def test_I06_temperature_from_0_to_2_reaches_the_provider_unchanged(vendor: Vendor, temperature: float) -> None:
    assert (await sent(vendor, temperature=temperature))["temperature"] == temperature


@pytest.mark.parametrize("temperature", [-0.01, 2.01, 1000])
async def test_I06_temperature_outside_0_to_2_is_refused(client: httpx.AsyncClient, temperature: float) -> None:
    response = await client.post(CHAT, json=asking(CHAT, temperature=temperature))
    assert_error(response, "validation", field="temperature")


@pytest.mark.parametrize("fields", [{}, {"stream": None}, {"stream": False}], ids=["absent", "null", "false"])
async def test_I07_an_answer_is_not_streamed_unless_asked_for(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    assert (await answered(client, **fields)).object == "chat.completion"


async def test_I08_the_roles_reach_the_provider(vendor: Vendor) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]
    reached = (await sent(vendor, messages=messages))["messages"]
    assert [(message["role"], message["content"]) for message in reached] == [
        (message["role"], message["content"]) for message in messages
    ]


async def test_I08_developer_text_counts_as_system_text(client: httpx.AsyncClient) -> None:
    messages = [{"role": "developer", "content": "1234567"}, {"role": "user", "content": "Hi"}]
    answer = await answered(client, messages=messages)
    assert "My system text has 7 characters." in (answer.choices[0].message.content or "")


async def test_I09_a_conversation_of_many_turns_is_taken_as_a_whole(client: httpx.AsyncClient) -> None:
    turns = [{"role": role, "content": text} for role, text in (("user", "One"), ("assistant", "Two"))] * 3
    answer = await answered(client, messages=[*turns, {"role": "user", "content": "Last words"}])
    text = answer.choices[0].message.content or ""
    assert "Last words" in text
    assert "turn 4" in text


async def test_I10_the_answer_has_all_members_of_the_object(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, json=asking(CHAT))
    body = response.json()
    assert body.keys() >= {"id", "object", "created", "model", "choices", "usage"}
    assert body["id"].startswith("chatcmpl-")
    assert body["object"] == "chat.completion"
    assert abs(body["created"] - time.time()) < 60
    assert isinstance(body["created"], int)
    assert body["model"] == SANDBOX
    assert body["choices"][0].keys() >= {"index", "message", "finish_reason", "logprobs"}
    usage = body["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_I10_the_providers_answer_comes_through_under_the_gateways_own_names(vendor: Vendor) -> None:
    response = await vendor.client.post(CHAT, json=asking(CHAT, MODEL))
    answer = ChatCompletion.model_validate(response.json())
    assert answer.choices[0].message.content == "Hello there"
    assert answer.model == MODEL
    assert answer.id != HEAD["id"]
    assert answer.usage is not None
    assert {name: getattr(answer.usage, name) for name in USAGE} == USAGE
    assert response.headers["x-gateway-model"] == MODEL
    assert response.headers["x-gateway-backend"] == BACKEND


@pytest.mark.parametrize("stream", [False, True])
async def test_I10_the_answers_model_is_the_id_that_was_sent_also_an_alias(vendor: Vendor, stream: bool) -> None:
    alias = f"openai/{SEEING_MODEL}"
    response = await vendor.client.post(CHAT, json=asking(CHAT, alias, stream=stream))
    bodies = frames(response.content)[:-1] if stream else [response.json()]
    assert {body["model"] for body in bodies} == {alias}
    assert response.headers["x-gateway-model"] == SEEING_MODEL


@pytest.mark.parametrize(
    "data",
    [PNG, PNG.rstrip("="), PNG.replace("+", "-").replace("/", "_")],
    ids=["standard", "unpadded", "urlsafe"],
)
async def test_I12_a_data_uri_reaches_the_provider_in_standard_base64(vendor: Vendor, data: str) -> None:
    reached = await sent(vendor, SEEING_MODEL, messages=image(f"data:image/png;base64,{data}"))
    assert reached["input"][0]["content"][1]["image_url"] == f"data:image/png;base64,{PNG}"


async def test_I12_an_image_in_a_data_uri_is_seen(client: httpx.AsyncClient) -> None:
    answer = await answered(client, messages=image(f"data:image/png;base64,{PNG}"))
    assert "image/png, 1x1 pixels" in (answer.choices[0].message.content or "")


@pytest.mark.parametrize(
    "url",
    ["data:image/png;base64,!!!!", "data:image/png;base64,aGVsbG8=", "data:image/png;base64,", "nonsense", ""],
    ids=["not-base64", "not-an-image", "empty-data", "no-url", "nothing"],
)
async def test_I12_what_is_no_image_is_refused(client: httpx.AsyncClient, url: str) -> None:
    response = await client.post(CHAT, json=asking(CHAT, messages=image(url)))
    assert_error(response, "validation", field="messages[0].content[1].image_url.url")


async def test_I13_a_remote_image_is_answered_with_text(vendor: Vendor) -> None:
    url = "https://upload.wikimedia.org/wikipedia/commons/thumb/d/dd/Gfp-wisconsin.jpg/2560px-Gfp-wisconsin.jpg"
    response = await vendor.client.post(CHAT, json=asking(CHAT, SEEING_MODEL, messages=image(url)))
    assert response.json()["choices"][0]["message"]["content"] == "Hello there"
    assert vendor.sent["input"][0]["content"][1]["image_url"] == url


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://localhost:8443/a.png",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/a.png",
        "https://[2606:4700::5efe:169.254.169.254]/a.png",
        "https://2130706433/a.png",
        "https://0x7f.1:8443/a.png",
        "https://0251.0376.0251.0376/latest/meta-data",
        "https://metadata.google.internal/computeMetadata/v1/",
    ],
)
@pytest.mark.parametrize("model", [SEEING_MODEL, "gemini-2.5-flash"], ids=["passed-on", "fetched"])
async def test_I13_an_image_on_a_private_address_is_not_fetched(keys: KeyStore, model: str, url: str) -> None:
    environment = {**ENVIRONMENT, "GEMINI_API_KEY": "test", "GEMINI_BASE_URL": "https://vendor.test"}
    vendor = Vendor()
    async with gateway_client(keys, environment, vendor) as client:
        response = await client.post(CHAT, json=asking(CHAT, model, messages=image(url)))
    assert response.status_code == 400
    assert not vendor.requests
    error = response.json()["error"]
    assert "image_url" in error["param"]
    told = error["message"].lower()
    assert not any(word in told for word in ("private", "public", "loopback", "address", "127.", "169.", "::"))


@pytest.mark.parametrize("model", [SEEING_MODEL, "gemini-2.5-flash"], ids=["passed-on", "fetched"])
@pytest.mark.parametrize("url", ["http://example.com/a.png", "ftp://example.com/a.png", "file:///etc/passwd"])
async def test_I13_an_image_must_be_at_an_https_url(keys: KeyStore, model: str, url: str) -> None:
    environment = {**ENVIRONMENT, "GEMINI_API_KEY": "test", "GEMINI_BASE_URL": "https://vendor.test"}
    vendor = Vendor()
    async with gateway_client(keys, environment, vendor) as client:
        response = await client.post(CHAT, json=asking(CHAT, model, messages=image(url)))
    assert response.status_code == 400
    assert "image_url" in response.json()["error"]["param"]
    assert not vendor.requests


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer {TOKEN}"},
        {"authorization": "Bearer sgk_a:b:c"},
        {"x-api-key": TOKEN},
    ],
    ids=["bearer", "lower-case", "colons", "x-api-key"],
)
async def test_I14_a_token_comes_as_a_bearer_or_as_an_api_key(
    stranger: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    response = await stranger.post(CHAT, json=asking(CHAT), headers=headers)
    assert response.status_code == 200


async def test_what_else_a_chat_may_ask_for_reaches_the_provider(vendor: Vendor) -> None:
    knobs = {
        "top_p": 0.5,
        "n": 2,
        "stop": ["END", "STOP"],
        "seed": 7,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "logit_bias": {"50256": -100},
        "user": "someone",
        "parallel_tool_calls": False,
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "response_format": {"type": "json_object"},
    }
    reached = await sent(vendor, **knobs)
    assert {name: reached.get(name) for name in knobs} == knobs


async def test_a_single_stop_is_taken_as_a_string_too(vendor: Vendor) -> None:
    assert (await sent(vendor, stop="END"))["stop"] in ("END", ["END"])


async def test_several_candidates_are_numbered(client: httpx.AsyncClient) -> None:
    answer = await answered(client, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 3


async def test_tools_are_called(client: httpx.AsyncClient) -> None:
    messages = [{"role": "user", "content": "What's the weather in Tokyo?"}]
    answer = await answered(client, messages=messages, tools=[WEATHER])
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.model_dump()["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["id"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"location": "Tokyo"}


async def test_a_tools_result_is_taken_up(client: httpx.AsyncClient) -> None:
    messages: list[Any] = [{"role": "user", "content": "What's the weather in Tokyo?"}]
    response = await client.post(CHAT, json=asking(CHAT, messages=messages, tools=[WEATHER]))
    calling = response.json()["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": calling["tool_calls"][0]["id"], "content": "Sunny"}
    answer = await answered(client, messages=[*messages, calling, result], tools=[WEATHER])
    assert "get_weather" in (answer.choices[0].message.content or "")
    assert "Sunny" in (answer.choices[0].message.content or "")


async def test_json_is_answered_by_schema(client: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    answer = await answered(client, response_format=wanted)
    assert isinstance(json.loads(answer.choices[0].message.content or "")["age"], int)


async def test_logprobs_are_given_where_asked_for(client: httpx.AsyncClient) -> None:
    answer = await answered(client, logprobs=True, top_logprobs=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert "".join(token.token for token in logprobs.content or ()) == answer.choices[0].message.content
    assert all(len(token.top_logprobs) == 2 for token in logprobs.content or ())
    assert (await answered(client)).choices[0].logprobs is None


# --- streamed


async def test_a_stream_has_one_head_the_role_first_and_the_reason_last(client: httpx.AsyncClient) -> None:
    chunks = await streamed(client)
    assert {(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks} == {
        (chunks[0].id, chunks[0].created, SANDBOX, "chat.completion.chunk")
    }
    assert chunks[0].id.startswith("chatcmpl-")
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[-1].choices[0].delta.model_dump(exclude_unset=True) == {}


async def test_a_stream_says_what_the_whole_answer_says(client: httpx.AsyncClient) -> None:
    whole = await answered(client)
    chunks = await streamed(client)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 4


async def test_a_stream_tells_the_usage_only_where_asked_for(client: httpx.AsyncClient) -> None:
    without = await streamed(client)
    assert all(len(chunk.choices) == 1 for chunk in without)
    assert all(chunk.usage is None for chunk in without)
    *chunks, last = await streamed(client, stream_options={"include_usage": True})
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    assert last.choices == []
    assert last.usage == (await answered(client)).usage


async def test_a_streamed_tool_call_names_itself_in_its_first_fragment(client: httpx.AsyncClient) -> None:
    messages = [{"role": "user", "content": "What's the weather in Tokyo and Paris?"}]
    chunks = await streamed(client, messages=messages, tools=[WEATHER])
    fragments = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    calls: dict[int, list[Any]] = {}
    for fragment in fragments:
        calls.setdefault(fragment.index, []).append(fragment)
    assert sorted(calls) == [0, 1]
    for first, *others in calls.values():
        assert first.id
        assert first.type == "function"
        assert first.function.name == "get_weather"
        assert all((other.id, other.type, other.function.name) == (None, None, None) for other in others)
    arguments = ["".join(piece.function.arguments or "" for piece in pieces) for pieces in calls.values()]
    assert list(map(json.loads, arguments)) == [{"location": "Tokyo"}, {"location": "Paris"}]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_the_streams_of_several_candidates_are_told_apart_by_index(client: httpx.AsyncClient) -> None:
    whole = await answered(client, n=2)
    chunks = await streamed(client, n=2)
    texts = {0: "", 1: ""}
    finished = []
    for piece in chunks:
        (choice,) = piece.choices
        texts[choice.index] += choice.delta.content or ""
        finished += [choice.index] * (choice.finish_reason is not None)
    assert texts == {choice.index: choice.message.content for choice in whole.choices}
    assert sorted(finished) == [0, 1]


async def test_a_streamed_answer_is_asked_for_as_a_stream(vendor: Vendor) -> None:
    response = await vendor.client.post(CHAT, json=asking(CHAT, MODEL, stream=True))
    assert vendor.sent["stream"] is True
    contents = [body["choices"][0]["delta"].get("content") for body in frames(response.content)[:-1]]
    assert [text for text in contents if text] == ["Hello", " there"]


async def test_what_a_model_thinks_is_told_beside_what_it_says(vendor: Vendor) -> None:
    thought = chunk({"role": "assistant", "reasoning_content": "Let me think."})
    vendor.answer = lambda request: httpx.Response(
        200, content=thought + BEGINNING + chunk({}, "stop") + b"data: [DONE]\n\n"
    )
    response = await vendor.client.post(CHAT, json=asking(CHAT, MODEL, stream=True))
    deltas = [body["choices"][0]["delta"] for body in frames(response.content)[:-1]]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "Let me think."
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hello"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_content_filter_ends_a_chat_with_its_own_reason(client: httpx.AsyncClient, stream: bool) -> None:
    messages = [{"role": "user", "content": "[sandbox:filter] Hello"}]
    if stream:
        assert (await streamed(client, messages=messages))[-1].choices[0].finish_reason == "content_filter"
    else:
        assert (await answered(client, messages=messages)).choices[0].finish_reason == "content_filter"


# --- text completions


async def test_a_text_completion_is_the_legacy_object(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/completions", json={"model": SANDBOX, "prompt": "Hello"})
    assert response.status_code == 200, response.text
    answer = Completion.model_validate(response.json())
    assert answer.id.startswith("cmpl-")
    assert answer.object == "text_completion"
    assert abs(answer.created - time.time()) < 60
    assert answer.model == SANDBOX
    (choice,) = answer.choices
    assert "Hello" in choice.text
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_a_text_completion_reaches_a_chat_model_as_one_user_turn(vendor: Vendor) -> None:
    await vendor.client.post("/v1/completions", json={"model": MODEL, "prompt": "Hello"})
    assert [(message["role"], message["content"]) for message in vendor.sent["messages"]] == [("user", "Hello")]
    assert vendor.sent["temperature"] == 1
    assert vendor.sent["max_tokens"] == 1024


async def test_every_prompt_of_a_text_completion_gets_n_choices(client: httpx.AsyncClient) -> None:
    body = {"model": SANDBOX, "prompt": ["One", "Two"], "n": 2, "echo": True}
    answer = Completion.model_validate((await client.post("/v1/completions", json=body)).json())
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert [choice.text[:3] for choice in answer.choices] == ["One", "One", "Two", "Two"]


async def test_a_text_completion_streams_text(client: httpx.AsyncClient) -> None:
    body = {"model": SANDBOX, "prompt": "Hello"}
    whole = (await client.post("/v1/completions", json=body)).json()
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last, done = frames((await client.post("/v1/completions", json=asked)).content)
    assert done == "[DONE]"
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert {(chunk["id"], chunk["object"], chunk["model"]) for chunk in chunks} == {
        (last["id"], "text_completion", SANDBOX)
    }
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]


# --- models


async def test_I21_models_are_a_list_object(vendor: Vendor) -> None:
    response = await vendor.client.get("/v1/models")
    assert response.status_code == 200
    body = response.json()
    assert body["object"] == "list"
    models = {row["id"]: Model.model_validate(row) for row in body["data"]}
    assert models.keys() >= {"gpt-5", "gpt-5-mini", "gpt-4o-mini", "text-embedding-3-small", "whisper-1", MODEL}
    assert all(model.object == "model" and model.created > 0 for model in models.values())
    assert all(row.keys() >= {"capabilities", "context_length"} for row in body["data"])


async def test_I21_only_models_of_configured_providers_are_listed(vendor: Vendor, keys: KeyStore) -> None:
    listed = [row["id"] for row in (await vendor.client.get("/v1/models")).json()["data"]]
    assert not [name for name in listed if name.startswith(("gemini", "claude", "sandbox/"))]
    async with gateway_client(keys) as client:
        listed = [row["id"] for row in (await client.get("/v1/models")).json()["data"]]
    assert listed
    assert all(name.startswith("sandbox/") for name in listed)


async def test_I21_the_list_tells_the_vendors_model_behind_a_public_id(vendor: Vendor) -> None:
    row = (await vendor.client.get(f"/v1/models/{MODEL}")).json()
    assert f"deepinfra/{row['upstream']}" == BACKEND
    assert row["upstream"] != MODEL


async def test_I21_the_list_tells_when_the_vendors_model_ends_and_whether_it_has_ended(
    keys: KeyStore, tmp_path: Path
) -> None:
    row = "[[models]]\nid = '{}'\nprovider = 'sandbox'\nretires = {}\n"
    (tmp_path / "rows.toml").write_text(row.format("past", "2020-01-01") + row.format("future", "9999-12-31"))
    environment = {"GATEWAY_SANDBOX": "on", "GATEWAY_CATALOG": str(tmp_path / "rows.toml")}
    async with gateway_client(keys, environment) as client:
        listed = {row["id"]: row for row in (await client.get("/v1/models")).json()["data"]}
        told = {name: (listed[name]["retires"], listed[name]["retired"]) for name in ("past", "future", "sandbox/chat")}
        assert told == {"past": ("2020-01-01", True), "future": ("9999-12-31", False), "sandbox/chat": (None, False)}
        assert (await client.get("/v1/models/past")).json() == listed["past"]


async def test_I22_models_say_who_owns_them(keys: KeyStore) -> None:
    environment = {**ENVIRONMENT, "GEMINI_API_KEY": "test", "ANTHROPIC_API_KEY": "test"}
    async with gateway_client(keys, environment) as client:
        rows = (await client.get("/v1/models")).json()["data"]
    owners = {row["id"]: row["owned_by"] for row in rows}
    assert all(owners.values())
    assert owners["gemini-2.5-flash"] == "google"
    assert owners["claude-sonnet-4-5"] == "anthropic"
    assert owners["gpt-5"] == "openai"
    assert owners[MODEL] == "deepseek"


@pytest.mark.parametrize("path", CHATS)
async def test_I23_an_id_with_a_slash_works_in_every_dialect(vendor: Vendor, path: str) -> None:
    response = await vendor.client.post(path, json=asking(path, MODEL))
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["data"] if dialect_of(path) == "envelope" else body)["model"] == MODEL
    assert response.headers["x-gateway-model"] == MODEL


@pytest.mark.parametrize("path", [f"/v1/models/{MODEL}", f"/v1/models/{MODEL.replace('/', '%2F')}"])
async def test_I23_an_id_with_a_slash_may_stand_in_a_path(vendor: Vendor, path: str) -> None:
    response = await vendor.client.get(path)
    assert response.status_code == 200
    assert Model.model_validate(response.json()).id == MODEL


async def test_I23_a_vendors_own_models_are_reached_under_its_name(vendor: Vendor) -> None:
    reached = await sent(vendor, "openai/gpt-from-tomorrow")
    assert reached["model"] == "gpt-from-tomorrow"


async def test_A17_the_list_of_models_tells_which_make_images_and_each_is_found_by_its_id(vendor: Vendor) -> None:
    rows = (await vendor.client.get("/v1/models")).json()["data"]
    assert "gpt-image-1" in [row["id"] for row in rows if "image_generation" in row["capabilities"]]
    for row in rows:
        assert (await vendor.client.get(f"/v1/models/{row['id']}")).json() == row
