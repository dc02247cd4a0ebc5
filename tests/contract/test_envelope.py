"""The envelope dialect: what CONTRACT.md says of /v1/inference/chat and /v1/inference/generate."""

import json
from typing import Any

import httpx
import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.client import frames
from tests.contract.vendor import BACKEND, MODEL, SEEING_MODEL, Vendor, answering, breaking
from tests.contract.wire import SANDBOX, asking, assert_broken_stream, assert_error, events

pytestmark = pytest.mark.anyio

CHAT = "/v1/inference/chat"
GENERATE = "/v1/inference/generate"
ANSWERING = [CHAT, GENERATE]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get weather for a location",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
    },
}
POWERLESS = {"authorization": "Bearer sk-powerless"}


async def answered(client: httpx.AsyncClient, path: str, **fields: Any) -> Any:
    """What an answer's envelope holds."""
    response = await client.post(path, json=asking(path, **fields))
    assert response.status_code == 200, response.text
    return response.json()["data"]


async def sent(vendor: Vendor, path: Any = CHAT, **fields: Any) -> Any:
    """What reaches the vendor of a request."""
    response = await vendor.client.post(path, json=asking(path, MODEL, **fields))
    assert response.status_code == 200, response.text
    return vendor.sent


@pytest.mark.parametrize("path", ANSWERING)
async def test_S01_a_key_needs_the_permission_to_use_models(stranger: httpx.AsyncClient, path: str) -> None:
    response = await stranger.post(path, json=asking(path), headers=POWERLESS)
    assert "models:use" in assert_error(response, "permission")


async def test_S02_a_chat_is_answered_with_openais_object(client: httpx.AsyncClient) -> None:
    data = await answered(client, CHAT)
    answer = ChatCompletion.model_validate(data)
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.model == SANDBOX
    assert "Hello" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("missing", ["model", "messages"])
async def test_S03_model_and_messages_are_required(client: httpx.AsyncClient, missing: str) -> None:
    body = asking(CHAT)
    del body[missing]
    assert_error(await client.post(CHAT, json=body), "validation", field=missing)
    assert_error(await client.post(CHAT, json={**body, missing: None}), "validation", field=missing)


async def test_S03_every_field_that_is_wrong_is_named_at_once(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, json=asking(CHAT, model=5, temperature=3, top_p=True))
    assert_error(response, "validation")
    details = response.json()["error"]["details"]
    assert {detail["field"] for detail in details} == {"model", "temperature", "top_p"}
    assert all(detail["message"] for detail in details)


async def test_S04_every_optional_field_reaches_the_provider(vendor: Vendor) -> None:
    fields = {
        "max_tokens": 50,
        "temperature": 0.3,
        "top_p": 0.8,
        "stop": ["END"],
        "seed": 7,
        "tools": [WEATHER],
        "tool_choice": "required",
    }
    reached = await sent(vendor, **fields, metadata={"team": "blue"}, stream=False)
    assert {name: reached.get(name) for name in fields} == fields


async def test_S04_every_optional_field_may_be_null(vendor: Vendor) -> None:
    names = ("max_tokens", "temperature", "top_p", "stop", "seed", "stream", "tools", "tool_choice", "metadata")
    assert (await sent(vendor, **dict.fromkeys(names))).keys() == {"model", "messages"}


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("stop", ["END", ["END"], ["END", "STOP"]])
async def test_S05_stop_is_a_string_or_an_array(vendor: Vendor, path: str, stop: Any) -> None:
    reached = await sent(vendor, path, stop=stop)
    assert reached["stop"] in (stop, [stop])


async def test_S05_stop_ends_the_answer(client: httpx.AsyncClient) -> None:
    whole = (await answered(client, CHAT))["choices"][0]["message"]["content"]
    choice = (await answered(client, CHAT, stop=["Hello"]))["choices"][0]
    assert choice["message"]["content"] == whole.partition("Hello")[0]
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("stop", [5, [5], {"a": "b"}, True])
async def test_S05_any_other_stop_is_refused(client: httpx.AsyncClient, path: str, stop: Any) -> None:
    response = await client.post(path, json=asking(path, stop=stop))
    assert_error(response, "validation", field="stop[0]" if isinstance(stop, list) else "stop")


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("fields", [{}, {"temperature": None}], ids=["absent", "null"])
async def test_S06_temperature_is_the_providers_unless_given(vendor: Vendor, path: str, fields: dict[str, Any]) -> None:
    assert "temperature" not in await sent(vendor, path, **fields)


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("fields", [{}, {"stream": None}, {"stream": False}], ids=["absent", "null", "false"])
async def test_S07_an_answer_is_not_streamed_unless_asked_for(
    client: httpx.AsyncClient, path: str, fields: dict[str, Any]
) -> None:
    response = await client.post(path, json=asking(path, **fields))
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "choice", ["auto", "none", "required", {"type": "function", "function": {"name": "get_weather"}}]
)
async def test_S08_tool_choice_is_a_string_or_an_object(vendor: Vendor, choice: Any) -> None:
    assert (await sent(vendor, tools=[WEATHER], tool_choice=choice))["tool_choice"] == choice


