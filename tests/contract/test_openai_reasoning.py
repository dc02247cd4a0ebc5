"""OpenAI's reasoning models in every dialect: tools and reasoning together, over tool rounds."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.client import frames, gateway_client
from tests.contract.accounts import account
from tests.contract.vendor import ENVIRONMENT, Vendor, hello
from tests.contract.wire import asking, assert_broken_stream, assert_error
from tests.providers.wires import openai_responses as wire

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
STABLE = "/v1/chat/completions/stable"
COMPACT = "/ai/chat"
ENVELOPE = "/v1/inference/chat"
DIALECTS = [CHAT, STABLE, COMPACT, ENVELOPE]
MODELS = ["gpt-6-sol", "gpt-6.1-sol", "gpt-6-astra", "gpt-6.1-terra", "gpt-5", "gpt-5-mini", "gpt-5-nano"]
HELLO = {"role": "user", "content": "The weather in Oslo?"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    vendor = Vendor(hello)
    async with gateway_client(keys, ENVIRONMENT, vendor) as vendor.client:
        yield vendor


def answering(name: str) -> Any:
    """One of the answers of the provider suite, whole or streamed."""
    answer = wire.ANSWERS[name]

    def handle(request: httpx.Request) -> httpx.Response:
        streamed = json.loads(request.content).get("stream")
        return httpx.Response(200, content=answer.stream if streamed else answer.body)

    return handle


def message_of(path: str, body: Any) -> Any:
    """The assistant's message of a whole answer."""
    if path == COMPACT:
        return body["message"]
    return (body["data"] if path == ENVELOPE else body)["choices"][0]["message"]


def assembled(path: str, chunks: list[Any]) -> Any:
    """The message that a client makes of a stream, its reasoning details and tool calls joined by their indexes."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    details: dict[int, Any] = {}
    calls: dict[int, Any] = {}
    for chunk in chunks[:-1]:
        delta = chunk["delta"] if path == COMPACT else (chunk["choices"] or [{"delta": {}}])[0]["delta"]
        message["content"] += delta.get("content") or ""
        for detail in delta.get("reasoning_details", ()):
            known = details.setdefault(detail["index"], {})
            text = known.get("text", "") + (detail.get("text") or "")
            known.update({name: value for name, value in detail.items() if value is not None})
            known.update({"text": text} if text else {})
        for call in delta.get("tool_calls", ()):
            known = calls.setdefault(call["index"], {"function": {"arguments": ""}})
            known["id"] = call.get("id") or known["id"]
            function = call["function"]
            known["function"]["name"] = function.get("name") or known["function"]["name"]
            known["function"]["arguments"] += function.get("arguments") or ""
    typed = [{**call, "type": "function"} for call in calls.values()]
    return {**message, "reasoning_details": list(details.values()), "tool_calls": typed}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", DIALECTS)
async def test_P21_tools_keep_their_reasoning_through_a_tool_round(vendor: Vendor, path: str, stream: bool) -> None:
    vendor.answer = answering("reasoning")
    asked = {"messages": [HELLO], "tools": TOOLS, "stream": stream}
    response = await vendor.client.post(path, json=asking(path, "gpt-6-sol", **asked))
    assert response.status_code == 200, response.text
    sent = vendor.sent
    assert vendor.requests[0].url.path == "/v1/responses"
    wire.validate_request(sent)
    assert sent["tools"][0]["name"] == "get_weather"
    assert (sent["store"], sent["include"]) == (False, ["reasoning.encrypted_content"])
    assert "reasoning" not in sent  # as much as the model sees fit
    message = assembled(path, frames(response.content)) if stream else message_of(path, response.json())
    assert message["content"] == "Let me look."
    (call,) = message["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":"Oslo"}'}

    vendor.requests.clear()
    vendor.answer = hello
    result = {"role": "tool", "tool_call_id": call["id"], "content": "4 °C"}
    again = {**asked, "messages": [HELLO, message, result]}
    response = await vendor.client.post(path, json=asking(path, "gpt-6-sol", **again))
    assert response.status_code == 200, response.text
    sent = vendor.sent
    wire.validate_request(sent)
    thoughts = [item for item in sent["input"] if item.get("type") == "reasoning"]
    assert [(item["id"], item["encrypted_content"]) for item in thoughts] == [
        ("rs_1", wire.ENCRYPTED),
        ("rs_2", "gAAAAABrest"),
    ]
    made, answered = sent["input"][-2:]
    assert (made["type"], made["call_id"], made["arguments"]) == ("function_call", "call_1", '{"city":"Oslo"}')
    assert answered == {"type": "function_call_output", "call_id": "call_1", "output": "4 °C"}


@pytest.mark.parametrize("model", MODELS)
async def test_P21_every_reasoning_model_takes_tools_and_effort(vendor: Vendor, model: str) -> None:
    body = asking(CHAT, model, tools=TOOLS, tool_choice="required", reasoning_effort="high")
    assert (await vendor.client.post(CHAT, json=body)).status_code == 200
    assert vendor.requests[0].url.path == "/v1/responses"
    assert (vendor.sent["reasoning"], vendor.sent["tool_choice"]) == ({"effort": "high"}, "required")


@pytest.mark.parametrize("path", DIALECTS)
async def test_a_history_without_the_reasoning_goes_on(vendor: Vendor, path: str) -> None:
    """P10: most clients of chat completions send only what OpenAI's own answer would have had."""
    call = {"id": "toolu_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    turns = [
        HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"},
    ]
    response = await vendor.client.post(path, json=asking(path, "gpt-6-sol", messages=turns, tools=TOOLS))
    assert response.status_code == 200, response.text
    assert [item.get("type") for item in vendor.sent["input"]] == [None, "function_call", "function_call_output"]


