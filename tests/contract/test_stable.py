"""The stable dialect: what CONTRACT.md says of /v1/chat/completions/stable."""

import json
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from shared.stores.keys import KeyStore
from tests.client import TOKEN, gateway_client
from tests.contract.vendor import BACKEND, ENVIRONMENT, MODEL, SEEING_MODEL, Vendor
from tests.contract.wire import SANDBOX, asking, assert_error, events

pytestmark = pytest.mark.anyio

STABLE = "/v1/chat/completions/stable"
MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Explain black holes in one sentence."},
]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


async def sent(vendor: Vendor, **fields: Any) -> Any:
    """What reaches the vendor of a request."""
    response = await vendor.client.post(STABLE, json=asking(STABLE, MODEL, **fields))
    assert response.status_code == 200, response.text
    return vendor.sent


async def test_Z01_Z12_the_seeds_request_is_answered_with_a_chat_completion(client: httpx.AsyncClient) -> None:
    response = await client.post(STABLE, json={"messages": MESSAGES, "temperature": 0.7})
    assert response.status_code == 200, response.text
    body = response.json()
    answer = ChatCompletion.model_validate(body)
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    (choice,) = answer.choices
    assert (choice.index, choice.message.role, choice.finish_reason) == (0, "assistant", "stop")
    assert "black holes" in (choice.message.content or "")


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic c2stdGVzdA==", TOKEN, f"Token {TOKEN}", f"Bearer:{TOKEN}"],
)
async def test_Z02_a_missing_or_malformed_authorization_is_refused(
    stranger: httpx.AsyncClient, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    response = await stranger.post(STABLE, json={"messages": MESSAGES}, headers=headers)
    assert_error(response, "token_missing")


async def test_Z02_an_unknown_token_is_refused(stranger: httpx.AsyncClient) -> None:
    response = await stranger.post(STABLE, json={"messages": MESSAGES}, headers={"authorization": "Bearer sk-nobody"})
    assert_error(response, "token_invalid")


@pytest.mark.parametrize("body", [{}, {"messages": None}, {"messages": []}], ids=["absent", "null", "empty"])
async def test_Z03_messages_are_required(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert_error(await client.post(STABLE, json=body), "validation", field="messages")


async def test_Z04_content_may_be_an_array_of_parts(client: httpx.AsyncClient) -> None:
    content = [
        {"type": "text", "text": "What is in this image?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
    ]
    response = await client.post(STABLE, json={"messages": [{"role": "user", "content": content}]})
    assert response.status_code == 200, response.text
    text = response.json()["choices"][0]["message"]["content"]
    assert "What is in this image?" in text
    assert "image/png, 1x1 pixels" in text


@pytest.mark.parametrize("fields", [{}, {"model": None}, {"model": "Auto"}], ids=["absent", "null", "Auto"])
async def test_Z05_without_a_model_the_gateway_chooses_and_says_which(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    response = await client.post(STABLE, json={"messages": MESSAGES, **fields})
    assert response.status_code == 200, response.text
    assert response.json()["model"] == SANDBOX
    assert response.headers["x-gateway-model"] == SANDBOX


async def test_Z05_the_sandbox_is_only_chosen_where_there_is_no_real_provider(keys: KeyStore) -> None:
    vendor = Vendor()
    async with gateway_client(keys, {**ENVIRONMENT, "GATEWAY_SANDBOX": "on"}, vendor) as client:
        response = await client.post(STABLE, json={"messages": MESSAGES})
    assert response.status_code == 200, response.text
    assert vendor.requests
    chosen = response.headers["x-gateway-model"]
    assert not chosen.startswith("sandbox/")
    assert response.json()["model"] == chosen


async def test_Z05_the_choice_can_do_what_the_request_needs(keys: KeyStore) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name.startswith("DEEPINFRA")}
    vendor = Vendor()
    content = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]
    async with gateway_client(keys, environment, vendor) as client:
        text = await client.post(STABLE, json={"messages": MESSAGES})
        image = await client.post(STABLE, json={"messages": [{"role": "user", "content": content}]})
    assert text.json()["model"] == MODEL  # which cannot see
    assert image.status_code == 200, image.text
    assert image.json()["model"] != MODEL


async def test_Z05_a_model_may_be_named(vendor: Vendor) -> None:
    response = await vendor.client.post(STABLE, json={"messages": MESSAGES, "model": MODEL})
    assert response.json()["model"] == MODEL
    assert response.headers["x-gateway-backend"] == BACKEND


@pytest.mark.parametrize("fields", [{}, {"temperature": None}], ids=["absent", "null"])
async def test_Z06_temperature_is_0_unless_given(vendor: Vendor, fields: dict[str, Any]) -> None:
    assert (await sent(vendor, **fields))["temperature"] == 0.0


@pytest.mark.parametrize("temperature", [0, 0.7, 2])
async def test_Z07_temperature_from_0_to_2_reaches_the_provider_unchanged(vendor: Vendor, temperature: float) -> None:
    assert (await sent(vendor, temperature=temperature))["temperature"] == temperature


@pytest.mark.parametrize("temperature", [-0.1, 2.1, "0.5", True, [0.5]])
async def test_Z07_temperature_outside_0_to_2_is_refused(client: httpx.AsyncClient, temperature: Any) -> None:
    response = await client.post(STABLE, json={"messages": MESSAGES, "temperature": temperature})
    assert_error(response, "validation", field="temperature")


@pytest.mark.parametrize("fields", [{}, {"top_p": None}], ids=["absent", "null"])
async def test_Z08_top_p_is_095_unless_given(vendor: Vendor, fields: dict[str, Any]) -> None:
    assert (await sent(vendor, **fields))["top_p"] == 0.95


async def test_Z08_top_p_is_what_is_given(vendor: Vendor) -> None:
    assert (await sent(vendor, top_p=0.5))["top_p"] == 0.5


@pytest.mark.parametrize("fields", [{}, {"max_tokens": None}], ids=["absent", "null"])
async def test_Z09_the_length_is_not_capped_unless_asked_for(vendor: Vendor, fields: dict[str, Any]) -> None:
    reached = await sent(vendor, **fields)
    assert not reached.keys() & {"max_tokens", "max_completion_tokens"}


async def test_Z09_max_tokens_is_what_is_given(vendor: Vendor) -> None:
    assert (await sent(vendor, max_tokens=7))["max_tokens"] == 7


async def test_Z09_max_tokens_limits_the_answer(client: httpx.AsyncClient) -> None:
    body = (await client.post(STABLE, json={"messages": MESSAGES, "max_tokens": 4})).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize("fields", [{}, {"stream": None}, {"stream": False}], ids=["absent", "null", "false"])
async def test_Z10_an_answer_is_not_streamed_unless_asked_for(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    response = await client.post(STABLE, json={"messages": MESSAGES, **fields})
    assert response.headers["content-type"] == "application/json"
    ChatCompletion.model_validate(response.json())


async def test_Z11_a_stream_is_openais(client: httpx.AsyncClient) -> None:
    whole = (await client.post(STABLE, json={"messages": MESSAGES})).json()
    response = await client.post(STABLE, json={"messages": MESSAGES, "stream": True})
    *datas, done = [event.data for event in events(response)]
    assert done == b"[DONE]"
    chunks = [ChatCompletionChunk.model_validate(json.loads(data)) for data in datas]
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_Z13_usage_has_three_counts_that_add_up(client: httpx.AsyncClient) -> None:
    usage = (await client.post(STABLE, json={"messages": MESSAGES})).json()["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_the_defaults_do_not_stand_in_the_way_of_a_model_that_refuses_them(vendor: Vendor) -> None:
    body = {"messages": MESSAGES, "model": "gpt-6-astra"}  # takes no temperature but its own
    response = await vendor.client.post(STABLE, json=body)
    assert response.status_code == 200, response.text
    assert not vendor.sent.keys() & {"temperature", "top_p"}


async def test_an_alias_is_echoed(vendor: Vendor) -> None:
    body = {"messages": MESSAGES, "model": f"openai/{SEEING_MODEL}"}
    assert (await vendor.client.post(STABLE, json=body)).json()["model"] == f"openai/{SEEING_MODEL}"