@pytest.mark.parametrize("choice", ["sometimes", 5, [], {"type": "function", "function": {"name": "nobody"}}])
async def test_S08_any_other_tool_choice_is_refused(client: httpx.AsyncClient, choice: Any) -> None:
    response = await client.post(CHAT, json=asking(CHAT, tools=[WEATHER], tool_choice=choice))
    assert_error(response, "validation")
    assert response.json()["error"]["details"][0]["field"].startswith("tool_choice")


async def test_S08_the_chosen_tool_is_called(client: httpx.AsyncClient) -> None:
    other = {"type": "function", "function": {"name": "other"}}
    choice = {"type": "function", "function": {"name": "other"}}
    data = await answered(client, CHAT, tools=[WEATHER, other], tool_choice=choice)
    assert [call["function"]["name"] for call in data["choices"][0]["message"]["tool_calls"]] == ["other"]


@pytest.mark.parametrize("metadata", [{}, {"team": "blue"}, {"team": "blue", "run": 7, "tags": ["a"]}])
async def test_S09_metadata_is_an_object(client: httpx.AsyncClient, metadata: Any) -> None:
    await answered(client, CHAT, metadata=metadata)


@pytest.mark.parametrize("metadata", ["blue", 5, ["blue"]])
async def test_S09_any_other_metadata_is_refused(client: httpx.AsyncClient, metadata: Any) -> None:
    response = await client.post(CHAT, json=asking(CHAT, metadata=metadata))
    assert_error(response, "validation", field="metadata")


async def test_S10_S11_a_stream_is_openais_without_an_envelope(client: httpx.AsyncClient) -> None:
    whole = (await answered(client, CHAT))["choices"][0]["message"]["content"]
    response = await client.post(CHAT, json=asking(CHAT, stream=True))
    *datas, done = [event.data for event in events(response)]
    assert done == b"[DONE]"
    chunks = [ChatCompletionChunk.model_validate(json.loads(data)) for data in datas]
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(len(chunk.choices) == 1 for chunk in chunks)


@pytest.mark.parametrize("path", ANSWERING)
async def test_S11_S12_an_error_in_a_stream_is_an_error_event_and_then_done(vendor: Vendor, path: str) -> None:
    vendor.answer = breaking(httpx.ReadError("reset"))
    response = await vendor.client.post(path, json=asking(path, MODEL, stream=True))
    assert_broken_stream(response, "upstream")
    head, _, tail = response.text.partition("event: error\n")
    assert "Hello" in head
    data, _, rest = tail.partition("\n\n")
    error = json.loads(data.removeprefix("data: "))
    assert error.keys() == {"code", "message"}
    assert error["code"] == "BACKEND_ERROR"
    assert rest == "data: [DONE]\n\n"


async def test_S12_the_sandbox_breaks_off_where_it_is_told_to(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, json=asking(CHAT, "sandbox/fail-midstream", stream=True))
    assert_broken_stream(response, "upstream")


async def test_S13_generate_takes_a_prompt_and_answers_a_text_completion(client: httpx.AsyncClient) -> None:
    data = await answered(client, GENERATE, prompt="Once upon a time")
    answer = Completion.model_validate(data)
    assert answer.object == "text_completion"
    assert answer.model == SANDBOX
    (choice,) = answer.choices
    assert "Once upon a time" in choice.text
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert data["usage"]["total_tokens"] == data["usage"]["prompt_tokens"] + data["usage"]["completion_tokens"]


async def test_S13_generates_fields_reach_the_provider(vendor: Vendor) -> None:
    fields = {"max_tokens": 50, "temperature": 0.3, "stop": ["END"], "seed": 7}
    reached = await sent(vendor, GENERATE, **fields)
    assert {name: reached.get(name) for name in fields} == fields
    assert [(message["role"], message["content"]) for message in reached["messages"]] == [("user", "Hello")]


@pytest.mark.parametrize("missing", ["model", "prompt"])
async def test_S13_a_prompt_and_a_model_are_required(client: httpx.AsyncClient, missing: str) -> None:
    response = await client.post(GENERATE, json=asking(GENERATE, **{missing: None}))
    assert_error(response, "validation", field=missing)


async def test_S13_generate_streams_text(client: httpx.AsyncClient) -> None:
    whole = (await answered(client, GENERATE))["choices"][0]["text"]
    response = await client.post(GENERATE, json=asking(GENERATE, stream=True))
    *chunks, done = frames(response.content)
    assert done == "[DONE]"
    assert {(chunk["id"], chunk["object"]) for chunk in chunks} == {(chunks[0]["id"], "text_completion")}
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("path", ANSWERING)
async def test_S30_a_success_comes_in_an_envelope(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json=asking(path), headers={"x-request-id": "my-id"})
    assert response.status_code == 200
    body = response.json()
    assert body.keys() == {"status", "data", "meta"}
    assert body["status"] == "ok"
    assert body["meta"] == {"request_id": "my-id"}