@pytest.mark.parametrize("path", DIALECTS)
async def test_an_error_before_the_answer_keeps_its_status(vendor: Vendor, path: str) -> None:
    """P15: also where OpenAI has already sent 200 and told of the response."""
    failed = wire.response([], status="failed", error={"code": "rate_limit_exceeded", "message": "Slow down."})
    body = wire.broken(last={"type": "response.failed", "response": failed})
    vendor.answer = lambda request: httpx.Response(200, content=body)
    response = await vendor.client.post(path, json=asking(path, "gpt-6-sol", stream=True))
    assert_error(response, "rate_limited", retry_after=5)


@pytest.mark.parametrize("path", DIALECTS)
async def test_an_error_after_the_answer_has_begun_ends_the_stream(vendor: Vendor, path: str) -> None:
    failed = wire.response([], status="failed", error={"code": "server_error", "message": "Oops."})
    said = wire.message(wire.output_text("Once"))
    body = wire.broken(said, last={"type": "response.failed", "response": failed})
    vendor.answer = lambda request: httpx.Response(200, content=body)
    assert_broken_stream(await vendor.client.post(path, json=asking(path, "gpt-6-sol", stream=True)), "upstream")


async def test_what_the_vendor_has_counted_is_told(vendor: Vendor) -> None:
    vendor.answer = answering("usage")
    usage = (await vendor.client.post(CHAT, json=asking(CHAT, "gpt-6-sol"))).json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (2006, 300)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 1920
    assert usage["prompt_tokens_details"]["cache_write_tokens"] == 64
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 192


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_sources_that_the_vendor_has_found_are_annotations(vendor: Vendor, stream: bool) -> None:
    vendor.answer = answering("web_search")
    body = asking(CHAT, "gpt-6-sol", web_search_options={}, stream=stream)
    response = await vendor.client.post(CHAT, json=body)
    if stream:
        deltas = [choice["delta"] for chunk in frames(response.content)[:-1] for choice in chunk["choices"]]
        (told,) = [each for delta in deltas for each in delta.get("annotations", ())]
        text = "".join(delta.get("content") or "" for delta in deltas)
    else:
        message = response.json()["choices"][0]["message"]
        (told,), text = message["annotations"], message["content"]
    cited = told["url_citation"]
    assert cited["url"] == "https://example.com/sun"
    assert text[cited["start_index"] : cited["end_index"]] == "Oslo"


@pytest.mark.parametrize("path", [CHAT, ENVELOPE])
async def test_a_tier_that_is_told_at_the_end_is_told_from_there_on(vendor: Vendor, path: str) -> None:
    vendor.answer = answering("text")
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = frames((await vendor.client.post(path, json=asking(path, "gpt-6-sol", **options))).content)[:-1]
    finished = next(at for at, chunk in enumerate(chunks) if chunk["choices"][0]["finish_reason"])
    assert all("service_tier" not in chunk for chunk in chunks[:finished])
    assert all(chunk["service_tier"] == "default" for chunk in chunks[finished:])
    response = await vendor.client.post(path, json=asking(path, "gpt-6-sol"))
    body = response.json()
    assert (body["data"] if path == ENVELOPE else body)["service_tier"] == "default"


async def test_what_the_vendor_has_counted_is_what_it_costs(keys: KeyStore) -> None:
    budget = Limits(budget_day=10_000_000)
    async with account(keys, budget, environment=ENVIRONMENT, vendor=answering("usage")) as poor:
        assert (await poor.ask(CHAT, "gpt-6-sol")).status_code == 200
        # 22 fresh at $2, 1,920 cached at $0.20, 64 written at $2.50 and 300 generated at $10 for a million tokens.
        assert (await poor.row()).cost == 44 + 384 + 160 + 3000
        refused = await poor.ask(CHAT, "gpt-6-sol", web_search_options={})
        assert_error(refused, "unsupported", field="web_search_options")
    async with account(keys, environment=ENVIRONMENT, vendor=answering("web_search")) as rich:
        assert (await rich.ask(CHAT, "gpt-6-sol", web_search_options={})).status_code == 200
        assert (await rich.row()).cost == 900 * 2 + 30 * 10 + 10_000  # a search is a cent