@pytest.mark.parametrize("path", ANSWERING)
async def test_S31_an_error_comes_in_an_envelope(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json=asking(path, "nobody"), headers={"x-request-id": "my-id"})
    assert response.status_code == 404
    body = response.json()
    assert body.keys() == {"status", "error", "meta"}
    assert body["status"] == "error"
    assert body["error"].keys() == {"code", "message"}
    assert body["error"]["code"] == "MODEL_NOT_FOUND"
    assert body["meta"] == {"request_id": "my-id"}


@pytest.mark.parametrize("path", ANSWERING)
async def test_S32_an_authorization_is_required(stranger: httpx.AsyncClient, path: str) -> None:
    assert_error(await stranger.post(path, json=asking(path)), "token_missing")
    unknown = {"authorization": "Bearer sk-nobody"}
    assert_error(await stranger.post(path, json=asking(path), headers=unknown), "token_invalid")


@pytest.mark.parametrize("stream", [False, True])
async def test_S33_the_callers_request_id_is_echoed_and_goes_upstream(vendor: Vendor, stream: bool) -> None:
    headers = {"x-request-id": "trace:1.a-B_2"}
    response = await vendor.client.post(CHAT, json=asking(CHAT, MODEL, stream=stream), headers=headers)
    assert response.headers["x-request-id"] == "trace:1.a-B_2"
    assert response.headers["x-scaigrid-request-id"] == "trace:1.a-B_2"
    assert vendor.requests[0].headers["x-request-id"] == "trace:1.a-B_2"


async def test_S33_a_request_without_an_id_gets_one_of_its_own(client: httpx.AsyncClient) -> None:
    ids = {(await client.post(CHAT, json=asking(CHAT))).json()["meta"]["request_id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(ids)


@pytest.mark.parametrize("path", [*ANSWERING, "/v1/inference", "/v1/inference/nothing"])
@pytest.mark.parametrize("body", ["{", json.dumps(asking(CHAT)), json.dumps(asking(GENERATE, "nobody", stream=True))])
async def test_S34_every_answer_has_its_request_id_in_the_dialects_own_header(
    client: httpx.AsyncClient, path: str, body: str
) -> None:
    response = await client.post(path, content=body, headers={"x-request-id": "my-id"})
    assert response.headers["x-scaigrid-request-id"] == response.headers["x-request-id"] == "my-id"


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("stream", [False, True])
async def test_S35_S36_headers_name_the_model_and_the_backend(vendor: Vendor, path: str, stream: bool) -> None:
    response = await vendor.client.post(path, json=asking(path, MODEL, stream=stream))
    assert response.headers["x-scaigrid-model"] == response.headers["x-gateway-model"] == MODEL
    assert response.headers["x-scaigrid-backend"] == response.headers["x-gateway-backend"] == BACKEND


async def test_S35_S36_an_alias_is_answered_under_the_models_own_name(vendor: Vendor) -> None:
    response = await vendor.client.post(CHAT, json=asking(CHAT, f"openai/{SEEING_MODEL}"))
    assert response.headers["x-scaigrid-model"] == SEEING_MODEL
    assert response.headers["x-scaigrid-backend"] == f"openai/{vendor.sent['model']}"


async def test_S35_S36_a_failure_of_the_provider_names_both_too(vendor: Vendor) -> None:
    vendor.answer = answering(500)
    response = await vendor.client.post(CHAT, json=asking(CHAT, MODEL))
    assert_error(response, "upstream")
    assert response.headers["x-scaigrid-model"] == MODEL
    assert response.headers["x-scaigrid-backend"] == BACKEND


async def test_S35_S36_before_a_model_is_chosen_neither_is_named(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, json=asking(CHAT, "nobody"))
    assert not {"x-scaigrid-model", "x-scaigrid-backend", "x-gateway-model"} & set(response.headers)


@pytest.mark.parametrize("path", ANSWERING)
@pytest.mark.parametrize("stream", [False, True])
async def test_S37_a_rate_limit_says_when_to_come_back(vendor: Vendor, path: str, stream: bool) -> None:
    vendor.answer = answering(429, b"{}", {"retry-after": "17"})
    response = await vendor.client.post(path, json=asking(path, MODEL, stream=stream))
    assert_error(response, "rate_limited", retry_after=17)


@pytest.mark.parametrize("given", [None, "0", "-5", "0.2", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_S37_a_rate_limit_without_a_fit_time_of_its_own_gets_one(vendor: Vendor, given: str | None) -> None:
    vendor.answer = answering(429, b"{}", {} if given is None else {"retry-after": given})
    response = await vendor.client.post(CHAT, json=asking(CHAT, MODEL))
    assert response.status_code == 429
    seconds = response.headers["retry-after"]
    assert seconds.isdigit()
    assert int(seconds) >= 1
    assert response.json()["error"]["retry_after"] == int(seconds)
